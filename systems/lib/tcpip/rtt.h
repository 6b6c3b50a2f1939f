// SPDX-License-Identifier: Apache-2.0
// The retransmission timer's length (RFC 6298), in microseconds.
#pragma once

#include <algorithm>
#include <cstdint>

namespace stackrig::tcpip {

inline constexpr std::uint32_t kMaxRtoUs = 60'000'000;  ///< RFC 6298 (2.5)

struct RttEstimator {
  std::uint32_t srtt8 = 0;    ///< smoothed round trip, us x 8; 0: no sample yet
  std::uint32_t rttvar4 = 0;  ///< its variation, us x 4
  std::uint32_t rto_us = 0;   ///< without back-off

  void start(std::uint32_t initial_rto_us) {
    srtt8 = rttvar4 = 0;
    rto_us = initial_rto_us;
  }

  /// A round trip was measured. Karn: never over a segment that was sent twice, unless timestamps
  /// tell which one was answered.
  void sample(std::uint32_t us, std::uint32_t min_rto_us) {
    us = std::clamp(us, 1U, kMaxRtoUs);
    if (srtt8 == 0) {
      srtt8 = us * 8;
      rttvar4 = us * 2;  // R / 2
    } else {
      const std::int64_t delta = static_cast<std::int64_t>(us) - (srtt8 >> 3);
      const std::uint64_t size = static_cast<std::uint64_t>(delta < 0 ? -delta : delta);
      rttvar4 = static_cast<std::uint32_t>(rttvar4 - (rttvar4 >> 2) + size);
      srtt8 = static_cast<std::uint32_t>(static_cast<std::int64_t>(srtt8) + delta);
      srtt8 = std::max(srtt8, 1U);
    }
    // (2.3) RTO = SRTT + max(G, K * RTTVAR); (2.4) with a floor, which is ours and below 1 s.
    rto_us = std::clamp((srtt8 >> 3) + std::max(rttvar4, 1000U), min_rto_us, kMaxRtoUs);
  }
  [[nodiscard]] std::uint32_t srtt_us() const { return srtt8 >> 3; }
  /// Backed off `times` times (5.5).
  [[nodiscard]] std::uint32_t backed_off_us(unsigned times) const {
    const std::uint64_t us = std::uint64_t{rto_us} << std::min(times, 16U);
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(us, kMaxRtoUs));
  }
};

}  // namespace stackrig::tcpip
