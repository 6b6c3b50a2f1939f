// SPDX-License-Identifier: Apache-2.0
// What one interface has seen. Plain counters with one writer; may lie in a telemetry page.
#pragma once

#include <cstdint>
#include <span>

namespace stackrig::ip {

struct Counters {
  std::uint64_t arp_in = 0, arp_out = 0;
  std::uint64_t arp_conflicts = 0;   ///< somebody else says that our address is theirs (RFC 5227)
  std::uint64_t arp_unresolved = 0;  ///< neighbours given up
  std::uint64_t icmp_in = 0, icmp_out = 0;
  std::uint64_t icmp_limited = 0;  ///< answers not sent: over the rate
  std::uint64_t not_for_us = 0;    ///< other Ethernet or IP address, other protocol
  std::uint64_t bad_header = 0;    ///< too short, wrong version, length, source address
  std::uint64_t bad_checksum = 0;
  std::uint64_t fragments_dropped = 0;  ///< there is no reassembly of IP fragments
  std::uint64_t held_dropped = 0;       ///< packets that waited for a neighbour in vain
  std::uint64_t no_chunk = 0, no_tx_room = 0;
};

struct CounterInfo {
  const char* name;  ///< "ip.arp_in"
  const char* unit;
  std::uint64_t Counters::*field;
};
std::span<const CounterInfo> counter_table();

}  // namespace stackrig::ip
