// SPDX-License-Identifier: Apache-2.0
// What every kind of load has in common on a thread: the gate before the start, the phases, how it
// ended, and what its thread used up in each phase. Knows no protocol and no device.
//
// Thread: one, but for RunControl, which all threads of a run share.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <string>

#include "rigload/phases.h"

namespace stackrig::rigload {

/// What the threads of a run share. The last client to be connected sets the start itself: no other
/// thread need get a turn on cores that spin.
struct RunControl {
  unsigned clients = 1;
  std::atomic<Time> start_at{nmio::kNever};
  const std::atomic<bool>* interrupted = nullptr;  ///< set from outside: stop now; may be absent
  std::atomic<unsigned> connected{0};              ///< clients that reached their server
  std::atomic<unsigned> failed{0};  ///< clients that could not; see ClientState::failure()
};

class ClientState {
 public:
  /// The run is over for this thread.
  [[nodiscard]] bool done() const { return done_; }
  /// Why the load could not run; empty where it could.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] bool was_interrupted() const { return interrupted_; }

  [[nodiscard]] const Schedule& schedule() const { return schedule_; }
  /// When the last phase ended; 0 where none began.
  [[nodiscard]] Time ended() const { return ended_; }
  [[nodiscard]] Usage used(Phase phase) const;

 protected:
  /// How often another thread's progress is looked for before the start.
  static constexpr Time kGatePoll = nmio::kMillisecond;

  /// All references outlive the client. `stats` is zeroed.
  ClientState(UsageMeter& meter, RunControl& control, RunStats& stats)
      : control_(control), stats_(stats), meter_(meter) {}
  ~ClientState() = default;

  PhaseStats& stats_now() { return stats_[static_cast<unsigned>(phase_)]; }
  /// Of the phase in which a request was due that became so at `due`.
  PhaseStats& stats_at(Time due) { return stats_[static_cast<unsigned>(schedule_.at(due))]; }
  /// A request that was due at `due` has been given up, or was answered wrongly: it has no latency.
  void count_censored(Time due, Time now) { stats_at(due).censor(now - std::min(now, due)); }
  /// A request that was due at `due` is never sent.
  void count_unsent(Time due, Time now) {
    stats_now().count(ErrorKind::unsent);
    count_censored(due, now);
  }
  [[nodiscard]] Phase phase() const { return phase_; }
  /// When the phase ends; kNever before the start and in the last one.
  [[nodiscard]] Time phase_ends() const { return phase_ends_; }

  /// True once after a stop was asked for from outside.
  bool stop_is_asked_for();
  [[nodiscard]] bool another_failed() const {
    return control_.failed.load(std::memory_order_relaxed) != 0;
  }
  /// This client's servers are there.
  void report_connected(Time now);
  /// The moment at which all begin; kNever while it is not known.
  [[nodiscard]] Time start_at() const { return control_.start_at.load(std::memory_order_acquire); }
  void begin_phases(Time at, Time warmup, Time duration);
  void enter(Phase phase);
  /// Measuring ends now and not when it was to; enter(Phase::drain) comes next. For a run of one
  /// client only: others are not told.
  void end_measure(Time now) { schedule_.drain = now; }
  void end(Time now);
  /// The load cannot run; the caller ends it.
  void set_failure(const std::string& why);

  RunControl& control_;
  RunStats& stats_;

 private:
  UsageMeter& meter_;
  Phase phase_ = Phase::warmup;
  Time phase_ends_ = nmio::kNever;
  Schedule schedule_;
  Time ended_ = 0;
  std::array<Usage, kPhases + 1> usage_at_{};  ///< when each phase began; then at the end
  unsigned phases_begun_ = 0;
  bool done_ = false;
  bool interrupted_ = false;
  std::string failure_;
};

}  // namespace stackrig::rigload
