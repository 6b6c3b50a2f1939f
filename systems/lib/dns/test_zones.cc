// SPDX-License-Identifier: Apache-2.0
#include "dns/test_zones.h"

#include <set>

namespace stackrig::dns::testing {
namespace {

bool is_below(const std::string& name, const std::string& ancestor) {
  return name.size() > ancestor.size() && name.ends_with("." + ancestor);
}

}  // namespace

std::string ZoneMaker::label() {
  static const std::vector<std::string> kLabels = {"a",      "b",      "c",   "d",   "www",   "*",
                                                   "ns",     "mail",   "x-y", "_s",  "a\\.b", "zz",
                                                   "b\\001", "\\200q", "0",   "ent", "alpha", "aa"};
  return kLabels[below(static_cast<unsigned>(kLabels.size()))];
}

std::string ZoneMaker::target(const RandomZone& z, const std::vector<std::string>& elsewhere) {
  switch (below(8)) {
    case 0:
      return "host.outside.invalid.";
    case 1:
      if (!elsewhere.empty()) return elsewhere[below(static_cast<unsigned>(elsewhere.size()))];
      [[fallthrough]];
    case 2:
      return label() + "." + z.origin;
    case 3:
      return below_name(any_name(z));
    default:
      return any_name(z);
  }
}

const std::string& ZoneMaker::any_name(const RandomZone& z) {
  return z.names[below(static_cast<unsigned>(z.names.size()))];
}

std::string ZoneMaker::below_name(const std::string& name) {
  return label() + "." + name;
}

/// Records of one to three types.
std::string ZoneMaker::data(const std::string& owner, const RandomZone& z,
                            const std::vector<std::string>& elsewhere) {
  std::string text;
  const auto line = [&](const std::string& type, const std::string& rdata) {
    text += owner + " " + type + " " + rdata + "\n";
  };
  const unsigned types = 1 + below(3);
  for (unsigned i = 0; i < types; ++i) {
    switch (below(9)) {
      case 0:
      case 1:
        for (unsigned n = 0, count = 1 + below(4); n < count; ++n) {
          line("A", "192.0.2." + std::to_string(n * 16 + below(16)));
        }
        break;
      case 2:
        line("AAAA", "2001:db8::" + std::to_string(below(9999)));
        break;
      case 3:
        line("TXT", "\"" + std::string(1 + below(below(8) == 0 ? 250 : 20), 't') + "\" \"u\"");
        break;
      case 4:
        for (unsigned n = 0, count = 1 + below(3); n < count; ++n) {
          line("MX", std::to_string(n) + " " + target(z, elsewhere));
        }
        break;
      case 5:
        text += owner + " SRV 1 2 53 ";
        text += target(z, elsewhere) + "\n";
        break;
      case 6:
        line("PTR", target(z, elsewhere));
        break;
      case 7:
        line("TYPE65280", "\\# 3 0102" + std::string(below(2) == 0 ? "aa" : "bb"));
        break;
      default:  // enough to be truncated for some
        for (unsigned n = 0, count = 1 + below(8); n < count; ++n) {
          line("TXT", "\"" + std::to_string(n) + std::string(60 + below(180), 'v') + "\"");
        }
        break;
    }
  }
  return text;
}

std::string ZoneMaker::cut(const std::string& owner, const RandomZone& z,
                           const std::vector<std::string>& elsewhere) {
  std::string text;
  const unsigned servers = 1 + below(3);
  for (unsigned i = 0; i < servers; ++i) {
    if (below(3) == 0) {
      text += owner + " NS " + target(z, elsewhere) + "\n";
      continue;
    }
    const std::string host = "ns" + std::to_string(i) + "." + owner;
    text.append(owner).append(" NS ").append(host).append("\n");
    if (below(4) != 0) text += host + " A 198.51.100." + std::to_string(i) + "\n";
    if (below(4) == 0) text += host + " AAAA 2001:db8:1::" + std::to_string(i) + "\n";
    if (below(6) == 0) text += host + " TXT \"below a cut\"\n";
  }
  if (below(2) == 0) {
    text += owner + " DS " + std::to_string(below(65535)) +
            " 13 2 e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766\n";
  }
  return text;
}

RandomZone ZoneMaker::zone(const std::string& origin, const std::vector<std::string>& elsewhere,
                           const std::vector<std::string>& delegate_to) {
  RandomZone z;
  z.origin = origin;
  z.names.push_back(origin);
  const std::string ttl = std::to_string(60 + below(4) * 600);
  const char* soa_ttl = below(2) == 0 ? "900 " : "";
  const char* minimum = below(2) == 0 ? "300" : "5000";
  z.text = "$ORIGIN " + origin + "\n$TTL " + ttl + "\n@ " + soa_ttl +
           "SOA ns mail 1 7200 3600 1209600 " + minimum + "\n@ NS ns." + origin +
           "\n@ NS elsewhere.invalid.\n";
  if (below(3) != 0) z.text += "ns." + origin + " A 192.0.2.53\n";
  // Below these nothing may stand.
  std::set<std::string> closed(delegate_to.begin(), delegate_to.end());
  std::set<std::string> used = {origin, "ns." + origin};
  for (const std::string& child : delegate_to) {
    z.text += cut(child, z, elsewhere);
    used.insert(child);
  }
  const unsigned owners = 8 + below(30);
  for (unsigned i = 0; i < owners; ++i) {
    std::string name = below_name(any_name(z));
    if (below(4) == 0) name = below_name(name);
    if (name.size() > 120 || used.contains(name)) continue;
    bool allowed = true;
    for (const std::string& top : closed) allowed &= !is_below(name, top) && name != top;
    const bool has_child = std::any_of(used.begin(), used.end(),
                                       [&](const std::string& u) { return is_below(u, name); });
    if (!allowed) continue;
    used.insert(name);
    z.names.push_back(name);
    const bool is_wildcard = name.starts_with("*.");  // the loader refuses NS and DNAME there
    const unsigned kind = below(10);
    if (kind < 2) {
      z.text += name + " CNAME " + target(z, elsewhere) + "\n";
    } else if (kind == 2 && !has_child && !is_wildcard) {
      closed.insert(name);
      z.text += name + " DNAME " + target(z, elsewhere) + "\n";
      if (below(2) == 0) z.text += name + " TXT \"beside a DNAME\"\n";
    } else if (kind == 3 && !has_child && !is_wildcard) {
      closed.insert(name);
      z.text += cut(name, z, elsewhere);
    } else {
      z.text += data(name, z, elsewhere);
    }
  }
  return z;
}

std::string ZoneMaker::random_case(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z' && below(2) == 0) c = static_cast<char>(c - 0x20);
  }
  return text;
}

std::string ZoneMaker::question_name(const RandomZone& z) {
  std::string name = any_name(z);
  switch (below(8)) {
    case 0:
      name = below_name(name);
      break;
    case 1:
      name = below_name(below_name(name));
      break;
    case 2:
      name = name.substr(name.find('.') + 1);  // its parent: perhaps an empty non-terminal
      break;
    case 3:
      name = "ns0." + name;
      break;
    default:
      break;
  }
  if (name.empty()) name = ".";
  return below(4) == 0 ? random_case(name) : name;
}

std::uint16_t ZoneMaker::question_type() {
  static const std::vector<std::uint16_t> kTypes = {
      type::kA,     type::kA,    type::kAaaa, type::kNs,     type::kCname,      type::kSoa,
      type::kPtr,   type::kMx,   type::kTxt,  type::kTxt,    type::kSrv,        type::kDname,
      type::kDs,    type::kNsec, type::kAny,  type::kDnskey, type::kNsec3param, type::kNsec3,
      type::kRrsig, 65280,       99};
  return kTypes[below(static_cast<unsigned>(kTypes.size()))];
}

Edns ZoneMaker::edns() {
  static const std::vector<unsigned> kSizes = {512, 700, 1232, 4096, 0};
  Edns e;
  e.present = below(3) != 0;
  e.payload_size = kSizes[below(static_cast<unsigned>(kSizes.size()))];
  e.dnssec_ok = e.present && below(2) == 0;
  return e;
}

}  // namespace stackrig::dns::testing
