// SPDX-License-Identifier: Apache-2.0
// The delay box on a pair of queues, one towards the server and one towards the clients: a bridge
// that holds what passes.
//
// Frames go on as they came, addresses and all: neither side knows that it is there.
//
// Thread: the one that owns both queues.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "delaybox/direction.h"
#include "nmio/loop.h"
#include "nmio/port.h"
#include "telemetry/page.h"

namespace stackrig::delaybox {

struct BoxConfig {
  LinkConfig to_server;
  LinkConfig to_clients;
  std::uint64_t seed = 1;
};

class Box {
 public:
  static constexpr unsigned kBurst = 64;

  Box(nmio::Queue& server, nmio::Queue& clients, const BoxConfig& config, Time now);

  /// Takes what came in, sends what is due; true where it did anything.
  bool turn(Time now);
  /// The same at the clock's time, which is read once the packets are there: whatever kept this
  /// thread from its core meanwhile, none leaves before its delay is over.
  bool turn();
  /// When turn() has something to do though nothing comes in.
  [[nodiscard]] Time next_deadline() const;
  /// Blocks until something comes in or is due, at most until `limit`.
  void wait(Time now, Time limit);

  [[nodiscard]] const DirectionCounters& to_server() const { return sides_[0].out.counters(); }
  [[nodiscard]] const DirectionCounters& to_clients() const { return sides_[1].out.counters(); }
  /// Puts the counters under "PREFIXto_server.lost" and so on.
  void place_counters(telemetry::Page& page, const std::string& prefix);

 private:
  /// What leaves by a queue, and where it comes from.
  struct Side {
    nmio::Queue& from;
    nmio::Queue& to;
    Direction out;
    nmio::TxBatch batch{};
  };
  template <class Now>
  bool turn(Now now);
  void take_in(Side& side, unsigned n, Time now);
  bool send(Side& side, Time now);

  std::array<Side, 2> sides_;
  std::array<nmio::RxPacket, kBurst> burst_{};
};

}  // namespace stackrig::delaybox
