// SPDX-License-Identifier: Apache-2.0
#include "delaybox/box.h"

#include <algorithm>

#include "nmio/clock.h"
#include "runtime/counters.h"

namespace stackrig::delaybox {
namespace {

/// Packets that the device had no room for are tried again after so long.
constexpr Time kFullDevicePause = 20 * nmio::kMicrosecond;

}  // namespace

Box::Box(nmio::Queue& server, nmio::Queue& clients, const BoxConfig& config, Time now)
    : sides_{Side{clients, server, Direction(config.to_server, server.memory(), config.seed, now)},
             Side{server, clients,
                  Direction(config.to_clients, clients.memory(), ~config.seed, now)}} {
}

bool Box::turn(Time now) {
  return turn([now] { return now; });
}

bool Box::turn() {
  return turn([] { return nmio::Clock::now(); });
}

template <class Now>
bool Box::turn(Now now) {
  bool worked = false;
  for (Side& side : sides_) {
    const unsigned n = side.from.receive(burst_);
    if (n == 0) continue;
    take_in(side, n, now());
    worked = true;
  }
  const Time sending = now();
  for (Side& side : sides_) worked |= send(side, sending);
  return worked;
}

void Box::take_in(Side& side, unsigned n, Time now) {
  for (unsigned i = 0; i < n; ++i) {
    side.out.accept(burst_[i], now);
    side.from.memory().give_back(burst_[i].chunk);
  }
}

bool Box::send(Side& side, Time now) {
  nmio::set_room(side.batch, side.to);
  side.out.release(side.batch, now);
  const unsigned sent = nmio::put_batch(side.batch, side.to);
  if (sent != 0) side.to.flush();
  return side.to.reap() + sent != 0;
}

Time Box::next_deadline() const {
  Time next = nmio::kNever;
  for (const Side& side : sides_) next = std::min(next, side.out.next_deadline());
  return next;
}

void Box::wait(Time now, Time limit) {
  Time deadline = std::min(limit, next_deadline());
  for (const Side& side : sides_) {
    if (side.batch.count != 0) deadline = std::min(deadline, now + kFullDevicePause);
  }
  const std::array<nmio::Queue*, 2> queues = {&sides_[0].from, &sides_[1].from};
  nmio::wait_any(queues, now, deadline);
}

void Box::place_counters(telemetry::Page& page, const std::string& prefix) {
  const std::array<std::string, 2> names = {prefix + "to_server.", prefix + "to_clients."};
  for (unsigned i = 0; i < 2; ++i) {
    auto* counters = runtime::place<DirectionCounters>(page, names[i], direction_counter_table());
    sides_[i].out.place_counters(counters, page.histogram(names[i] + "late", "ns"));
  }
}

}  // namespace stackrig::delaybox
