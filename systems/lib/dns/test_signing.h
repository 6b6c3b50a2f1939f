// SPDX-License-Identifier: Apache-2.0
// Signed zones without a signer, for tests: the chain that denies is a real one, the signatures are
// zeros of the right length. What is served of a signed zone does not depend on what they say.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "dns/nsec3.h"
#include "dns/zone.h"
#include "dns/zone_file.h"

namespace stackrig::dns::testing {

enum class Chain { nsec, nsec3, opt_out };

class PretendSigner {
 public:
  /// `text`: a zone without anything of DNSSEC but DS. Throws ZoneError where it is none.
  PretendSigner(const std::string& origin, const std::string& text, Chain chain)
      : chain_(chain),
        origin_(origin),
        text_(text),
        zones_(ZoneSet::parse(std::vector<ZoneText>{{origin_, text_}})),
        zone_((*zones_)[0]) {}

  std::string sign() {
    text_ += "\n$ORIGIN " + origin_ + "\n";
    if (chain_ == Chain::nsec) {
      add_nsec();
    } else {
      add_nsec3();
    }
    for (NodeId n = 0; n < zone_.names(); ++n) {
      if (zone_.is_occluded(n)) continue;
      for (const RrSet& set : zone_.rrsets(n)) {
        if (is_signed(n, set.type)) add_signature(name(n), set.type, set.ttl);
      }
    }
    return text_;
  }

 private:
  static constexpr unsigned kTtl = 300;

  std::string name(NodeId n) const {
    Name out;
    zone_.name_of(n, out);
    return name_to_text(out.data());
  }
  /// RFC 4035 2.2: at a cut only what belongs to this side of it.
  bool is_signed(NodeId n, std::uint16_t t) const { return !zone_.is_cut(n) || t == type::kDs; }
  static std::string type_name(std::uint16_t t) { return "TYPE" + std::to_string(t); }
  std::string types(NodeId n) const {
    std::string s;
    for (const RrSet& set : zone_.rrsets(n)) {
      if (!zone_.is_cut(n) || set.type == type::kDs || set.type == type::kNs) {
        s += " " + type_name(set.type);
      }
    }
    return s;
  }
  void add_signature(const std::string& owner, std::uint16_t t, unsigned ttl) {
    text_ += owner + " " + std::to_string(ttl) + " RRSIG " + type_name(t) + " 13 2 " +
             std::to_string(ttl) + " 20300101000000 20200101000000 1 " + origin_ + " " +
             std::string(86, 'A') + "==\n";
  }
  void add_nsec() {
    std::vector<NodeId> owners;
    for (NodeId n = 0; n < zone_.names(); ++n) {
      if (!zone_.is_occluded(n) && !zone_.rrsets(n).empty()) owners.push_back(n);
    }
    for (std::size_t i = 0; i < owners.size(); ++i) {
      const std::string owner = name(owners[i]);
      text_ += owner + " " + std::to_string(kTtl) + " NSEC " +
               name(owners[(i + 1) % owners.size()]) + types(owners[i]) + " RRSIG NSEC\n";
      add_signature(owner, type::kNsec, kTtl);
    }
  }
  void add_nsec3() {
    Nsec3Parameters p;
    p.iterations = 1;
    p.salt_length = 1;
    p.salt[0] = 0xab;
    std::vector<std::pair<Nsec3Hash, NodeId>> owners;
    for (NodeId n = 0; n < zone_.names(); ++n) {
      const bool opts_out =
          chain_ == Chain::opt_out && zone_.is_cut(n) && zone_.find(n, type::kDs) == nullptr;
      if (zone_.is_occluded(n) || opts_out) continue;
      Name owner;
      zone_.name_of(n, owner);
      owners.emplace_back(nsec3_hash(p, owner.data()), n);
    }
    std::sort(owners.begin(), owners.end());
    const char* flags = chain_ == Chain::opt_out ? "1" : "0";
    for (std::size_t i = 0; i < owners.size(); ++i) {
      const auto& next = owners[(i + 1) % owners.size()].first;
      std::string owner = hash_text(owners[i].first);
      owner.append(".").append(origin_);
      text_.append(owner).append(" ").append(std::to_string(kTtl)).append(" NSEC3 1 ");
      text_.append(flags).append(" 1 ab ");
      text_ += hash_text(next) + types(owners[i].second);
      text_ += zone_.rrsets(owners[i].second).empty() ? "\n" : " RRSIG\n";
      add_signature(owner, type::kNsec3, kTtl);
    }
    text_ += origin_ + " 0 NSEC3PARAM 1 0 1 ab\n";
    add_signature(origin_, type::kNsec3param, 0);
  }
  static std::string hash_text(const Nsec3Hash& h) {
    const auto label = nsec3_label(h);
    return {label.begin() + 1, label.end()};
  }

  Chain chain_;
  std::string origin_;
  std::string text_;
  std::shared_ptr<const ZoneSet> zones_;
  const Zone& zone_;
};

/// The same zone, signed.
inline std::string pretend_to_sign(const std::string& origin, const std::string& text,
                                   Chain chain) {
  return PretendSigner(origin, text, chain).sign();
}

}  // namespace stackrig::dns::testing
