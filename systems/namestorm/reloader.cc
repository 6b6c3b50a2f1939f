// SPDX-License-Identifier: Apache-2.0
#include "reloader.h"

#include <pthread.h>
#include <sched.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <exception>

namespace stackrig::namestorm {
namespace {

sigset_t reload_signal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  return set;
}

/// Reading a large zone takes seconds, and where the process has one core it is an instance's: a
/// time slice of it is longer than a receive ring lasts. So a reload runs when nobody else wants to
/// (and, under a load that never lets up, at the little that the kernel keeps for such threads).
/// Only a reload: the tick, which takes microseconds, is not to come late. Without CAP_SYS_NICE
/// there is no way back, and it may.
class GivesWay {
 public:
  GivesWay() {
    if (const int error = set(SCHED_IDLE); error != 0)
      spdlog::warn("reload: SCHED_IDLE: {}; it takes time from the answers", std::strerror(error));
  }
  ~GivesWay() { set(SCHED_OTHER); }
  GivesWay(const GivesWay&) = delete;
  GivesWay& operator=(const GivesWay&) = delete;

 private:
  static int set(int policy) {
    const sched_param none{};
    return ::pthread_setschedparam(::pthread_self(), policy, &none);
  }
};

void run(const ReloadThread::Reload& reload, const ReloadThread::Tick& tick, ZoneCounters& counters,
         const std::stop_token& stop) {
  const sigset_t set = reload_signal();
  constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 50'000'000};  // at the stop token
  while (!stop.stop_requested()) {
    if (tick) tick();
    if (::sigtimedwait(&set, nullptr, &kLook) != SIGHUP) continue;
    const auto began = std::chrono::steady_clock::now();
    const GivesWay gives_way;
    // What is counted has been logged: who sees the count finds the line.
    try {
      reload(stop);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
      spdlog::info("reloaded: {} zones, {} names, {} answers, in {:.1f} s", counters.zones_now,
                   counters.names_now, counters.answers_now, took.count());
      publish(counters.reloads, counters.reloads + 1);
    } catch (const std::exception& e) {
      spdlog::error("reload: {}; what was loaded before is still served", e.what());
      publish(counters.reloads_refused, counters.reloads_refused + 1);
    }
  }
}

}  // namespace

void block_reload_signal() {
  const sigset_t set = reload_signal();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

ReloadThread::ReloadThread(Reload reload, Tick tick, ZoneCounters& counters)
    : thread_([reload = std::move(reload), tick = std::move(tick),
               &counters](const std::stop_token& stop) { run(reload, tick, counters, stop); }) {
}

}  // namespace stackrig::namestorm
