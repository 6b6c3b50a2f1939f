// SPDX-License-Identifier: Apache-2.0
#include "nmio/clock.h"

#include <ctime>

#include <algorithm>

namespace stackrig::nmio {
namespace {

struct Reading {
  std::uint64_t cycles;
  Time time;
};

/// Both clocks at one moment: of several tries the one with the least between the two TSC reads,
/// which no interrupt or hypervisor exit fell into.
Reading read_both() {
  Reading best{};
  std::uint64_t least = ~std::uint64_t{0};
  for (int i = 0; i < 16; ++i) {
    const std::uint64_t before = Clock::cycles();
    const Time time = Clock::monotonic();
    const std::uint64_t after = Clock::cycles();
    if (after - before < least) {
      least = after - before;
      best = {before + (after - before) / 2, time};
    }
  }
  return best;
}

struct Calibration {
  Reading start;
  std::uint64_t ns_per_cycle_q32;
};

std::uint64_t slope(const Reading& a, const Reading& b) {
  const auto ns = static_cast<unsigned __int128>(b.time - a.time) << 32;
  return static_cast<std::uint64_t>(ns / (b.cycles - a.cycles));
}

/// Once per process; 10 ms give the rate to a few parts per million, later anchors correct the
/// rest.
const Calibration& calibration() {
  static const Calibration c = [] {
    const Reading start = read_both();
    while (Clock::monotonic() - start.time < 10 * kMillisecond) {
    }
    return Calibration{start, slope(start, read_both())};
  }();
  return c;
}

}  // namespace

Time Clock::monotonic() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<Time>(t.tv_sec) * kSecond + static_cast<Time>(t.tv_nsec);
}

std::uint64_t Clock::cycles_per_second() {
  const auto second_q32 = static_cast<unsigned __int128>(kSecond) << 32;
  return static_cast<std::uint64_t>(second_q32 / calibration().ns_per_cycle_q32);
}

Time Clock::anchor_again(std::uint64_t cycles) {
  const Calibration& c = calibration();
  Anchor& a = anchor_;
  const Reading real = read_both();
  const std::uint64_t second = cycles_per_second();
  std::uint64_t rate = c.ns_per_cycle_q32;
  Time time = real.time;
  if (a.valid_until != 0) {
    // What this thread has said so far is where time goes on; the error is made good over a second,
    // by at most a tenth of the rate.
    const auto passed = static_cast<unsigned __int128>(real.cycles - a.cycles) * a.ns_per_cycle_q32;
    time = a.time + static_cast<Time>(passed >> 32);
    rate = slope(c.start, real);
    const auto error = static_cast<std::int64_t>(real.time - time);
    const auto most = static_cast<std::int64_t>(kSecond / 10);
    const double factor = 1.0 + static_cast<double>(std::clamp(error, -most, most)) / 1e9;
    rate = static_cast<std::uint64_t>(static_cast<double>(rate) * factor);
  }
  a = {real.cycles, real.cycles + second, rate, time};
  return std::max(time, cycles > real.cycles ? at(cycles) : time);
}

}  // namespace stackrig::nmio
