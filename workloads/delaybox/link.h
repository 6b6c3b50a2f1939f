// SPDX-License-Identifier: Apache-2.0
// What the delay box does to one direction of the wire, and the words that say so.
//
//   delay=10ms                  every packet is held so long
//   bands=10ms-40ms/16          instead: 16 bands from 10 to 40 ms; a flow stays in the one that
//   its
//                               addresses and ports choose (thesis 4.4: constant per flow)
//   loss=1%                     of packets, each by a die of its own
//   rate=1G                     bits per second, 24 bytes per frame for Ethernet's own
//   queue=1M                    bytes that may wait for the rate, beyond which packets are dropped;
//                               without it, what the rate sends in 50 ms
//   reorder=0.5%,reorder-by=2ms a packet so chosen is held longer, so that later ones overtake it
//
// IPv4 only: ARP and all else passes at once and is never lost.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nmio/packet.h"

namespace stackrig::delaybox {

using nmio::Time;

struct LinkConfig {
  Time delay_from = 0;  ///< the first band's; one band: every packet's
  Time delay_to = 0;    ///< the last band's
  unsigned bands = 1;
  double loss = 0;         ///< probability per packet
  std::uint64_t rate = 0;  ///< bits per second; 0: none
  std::uint64_t queue_bytes = 0;
  double reorder = 0;
  Time reorder_by = nmio::kMillisecond;

  [[nodiscard]] Time delay_of(unsigned band) const {
    return bands < 2 ? delay_from : delay_from + (delay_to - delay_from) * band / (bands - 1);
  }
};

constexpr unsigned kMaxBands = 1024;
constexpr Time kLongestDelay = 10 * nmio::kSecond;

/// Reads the words above; `option` names them in messages. Throws runtime::UsageError.
LinkConfig parse_link(const std::string& option, std::string_view text);

/// One line for logs: what is in force.
std::string describe(const LinkConfig& link);

}  // namespace stackrig::delaybox
