// SPDX-License-Identifier: Apache-2.0
// The clock of the loops: CLOCK_MONOTONIC in nanoseconds, read from the time-stamp counter.
//
// A clock_gettime() costs 25 to 50 ns, a read of the TSC and a multiplication about 10. Each thread
// anchors the TSC to CLOCK_MONOTONIC and looks again about once a second; what it was wrong by is
// then spread over the next second, so that time never steps and never goes back within a thread.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "nmio/packet.h"

namespace stackrig::nmio {

class Clock {
 public:
  /// Monotonic time, within a few microseconds of CLOCK_MONOTONIC.
  static Time now() { return at(cycles()); }

  /// The time-stamp counter: what LoopCounters count in.
  static std::uint64_t cycles() {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return monotonic();
#endif
  }

  /// The time at a reading of cycles() that this thread took just now. A reading from before the
  /// last anchor is given the anchor's time.
  static Time at(std::uint64_t cycles) {
    Anchor& a = anchor_;
    if (cycles >= a.valid_until) [[unlikely]]
      return anchor_again(cycles);
    const std::uint64_t since = cycles > a.cycles ? cycles - a.cycles : 0;
    return a.time +
           static_cast<Time>(static_cast<unsigned __int128>(since) * a.ns_per_cycle_q32 >> 32);
  }

  /// Rate of cycles(), measured against CLOCK_MONOTONIC.
  static std::uint64_t cycles_per_second();

  /// CLOCK_MONOTONIC by system call (vDSO).
  static Time monotonic();

 private:
  struct Anchor {
    std::uint64_t cycles;
    std::uint64_t valid_until;  ///< cycles; 0: no anchor yet
    std::uint64_t ns_per_cycle_q32;
    Time time;
  };
  static Time anchor_again(std::uint64_t cycles);
  static thread_local constinit inline Anchor anchor_{};
};

}  // namespace stackrig::nmio
