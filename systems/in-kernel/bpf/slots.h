// SPDX-License-Identifier: Apache-2.0
// Slots of a table that BPF programs use too. One that was given back is handed out again only
// after a while: a program that had looked it up on another core just before has ended by then.
//
// Thread: any one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

namespace stackrig::in_kernel {

class Slots {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kRest{100};

  explicit Slots(std::uint32_t count) : count_(count) {}

  /// None where all are taken, or were a moment ago.
  std::optional<std::uint32_t> take(Clock::time_point now) {
    if (!resting_.empty() && now - resting_.front().since >= kRest) {
      const std::uint32_t slot = resting_.front().slot;
      resting_.pop_front();
      return slot;
    }
    if (used_ == count_) return std::nullopt;
    return used_++;
  }
  void give_back(std::uint32_t slot, Clock::time_point now) { resting_.push_back({slot, now}); }
  [[nodiscard]] std::uint32_t count() const { return count_; }

 private:
  struct Resting {
    std::uint32_t slot;
    Clock::time_point since;
  };
  std::uint32_t count_;
  std::uint32_t used_ = 0;  ///< those below were handed out at least once
  std::deque<Resting> resting_;
};

}  // namespace stackrig::in_kernel
