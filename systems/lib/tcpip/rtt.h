// SPDX-License-Identifier: Apache-2.0
// Round trips, and the retransmission timer's length (RFC 6298), in microseconds.
#pragma once

#include <algorithm>
#include <cstdint>

namespace stackrig::tcpip {

inline constexpr std::uint32_t kMaxRtoUs = 60'000'000;  ///< RFC 6298 (2.5)

struct RttEstimator {
  std::uint32_t srtt8 = 0;    ///< smoothed round trip, us x 8; 0: no sample yet
  std::uint32_t rttvar4 = 0;  ///< its variation, us x 4; before the first sample: the RTO
  std::uint32_t least = 0;    ///< least round trip of late; 0: no sample yet

  void start(std::uint32_t initial_rto_us) { *this = {0, initial_rto_us, 0}; }

  /// A round trip was measured. Karn: never over a segment that was sent twice, unless timestamps
  /// tell which one was answered.
  void sample(std::uint32_t us) {
    us = std::clamp(us, 1U, kMaxRtoUs);  // below 2^26: nothing here overflows
    if (srtt8 == 0) [[unlikely]] {
      srtt8 = us * 8;
      rttvar4 = us * 2;  // R / 2
      least = us;
      return;
    }
    const auto delta = static_cast<std::int32_t>(us - (srtt8 >> 3));
    srtt8 += static_cast<std::uint32_t>(delta);
    srtt8 += srtt8 == 0 ? 1 : 0;
    rttvar4 += static_cast<std::uint32_t>(delta < 0 ? -delta : delta) - (rttvar4 >> 2);
    // A minimum that ages: a path that became longer is believed after some hundred round trips
    // (RFC 8985 6.2 step 1 asks for a windowed one, and leaves open which).
    least = us < least ? us : least + ((us - least) >> 8);
  }
  [[nodiscard]] std::uint32_t srtt_us() const { return srtt8 >> 3; }
  /// (2.3) RTO = SRTT + max(G, K * RTTVAR); (2.4) with a floor, which is ours and below 1 s;
  /// without a sample (2.1). Backed off `times` times (5.5).
  [[nodiscard]] std::uint32_t rto_us(std::uint32_t min_rto_us, unsigned times = 0) const {
    const std::uint32_t once =
        std::clamp((srtt8 >> 3) + std::max(rttvar4, 1000U), min_rto_us, kMaxRtoUs);
    const std::uint64_t us = std::uint64_t{once} << std::min(times, 16U);
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(us, kMaxRtoUs));
  }
};

}  // namespace stackrig::tcpip
