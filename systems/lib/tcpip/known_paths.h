// SPDX-License-Identifier: Apache-2.0
// How long round trips to a peer took of late: the timer of the next connection's SYN or SYN-ACK
// begins with that instead of a second (RFC 9040 6: temporal sharing of RTT and RTTVAR), so that on
// a path which loses segments an opening costs round trips, not seconds. An address may be shared
// by hosts far and near (8.3 there): so what is known decides when to try once more, and nothing
// else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "wire/address.h"

namespace stackrig::tcpip {

/// One place for a peer; peers that share one take turns. Thread: one. Times of our clocks.
class KnownPaths {
 public:
  static constexpr unsigned kPlacesLog2 = 10;
  static constexpr std::uint32_t kGoodForMs = 600'000;

  /// A connection to `peer` ended and would have waited for so long.
  void learn(wire::Ipv4Address peer, std::uint32_t rto_us, std::uint32_t now_ms) {
    any_ = true;
    places_[index(peer)] = {peer, rto_us, now_ms};
  }
  [[nodiscard]] bool any() const { return any_; }
  /// Retransmission timeout in us; 0: not known, or too long ago.
  [[nodiscard]] std::uint32_t rto_us(wire::Ipv4Address peer, std::uint32_t now_ms) const {
    const Place& p = places_[index(peer)];
    return p.peer == peer && now_ms - p.learned_ms < kGoodForMs ? p.rto_us : 0;
  }
  void clear() { *this = {}; }

 private:
  struct Place {
    wire::Ipv4Address peer;
    std::uint32_t rto_us = 0;
    std::uint32_t learned_ms = 0;
  };
  static std::uint32_t index(wire::Ipv4Address peer) {
    return peer.value * 2654435769U >> (32 - kPlacesLog2);  // Knuth's multiplicative hash
  }

  std::array<Place, std::size_t{1} << kPlacesLog2> places_{};
  bool any_ = false;
};

}  // namespace stackrig::tcpip
