// SPDX-License-Identifier: Apache-2.0
// A token bucket in virtual time: so many events a second, with a burst after a quiet spell.
#pragma once

#include <algorithm>
#include <cstdint>

#include "nmio/packet.h"

namespace stackrig::ip {

class RateLimit {
 public:
  RateLimit(std::uint32_t per_second, std::uint32_t burst)
      : interval_(per_second == 0 ? nmio::kNever : nmio::kSecond / per_second),
        depth_(per_second == 0 ? 0 : interval_ * burst) {}

  /// True where one more event is within the rate; it is counted then.
  bool allow(nmio::Time now) {
    if (depth_ == 0) return false;
    // spent_until_ is when the bucket will be full again.
    const nmio::Time from = std::max(spent_until_, now);
    if (from - now > depth_ - interval_) return false;
    spent_until_ = from + interval_;
    return true;
  }

 private:
  nmio::Time interval_;  ///< ns per token
  nmio::Time depth_;     ///< ns to fill an empty bucket
  nmio::Time spent_until_ = 0;
};

}  // namespace stackrig::ip
