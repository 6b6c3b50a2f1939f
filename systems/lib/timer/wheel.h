// SPDX-License-Identifier: Apache-2.0
// A hierarchical timing wheel with intrusive nodes (Varghese and Lauck, SOSP 1987, scheme 7).
//
//   struct Connection { timer::Node retransmit; ... };
//   wheel.arm(c.retransmit, now + rto);              // arms, or moves one that is armed
//   wheel.advance(now, [](timer::Node& n) { ... });  // fires what is due
//
// Levels of 64 slots. A timer lies at the level of the highest digit (base 64) in which its tick
// differs from the present one, in the slot of that digit; when the wheel reaches the slot, the
// timer moves to a lower level. A bitmap per level skips empty slots, so time that passes without
// timers costs nothing. Arm and cancel are O(1) and allocate nothing. A timer fires at the first
// advance() at or after its deadline rounded up to a tick, never before its deadline.
//
// Thread: one.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace stackrig::timer {

/// Monotonic nanoseconds, as nmio::Time; this library knows of no other.
using Time = std::uint64_t;
inline constexpr Time kNever = ~Time{0};

/// Part of what is timed; cancel() it before it goes.
class Node {
 public:
  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  [[nodiscard]] bool armed() const { return where_ != nullptr; }
  /// What it was last armed for, or the next tick where that had passed already.
  [[nodiscard]] Time deadline() const { return deadline_; }

 private:
  friend class Wheel;
  Node* next_ = nullptr;
  Node** where_ = nullptr;  ///< the pointer that points here: a slot's head, or a neighbour's next_
  Time deadline_ = 0;
};

class Wheel {
 public:
  /// A tick is 2^tick_shift ns; 2^17 ns = 131 us is far below the least TCP timer.
  explicit Wheel(Time now = 0, unsigned tick_shift = 17)
      : tick_shift_(tick_shift), current_(now >> tick_shift), earliest_(current_ + 1) {}
  Wheel(const Wheel&) = delete;
  Wheel& operator=(const Wheel&) = delete;

  /// Arms, or moves an armed timer. A deadline that has passed fires at the next tick; kNever
  /// cancels.
  void arm(Node& n, Time deadline) {
    cancel(n);
    n.deadline_ = deadline;
    if (deadline == kNever) return;
    insert(n, earliest_);
    ++armed_;
  }

  void cancel(Node& n) {
    if (!n.armed()) return;
    unlink(n);
    --armed_;
  }

  /// Fires all that is due at `now`, tick by tick, as fn(Node&). The node is no longer armed then;
  /// fn may arm and cancel any timer. Time that goes back is no time. Returns how many were fired.
  template <class Fn>
  std::size_t advance(Time now, Fn&& fn) {
    const std::uint64_t now_tick = now >> tick_shift_;
    if (now_tick <= current_) return 0;
    earliest_ = now_tick + 1;  // what fn arms is not due in this call
    std::size_t fired = 0;
    while (levels_ != 0) {
      const Slot s = first_slot();
      if (s.start > now_tick) break;
      current_ = s.start;
      Node*& head = slots_[s.level][s.index];
      if (s.level != 0) {
        move_down(head);
        continue;
      }
      while (head != nullptr) {
        Node& n = *head;
        cancel(n);
        ++fired;
        fn(n);
      }
    }
    current_ = now_tick;
    return fired;
  }

  /// When advance() has something to do next: never later than the first deadline's tick, and
  /// earlier where that timer lies on a higher level. kNever where none is armed.
  [[nodiscard]] Time next_deadline() const {
    return levels_ == 0 ? kNever : first_slot().start << tick_shift_;
  }
  [[nodiscard]] std::size_t armed() const { return armed_; }

 private:
  static constexpr unsigned kDigitBits = 6;
  static constexpr unsigned kSlots = 1U << kDigitBits;
  static constexpr unsigned kLevels = 11;  ///< 66 bits: every tick has a level, nothing wraps

  struct Slot {
    unsigned level;
    unsigned index;
    std::uint64_t start;  ///< first tick of the slot
  };

  // The first occupied slot. All slots of a level lie before those of the next: a timer shares with
  // current_ every digit above its own level.
  [[nodiscard]] Slot first_slot() const {
    const auto level = static_cast<unsigned>(std::countr_zero(levels_));
    const auto index = static_cast<unsigned>(std::countr_zero(occupied_[level]));
    const unsigned shift = level * kDigitBits;
    const unsigned above = shift + kDigitBits;
    const std::uint64_t base = above >= 64 ? 0 : current_ >> above << above;
    return {level, index, base | std::uint64_t{index} << shift};
  }

  void insert(Node& n, std::uint64_t not_before) {
    const std::uint64_t mask = (std::uint64_t{1} << tick_shift_) - 1;
    std::uint64_t tick = (n.deadline_ >> tick_shift_) + ((n.deadline_ & mask) != 0 ? 1 : 0);
    if (tick < not_before) {
      tick = not_before;
      n.deadline_ = tick << tick_shift_;  // kept when it moves down a level
    }
    const std::uint64_t differ = tick ^ current_;
    const unsigned level =
        differ == 0 ? 0 : (static_cast<unsigned>(std::bit_width(differ)) - 1) / kDigitBits;
    const auto index = static_cast<unsigned>(tick >> (level * kDigitBits)) & (kSlots - 1);
    Node*& head = slots_[level][index];
    n.next_ = head;
    n.where_ = &head;
    if (head != nullptr) head->where_ = &n.next_;
    head = &n;
    occupied_[level] |= std::uint64_t{1} << index;
    levels_ |= 1U << level;
  }

  void unlink(Node& n) {
    *n.where_ = n.next_;
    if (n.next_ != nullptr) {
      n.next_->where_ = n.where_;
    } else {
      forget_if_empty(n.where_);
    }
    n.next_ = nullptr;
    n.where_ = nullptr;
  }

  // Clears the bits of a slot where `where` is the head of one and nothing hangs on it any more.
  void forget_if_empty(Node** where) {
    const auto offset =
        reinterpret_cast<std::uintptr_t>(where) - reinterpret_cast<std::uintptr_t>(slots_.data());
    if (offset >= sizeof slots_) return;  // a neighbour's next_
    const std::size_t slot = offset / sizeof(Node*);
    const auto level = static_cast<unsigned>(slot / kSlots);
    occupied_[level] &= ~(std::uint64_t{1} << slot % kSlots);
    if (occupied_[level] == 0) levels_ &= ~(1U << level);
  }

  // The wheel has reached a slot of a higher level: its timers differ from now only in lower
  // digits.
  void move_down(Node*& head) {
    while (head != nullptr) {
      Node& n = *head;
      unlink(n);
      insert(n, 0);
    }
  }

  unsigned tick_shift_;
  unsigned levels_ = 0;     ///< bit per level that has timers
  std::uint64_t current_;   ///< tick up to which all has been fired
  std::uint64_t earliest_;  ///< least tick that may be armed
  std::size_t armed_ = 0;
  std::array<std::uint64_t, kLevels> occupied_{};  ///< bit per slot that has timers
  std::array<std::array<Node*, kSlots>, kLevels> slots_{};
};

}  // namespace stackrig::timer
