// SPDX-License-Identifier: Apache-2.0
// A thread's run from its first connection to its last: gate, phases, arrivals, timeouts.
#include "rigload/load_client.h"

#include <algorithm>
#include <limits>

namespace stackrig::rigload {
namespace {

using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kNever;

/// Connections opened in one turn: a batch, but no more than a listen backlog and a ring take well.
constexpr unsigned kOpensPerTurn = 64;
/// Arrivals taken in one turn. At a rate beyond what this program can send, the rest waits for the
/// next turns with its due times: answers are still looked after.
constexpr unsigned kArrivalsPerTurn = 1024;
/// Connections to hold that are being opened at a time.
constexpr std::uint32_t kHoldOpening = 256;
/// How soon a connection is tried again that the transport had no room for.
constexpr Time kRetryOpen = 50 * kMicrosecond;
/// A timeout is seen at most this part of it late.
constexpr unsigned kSweepsPerTimeout = 8;
/// Slots looked at per sweep: no turn takes long, however many connections there are.
constexpr std::uint32_t kSweepSlots = 1024;

}  // namespace

LoadClient::LoadClient(const LoadConfig& config, Exchange& exchange, StreamTransport& transport,
                       UsageMeter& meter, RunControl& control, RunStats& stats)
    : ClientState(meter, control, stats),
      config_(config),
      exchange_(exchange),
      transport_(transport),
      due_queue_(config.arrivals ? config.queue_bound : 0),
      slots_(config.connections + config.hold) {
  if (config.arrivals) arrivals_.emplace(*config.arrivals);
  in_state_[static_cast<unsigned>(SlotState::free)] = static_cast<std::uint32_t>(slots_.size());
  free_.reserve(config.connections);
  ready_.reserve(config.connections);
  for (SlotId id = config.connections; id > 0; --id) free_.push_back(id - 1);
}

void LoadClient::turn(Time now) {
  last_turn_ = now;
  blocked_ = false;
  tick(now);
  if (stop_is_asked_for()) return finish(now);
  switch (stage_) {
    case Stage::reaching:
    case Stage::gated:
      if (another_failed()) return finish(now);
      return stage_ == Stage::reaching ? reach(now) : wait_at_gate(now);
    case Stage::running:
      if (arrivals_) take_arrivals(now, kArrivalsPerTurn);
      resume_paused(now);
      hand_out_requests(now);
      open_connections(now);
      return sweep_timeouts(now);
    case Stage::draining:
      sweep_timeouts(now);
      if (in(SlotState::connecting) + in(SlotState::waiting) + in(SlotState::finishing) == 0)
        finish(now);
      return;
    case Stage::done:
      return;
  }
}

Time LoadClient::next_deadline() const {
  if (stage_ == Stage::done) return kNever;
  if (stage_ == Stage::reaching || stage_ == Stage::gated) return last_turn_ + kGatePoll;
  Time next = std::min(phase_ends(), next_sweep_);
  if (stage_ == Stage::draining) return next;
  if (arrivals_) next = std::min(next, arrivals_->next());
  if (!paused_.empty()) next = std::min(next, paused_.front().until);
  if (!free_.empty() && (config_.keepalive || may_send())) {
    next = std::min(next, blocked_ ? last_turn_ + kRetryOpen : last_turn_);
  }
  return next;
}

// --- before the start
// ------------------------------------------------------------------------------

/// The first connections show that the server is there before a clock runs; those to hold come then
/// too.
void LoadClient::reach(Time now) {
  for (; reach_opened_ < config_.reach && !blocked_; ++reach_opened_) {
    const SlotId id = reach_opened_;
    if (open(id, now)) {
      free_.pop_back();  // they lie on top, in order
    } else if (blocked_) {
      break;
    } else {
      return fail(
          now,
          target_of(id) +
              ": no connection can be opened from here (no route, or no local address or port); "
              "give a source address in the target's network (--address)");
    }
  }
  while (hold_opened_ < config_.hold && in(SlotState::connecting) < kHoldOpening && !blocked_) {
    if (open(config_.connections + hold_opened_, now)) {
      ++hold_opened_;
    } else if (!blocked_) {
      return fail(now, "--hold: no local port is left for connection " +
                           std::to_string(hold_opened_ + 1) +
                           "; give more source addresses (--source-addresses)");
    }
  }
  sweep_timeouts(now);
  if (stage_ == Stage::reaching && in(SlotState::ready) == config_.reach &&
      in(SlotState::held) == config_.hold) {
    stage_ = Stage::gated;
    report_connected(now);
  }
}

void LoadClient::wait_at_gate(Time now) {
  if (now >= start_at()) start(start_at());
}

void LoadClient::start(Time at) {
  stage_ = Stage::running;
  if (arrivals_) arrivals_->start(at);
  for (Slot& slot : slots_) slot.due = at;
  next_sweep_ = at;
  begin_phases(at, config_.warmup, config_.duration);
}

std::string LoadClient::target_of(SlotId id) const {
  return "target " + config_.targets[id % config_.targets.size()];
}

void LoadClient::fail(Time now, const std::string& why) {
  set_failure(why);
  finish(now);
}

// --- phases
// ----------------------------------------------------------------------------------------

void LoadClient::advance_phase(Time now) {
  while (now >= phase_ends()) {
    if (phase() == Phase::warmup) {
      enter(Phase::measure);
    } else {
      begin_drain();
    }
  }
}

/// Nothing new from here on. What was due and never went out is counted where it was missed.
void LoadClient::begin_drain() {
  if (arrivals_) {
    take_arrivals(schedule().drain - 1, std::numeric_limits<unsigned>::max());
    while (!due_queue_.empty()) count_unsent(due_queue_.pop(), last_turn_);
  }
  enter(Phase::drain);
  stage_ = Stage::draining;
  for (SlotId id = 0; id < config_.connections; ++id) {
    if (slots_[id].state != SlotState::connecting || slots_[id].has_request) continue;
    transport_.abort(id, last_turn_);
    release(id, last_turn_);
  }
}

void LoadClient::finish(Time now) {
  for (SlotId id = 0; id < slots_.size(); ++id) {
    const SlotState state = slots_[id].state;
    if (state == SlotState::free || state == SlotState::paused) continue;
    censor(id, now);  // under way still
    transport_.abort(id, now);
    set_state(id, SlotState::free);
  }
  end(now);
  stage_ = Stage::done;
}

// --- each turn
// -------------------------------------------------------------------------------------

void LoadClient::take_arrivals(Time until, unsigned at_most) {
  rigload::take_arrivals(*arrivals_, due_queue_, std::min(until, schedule().drain - 1), at_most,
                         [this](Time due) { count_unsent(due, last_turn_); });
}

void LoadClient::resume_paused(Time now) {
  for (; !paused_.empty() && paused_.front().until <= now; paused_.pop_front())
    release(paused_.front().slot, now);
}

void LoadClient::hand_out_requests(Time now) {
  while (!ready_.empty() && may_send()) send_request(ready_.back(), now);
}

void LoadClient::open_connections(Time now) {
  for (unsigned budget = kOpensPerTurn; budget != 0 && !free_.empty() && !blocked_; --budget) {
    if (!config_.keepalive && !may_send()) return;
    const SlotId id = free_.back();
    free_.pop_back();
    const bool opened = open(id, now);
    if (blocked_) return free_.push_back(id);
    if (!config_.keepalive) {
      slots_[id].has_request = true;
      if (arrivals_) slots_[id].due = due_queue_.pop();
    }
    if (!opened) connect_failed(id, ErrorKind::connect, now);
  }
}

void LoadClient::sweep_timeouts(Time now) {
  if (now < next_sweep_) return;
  const auto slots = static_cast<std::uint32_t>(slots_.size());
  const std::uint32_t end = std::min(slots, sweep_at_ + kSweepSlots);
  for (SlotId id = sweep_at_; id < end && stage_ != Stage::done; ++id) {
    const SlotState state = slots_[id].state;
    const bool waits = state == SlotState::connecting || state == SlotState::waiting ||
                       state == SlotState::finishing;
    if (waits && slots_[id].deadline <= now) expire(id, now);
  }
  sweep_at_ = end == slots ? 0 : end;
  const std::uint32_t sweeps = (slots + kSweepSlots - 1) / kSweepSlots * kSweepsPerTimeout;
  next_sweep_ = now + std::max<Time>(config_.timeout / sweeps, 1);
}

void LoadClient::expire(SlotId id, Time now) {
  const bool connecting = slots_[id].state == SlotState::connecting;
  if (connecting && stage_ == Stage::reaching) {
    return fail(now, target_of(id) + ": no answer to a connection attempt within " +
                         std::to_string(config_.timeout / kMillisecond) +
                         " ms; check that the server is up, that the address is right and that "
                         "this side reaches it");
  }
  if (!connecting) {
    const bool answered = slots_[id].state == SlotState::finishing;
    return give_up(id, answered ? ErrorKind::ending : ErrorKind::timeout, now);
  }
  transport_.abort(id, now);
  connect_failed(id, ErrorKind::connect, now);
}

}  // namespace stackrig::rigload
