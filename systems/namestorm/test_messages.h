// SPDX-License-Identifier: Apache-2.0
// For tests and fuzzers: queries, zones, and the right answers.
//
// What is right is what dns::respond() says: that it is right has its own tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dns/message.h"
#include "dns/query.h"
#include "dns/respond.h"
#include "dns/zone_set.h"

namespace stackrig::namestorm::testing {

using Message = std::vector<std::uint8_t>;

struct Ask {
  std::uint16_t id = 0x4711;
  std::uint16_t flags = dns::flag::kRecursionDesired;
  bool edns = false, dnssec_ok = false;
  std::uint16_t payload_size = 1232;
};

inline void put16(Message& m, unsigned v) {
  m.push_back(static_cast<std::uint8_t>(v >> 8));
  m.push_back(static_cast<std::uint8_t>(v));
}

/// A query as a resolver sends it. `name` as text, without escapes.
inline Message query(std::string_view name, std::uint16_t type, const Ask& ask = {}) {
  Message m;
  for (const unsigned v : {unsigned{ask.id}, unsigned{ask.flags}, 1U, 0U, 0U, ask.edns ? 1U : 0U})
    put16(m, v);
  while (!name.empty()) {
    const std::string_view label = name.substr(0, name.find('.'));
    m.push_back(static_cast<std::uint8_t>(label.size()));
    m.insert(m.end(), label.begin(), label.end());
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  m.push_back(0);
  put16(m, type);
  put16(m, dns::kClassIn);
  if (!ask.edns) return m;
  m.push_back(0);
  for (const unsigned v : {unsigned{dns::type::kOpt}, unsigned{ask.payload_size}, 0U,
                           ask.dnssec_ok ? unsigned{dns::kDnssecOk} : 0U, 0U})
    put16(m, v);
  return m;
}

/// The answer to `q` as dns::respond() or write_error() makes it, in memory that was not zero;
/// empty where there is none.
inline Message composed(const dns::ZoneSet& zones, const Message& q,
                        dns::Transport transport = dns::Transport::udp) {
  dns::Query parsed;
  dns::Rcode rcode{};
  Message out(dns::kMaxMessage, 0xa5);
  std::size_t length = 0;
  switch (dns::parse_query(q, parsed, rcode)) {
    case dns::Parsed::query:
      length = dns::respond(zones, parsed, transport, out);
      break;
    case dns::Parsed::error:
      length = dns::write_error(parsed, rcode, out);
      break;
    case dns::Parsed::ignore:
      break;
  }
  out.resize(length);
  return out;
}

/// A zone with answers of every length. `serial` and `address` tell editions from each other.
inline std::string zone_text(unsigned serial = 1, const std::string& address = "192.0.2.80") {
  std::string z = "$TTL 3600\n@ SOA ns admin " + std::to_string(serial) +
                  " 3600 600 86400 300\n@ NS ns\n@ MX 10 mail\nns A 192.0.2.1\nmail A 192.0.2.2\n"
                  "www A " +
                  address +
                  "\nwww AAAA 2001:db8::80\nalias CNAME www\n*.wild TXT \"any\"\n"
                  "sub NS ns.sub\nns.sub A 192.0.2.53\na.b.c.deep A 192.0.2.3\n";
  for (unsigned i = 0; i < 50; ++i)
    z += "host" + std::to_string(i) + " A 192.0.2." + std::to_string(i) + "\n";
  const auto texts = [&](const std::string& name, unsigned count) {
    for (unsigned i = 0; i < count; ++i)
      z += name + " TXT \"" + std::to_string(i) + std::string(90, 'x') + "\"\n";
  };
  texts("medium", 8);  // more than 512 bytes
  texts("large", 14);  // more than 1232
  texts("huge", 400);  // tens of kilobytes
  return z;
}

inline std::shared_ptr<const dns::ZoneSet> zones(const std::string& text = zone_text()) {
  const std::vector<dns::ZoneText> all = {{"example.com", text},
                                          {"example.org", "@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\n"}};
  return dns::ZoneSet::parse(all);
}

}  // namespace stackrig::namestorm::testing
