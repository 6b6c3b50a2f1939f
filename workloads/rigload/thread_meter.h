// SPDX-License-Identifier: Apache-2.0
// How busy a thread on kernel sockets is: CPU time of it, in user space and in the kernel, against
// the rest; where it spins, turns that found nothing are idle.
#pragma once

#include <cstdint>
#include <ctime>

#include "nmio/clock.h"
#include "rigload/phases.h"

namespace stackrig::rigload {

class ThreadMeter {
 public:
  explicit ThreadMeter(bool spins) : spins_(spins) {}

  /// The thread begins.
  void begin(std::uint64_t cycles) { began_ = last_ = cycles; }
  /// A turn ends.
  void turn(bool busy, std::uint64_t cycles) {
    (busy ? busy_ : idle_) += cycles - last_;
    last_ = cycles;
  }
  [[nodiscard]] Usage usage() const {
    if (spins_) return {.busy_cycles = busy_, .idle_cycles = idle_};
    timespec cpu{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    const auto cpu_ns = static_cast<double>(cpu.tv_sec) * 1e9 + static_cast<double>(cpu.tv_nsec);
    const auto busy = static_cast<std::uint64_t>(
        cpu_ns * 1e-9 * static_cast<double>(nmio::Clock::cycles_per_second()));
    const std::uint64_t passed = nmio::Clock::cycles() - began_;
    return {.busy_cycles = busy, .idle_cycles = passed > busy ? passed - busy : 0};
  }

 private:
  bool spins_;
  std::uint64_t busy_ = 0, idle_ = 0;  ///< cycles of turns
  std::uint64_t began_ = 0, last_ = 0;
};

}  // namespace stackrig::rigload
