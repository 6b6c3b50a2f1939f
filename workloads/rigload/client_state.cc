// SPDX-License-Identifier: Apache-2.0
// Gate, phases and end of a thread's load.
#include "rigload/client_state.h"

namespace stackrig::rigload {
namespace {

/// From the moment that all clients are connected to the start.
constexpr Time kStartIn = 2 * nmio::kMillisecond;

}  // namespace

bool ClientState::stop_is_asked_for() {
  const std::atomic<bool>* flag = control_.interrupted;
  if (done_ || flag == nullptr || !flag->load(std::memory_order_relaxed)) return false;
  interrupted_ = true;
  return true;
}

void ClientState::report_connected(Time now) {
  if (control_.connected.fetch_add(1, std::memory_order_acq_rel) + 1 == control_.clients) {
    control_.start_at.store(now + kStartIn, std::memory_order_release);
  }
}

void ClientState::begin_phases(Time at, Time warmup, Time duration) {
  schedule_ = {.start = at, .measure = at + warmup, .drain = at + warmup + duration};
  enter(Phase::warmup);
  if (warmup == 0) enter(Phase::measure);
}

void ClientState::enter(Phase phase) {
  phase_ = phase;
  usage_at_[phases_begun_++] = meter_.usage();
  phase_ends_ = phase == Phase::warmup    ? schedule_.measure
                : phase == Phase::measure ? schedule_.drain
                                          : nmio::kNever;
}

void ClientState::end(Time now) {
  if (phases_begun_ != 0) {
    usage_at_[phases_begun_] = meter_.usage();
    ended_ = now;
  }
  phase_ends_ = nmio::kNever;
  done_ = true;
}

void ClientState::set_failure(const std::string& why) {
  failure_ = why;
  control_.failed.fetch_add(1, std::memory_order_release);
}

Usage ClientState::used(Phase phase) const {
  const auto p = static_cast<unsigned>(phase);
  if (p >= phases_begun_) return {};
  const Usage& from = usage_at_[p];
  const Usage& to = usage_at_[p + 1];
  return {.busy_cycles = to.busy_cycles - from.busy_cycles,
          .idle_cycles = to.idle_cycles - from.idle_cycles,
          .wire_rx_bytes = to.wire_rx_bytes - from.wire_rx_bytes,
          .wire_tx_bytes = to.wire_tx_bytes - from.wire_tx_bytes};
}

}  // namespace stackrig::rigload
