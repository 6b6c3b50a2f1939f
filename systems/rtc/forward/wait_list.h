// SPDX-License-Identifier: Apache-2.0
// A queue of connections that wait for something, first come, first served; who has gone is taken
// out of the middle. A connection is in one list at most.
#pragma once

#include <cstdint>

namespace stackrig::rtc {

/// What a connection has for it.
struct WaitLink {
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  std::uint32_t before = kNone, after = kNone;
};

class WaitList {
 public:
  static constexpr std::uint32_t kNone = WaitLink::kNone;

  [[nodiscard]] bool empty() const { return first_ == kNone; }
  [[nodiscard]] std::uint32_t first() const { return first_; }

  /// `link(i)` is the WaitLink of connection i.
  template <class Link>
  void add(std::uint32_t i, Link link) {
    link(i) = {.before = last_, .after = kNone};
    (last_ == kNone ? first_ : link(last_).after) = i;
    last_ = i;
  }
  template <class Link>
  void remove(std::uint32_t i, Link link) {
    const WaitLink w = link(i);
    (w.before == kNone ? first_ : link(w.before).after) = w.after;
    (w.after == kNone ? last_ : link(w.after).before) = w.before;
    link(i) = {};
  }

 private:
  std::uint32_t first_ = kNone, last_ = kNone;
};

}  // namespace stackrig::rtc
