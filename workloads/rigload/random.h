// SPDX-License-Identifier: Apache-2.0
// Pseudo-random numbers for load: fast, seeded, one stream per thread.
//
// Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators" (xoshiro256++),
// seeded with splitmix64 as they advise.
#pragma once

#include <bit>
#include <cstdint>

namespace stackrig::rigload {

class Random {
 public:
  /// Streams of one seed are independent of each other for all practical purposes.
  Random(std::uint64_t seed, std::uint64_t stream) {
    std::uint64_t x = seed + stream * 0x632be59bd9b4e019U;
    for (std::uint64_t& word : state_) word = split_mix(x);
  }

  std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  /// Uniform in [0, n), n > 0. The bias (below n / 2^32) is far under what any run could notice.
  std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>(
        (std::uint64_t{static_cast<std::uint32_t>(next() >> 32)} * n) >> 32);
  }

  /// Uniform in (0, 1]: its logarithm is finite.
  double unit() { return (static_cast<double>(next() >> 11) + 1.0) * 0x1.0p-53; }

 private:
  static std::uint64_t split_mix(std::uint64_t& x) {
    std::uint64_t z = (x += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

  std::uint64_t state_[4];
};

}  // namespace stackrig::rigload
