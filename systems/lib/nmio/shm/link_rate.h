// SPDX-License-Identifier: Apache-2.0
// The speed of a link: when the next frame may go out.
#pragma once

#include <algorithm>
#include <cstdint>

#include "nmio/packet.h"

namespace stackrig::nmio::shm {

class LinkRate {
 public:
  static constexpr std::uint32_t kWireOverhead = 24;  ///< preamble, FCS and gap, bytes per frame

  explicit LinkRate(std::uint64_t bits_per_second = 0) : rate_(bits_per_second) {}
  [[nodiscard]] bool limits() const { return rate_ != 0; }

  /// When the frames sent so far have left. Frames are sent back to back while there are any,
  /// however late the caller comes to send them: only idle() loses time.
  [[nodiscard]] Time free_at() const { return free_at_; }
  [[nodiscard]] bool may_send(Time now) const { return free_at_ <= now; }
  /// Nothing has waited until `now`.
  void idle(Time now) { free_at_ = std::max(free_at_, now); }
  /// `bytes` in `frames` frames go out.
  void sent(std::uint64_t bytes, std::uint64_t frames) {
    const auto bits = static_cast<unsigned __int128>(bytes + frames * kWireOverhead) * 8 * kSecond;
    const auto total = bits + remainder_;
    free_at_ += static_cast<Time>(total / rate_);
    remainder_ = static_cast<std::uint64_t>(total % rate_);
  }

 private:
  std::uint64_t rate_;
  Time free_at_ = 0;
  std::uint64_t remainder_ = 0;  ///< of a nanosecond, so that fast links do not gain by rounding
};

}  // namespace stackrig::nmio::shm
