// SPDX-License-Identifier: Apache-2.0
// For tests: a thread's load in virtual time, against a transport and a protocol that do as they
// are told.
#pragma once

#include "rigload/load_client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace stackrig::rigload::load_test {

using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kSecond;

/// Remembers what it was asked to do.
class FakeTransport final : public StreamTransport {
 public:
  Open open(SlotId slot, Time /*now*/) override {
    if (next_open != Open::started) return next_open;
    opened.push_back(slot);
    return Open::started;
  }
  bool send(SlotId slot, const Prepared& /*request*/, Time /*now*/) override {
    sent.push_back(slot);
    return takes_requests;
  }
  void close(SlotId slot, Time /*now*/) override { closed.push_back(slot); }
  void abort(SlotId slot, Time /*now*/) override { aborted.push_back(slot); }

  Open next_open = Open::started;
  bool takes_requests = true;
  std::vector<SlotId> opened, sent, closed, aborted;
};

/// Answers are one byte each: '.' more to come, 'k' right, 'c' right and the server closes, 's'
/// wrong status, '!' nonsense.
class FakeExchange final : public Exchange {
 public:
  const Prepared& begin(SlotId /*slot*/) override { return request_; }
  Progress receive(SlotId /*slot*/, std::span<const std::byte> bytes) override {
    switch (static_cast<char>(bytes[0])) {
      case 'k':
        return {.state = Progress::State::finished, .body_bytes = 10};
      case 'c':
        return {.state = Progress::State::finished, .server_closes = true, .body_bytes = 10};
      case 's':
        return {.state = Progress::State::finished, .error = ErrorKind::status};
      case '!':
        return {.state = Progress::State::broken, .error = ErrorKind::status};
      default:
        return {.body_bytes = 10};
    }
  }
  ErrorKind cut_short(SlotId /*slot*/) override { return ErrorKind::length; }
  void drop(SlotId /*slot*/) override { ++dropped; }

  unsigned dropped = 0;

 private:
  Prepared request_;
};

class FakeMeter final : public UsageMeter {
 public:
  Usage usage() override { return {.busy_cycles = busy, .idle_cycles = idle}; }
  std::uint64_t busy = 0, idle = 0;
};

inline constexpr Time kStart = 100 * kSecond;

/// A client, driven by hand.
class World {
 public:
  explicit World(LoadConfig config) : stats(std::make_unique<RunStats>()) {
    control.interrupted = &interrupted;
    client.emplace(config, exchange, transport, meter, control, *stats);
  }

  /// Opens and connects the first connection, and begins.
  void begin() {
    turn();
    client->on_connected(0, now);
    turn();
    control.start_at = kStart;
    now = kStart;
    turn();
  }
  void turn() { client->turn(now); }
  void to(Time after_start) {
    now = kStart + after_start;
    client->tick(now);
  }
  void receive(SlotId slot, char c) {
    const auto byte = static_cast<std::byte>(c);
    client->on_bytes(slot, {&byte, 1}, now);
  }
  /// Connects all that were opened since the last call.
  void connect_opened() {
    for (; connected_ < transport.opened.size(); ++connected_)
      client->on_connected(transport.opened[connected_], now);
  }
  PhaseStats& phase(Phase p) { return (*stats)[static_cast<unsigned>(p)]; }
  PhaseStats& measure() { return phase(Phase::measure); }

  FakeTransport transport;
  FakeExchange exchange;
  FakeMeter meter;
  std::atomic<bool> interrupted{false};
  RunControl control;
  std::unique_ptr<RunStats> stats;
  std::optional<LoadClient> client;
  Time now = kStart - kSecond;
  std::size_t connected_ = 1;  ///< the first one is connected in begin()
};

inline LoadConfig closed_loop(std::uint32_t connections, bool keepalive) {
  return {.connections = connections, .keepalive = keepalive, .duration = kSecond};
}

inline LoadConfig open_loop(std::uint32_t connections, bool keepalive, double rate) {
  return {.connections = connections,
          .keepalive = keepalive,
          .arrivals = Arrivals::Config{.kind = ArrivalKind::uniform, .rate = rate},
          .duration = kSecond};
}

}  // namespace stackrig::rigload::load_test
