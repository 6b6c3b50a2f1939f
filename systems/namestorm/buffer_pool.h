// SPDX-License-Identifier: Apache-2.0
// So many buffers of one size, and who has held one the longest: where none is free, that is who
// gives way to a newcomer. Otherwise a few that never finish could hold all of them for good.
//
// Thread: one. No allocation after construction; memory that was never used is never touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace stackrig::namestorm {

struct TcpConnection;

class BufferPool {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  BufferPool(std::uint32_t count, std::size_t bytes)
      : bytes_(bytes),
        memory_(std::make_unique_for_overwrite<std::byte[]>(count * bytes)),
        slots_(count) {
    for (std::uint32_t i = count; i-- > 0;) put_free(i);
  }

  /// kNone where none is free.
  std::uint32_t take(TcpConnection& holder) {
    const std::uint32_t i = first_free_;
    if (i == kNone) return i;
    first_free_ = slots_[i].next;
    --free_;
    slots_[i] = {.holder = &holder, .before = newest_, .next = kNone};
    (newest_ == kNone ? oldest_ : slots_[newest_].next) = i;
    newest_ = i;
    return i;
  }
  void give_back(std::uint32_t i) {
    const Slot s = slots_[i];
    (s.before == kNone ? oldest_ : slots_[s.before].next) = s.next;
    (s.next == kNone ? newest_ : slots_[s.next].before) = s.before;
    put_free(i);
  }

  [[nodiscard]] std::byte* at(std::uint32_t i) const { return memory_.get() + i * bytes_; }
  /// nullptr where all are free.
  [[nodiscard]] TcpConnection* longest_holder() const {
    return oldest_ == kNone ? nullptr : slots_[oldest_].holder;
  }
  [[nodiscard]] std::uint32_t count() const { return static_cast<std::uint32_t>(slots_.size()); }
  [[nodiscard]] std::uint32_t free() const { return free_; }

 private:
  /// On the list of the free ones (`next` alone), or in the order of taking.
  struct Slot {
    TcpConnection* holder = nullptr;
    std::uint32_t before = kNone, next = kNone;
  };
  void put_free(std::uint32_t i) {
    slots_[i] = {.holder = nullptr, .before = kNone, .next = first_free_};
    first_free_ = i;
    ++free_;
  }

  std::size_t bytes_;
  std::unique_ptr<std::byte[]> memory_;
  std::vector<Slot> slots_;
  std::uint32_t first_free_ = kNone, oldest_ = kNone, newest_ = kNone;
  std::uint32_t free_ = 0;
};

}  // namespace stackrig::namestorm
