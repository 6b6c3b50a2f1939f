// SPDX-License-Identifier: Apache-2.0
// A pool of records of fixed size and number that takes memory only as records are used: what was
// never taken lies in pages that were never touched. Last in, first out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

namespace stackrig::tcpip {

/// T has a member `std::uint32_t next`, which is the pool's while the record is free. A record
/// comes as it was left. Thread: one.
template <class T>
class LazyPool {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  explicit LazyPool(std::uint32_t capacity)
      // No constructor runs: it would touch all.
      : items_(static_cast<T*>(::operator new (sizeof(T) * std::size_t{capacity}))),
        capacity_(capacity) {}

  [[nodiscard]] T& operator[](std::uint32_t i) { return items_[i]; }
  [[nodiscard]] const T& operator[](std::uint32_t i) const { return items_[i]; }
  /// kNone where all are taken.
  [[nodiscard]] std::uint32_t take() {
    std::uint32_t i = free_;
    if (i != kNone) {
      free_ = items_[i].next;
    } else if (fresh_ != capacity_) {
      i = fresh_++;
    } else {
      return kNone;
    }
    ++used_;
    return i;
  }
  void give_back(std::uint32_t i) {
    items_[i].next = free_;
    free_ = i;
    --used_;
  }
  void clear() {
    free_ = kNone;
    fresh_ = used_ = 0;
  }
  [[nodiscard]] std::uint32_t used() const { return used_; }
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete(p); }
  };
  std::unique_ptr<T[], Free> items_;
  std::uint32_t capacity_;
  std::uint32_t free_ = kNone;
  std::uint32_t fresh_ = 0;  ///< records from here on were never taken
  std::uint32_t used_ = 0;
};

}  // namespace stackrig::tcpip
