// SPDX-License-Identifier: Apache-2.0
// Queues, stacks and clients in turns.
#include "rigload/lane.h"

#include <algorithm>

#include "nmio/clock.h"

namespace stackrig::rigload {
namespace {

using nmio::Clock;
using nmio::kMicrosecond;
using nmio::kMillisecond;

/// A stop asked for from outside is seen after at most this long.
constexpr Time kLongestBlock = 100 * kMillisecond;
/// A thread with several queues can block on one of them only; the others are looked at this often.
constexpr Time kBlockAmongSeveral = 100 * kMicrosecond;
/// Turns given to what is still to be sent (RSTs) when all clients are done.
constexpr unsigned kLastTurns = 1000;

}  // namespace

NmioLane::NmioLane(const Config& config, ClientParts parts)
    : QueueLane(*config.queue),
      exchange_(std::move(parts.exchange)),
      stack_(config.stack, config.queue->memory(), batch_),
      transport_(stack_, config.sources, parts.config.connections + parts.config.hold),
      client_(parts.config, *exchange_, transport_, *this, *parts.control, *parts.stats),
      app_(stack_, transport_, client_, config.relay, config.sources.queue),
      loop_(queue_, batch_, app_, config.loop, own_counters_) {
  transport_.tell(client_);
}

Usage QueueLane::usage() {
  const nmio::QueueCounters& q = queue_.counters();
  Usage u{.wire_rx_bytes = q.rx_bytes, .wire_tx_bytes = q.tx_bytes};
  if (loop_counters_ != nullptr) {
    u.busy_cycles = loop_counters_->busy_cycles;
    u.idle_cycles = loop_counters_->idle_cycles;
  }
  return u;
}

void LaneLoop::run() {
  lanes_.front()->account_to(&counters_);
  turn_began_ = Clock::cycles();
  idle_since_ = Clock::at(turn_began_);
  while (!std::ranges::all_of(lanes_, [](QueueLane* l) { return l->client().done(); })) {
    const Time now = Clock::at(turn_began_);
    const bool worked = turn_all(now);
    account(worked);
    if (worked) {
      idle_since_ = now;
    } else {
      idle(now);
    }
  }
  flush_rest();
}

bool LaneLoop::turn_all(Time now) {
  bool worked = false;
  for (QueueLane* lane : lanes_) worked |= lane->turn(now);
  return worked;
}

/// As Loop::account().
void LaneLoop::account(bool worked) {
  const std::uint64_t cycles = Clock::cycles();
  (worked ? counters_.busy_cycles : counters_.idle_cycles) += cycles - turn_began_;
  turn_began_ = cycles;
  ++counters_.turns;
}

void LaneLoop::idle(Time now) {
  if (config_.idle == nmio::LoopConfig::Idle::spin || now - idle_since_ < config_.spin_for) return;
  Time deadline = now + (lanes_.size() == 1 ? kLongestBlock : kBlockAmongSeveral);
  for (QueueLane* lane : lanes_) deadline = std::min(deadline, lane->next_deadline());
  if (deadline <= now) return;
  waits_on_ = (waits_on_ + 1) % lanes_.size();
  lanes_[waits_on_]->queue().wait(now, deadline);
  ++counters_.wakeups;
  account(false);
}

/// Servers are told that we are gone.
void LaneLoop::flush_rest() {
  for (unsigned i = 0; i < kLastTurns; ++i) {
    const bool worked = turn_all(Clock::now());
    if (!worked && std::ranges::none_of(lanes_, [](QueueLane* l) { return l->has_output(); }))
      return;
  }
}

}  // namespace stackrig::rigload
