// SPDX-License-Identifier: Apache-2.0
// Where a message is put together whose bytes come in pieces: a small buffer of each connection's
// own, and for longer messages one of some large ones.
//
// Thread: one. Nothing is allocated after construction; memory that was never used is never
// touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace stackrig::rtc {

class MessageBuffers {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  static constexpr std::size_t kSmallBytes = 8192;

  /// `large_bytes`: of the longest message.
  MessageBuffers(std::uint32_t small, std::uint32_t large, std::size_t large_bytes)
      : large_bytes_(large_bytes),
        small_(std::make_unique_for_overwrite<std::byte[]>(small * kSmallBytes)),
        large_(std::make_unique_for_overwrite<std::byte[]>(large * large_bytes)) {
    free_.reserve(large);
    for (std::uint32_t i = large; i-- > 0;) free_.push_back(i);
  }

  [[nodiscard]] std::byte* small(std::uint32_t i) const { return small_.get() + i * kSmallBytes; }
  [[nodiscard]] std::byte* large(std::uint32_t i) const { return large_.get() + i * large_bytes_; }
  /// kNone where none is free. Last in, first out: few are ever touched.
  std::uint32_t take_large() {
    if (free_.empty()) return kNone;
    const std::uint32_t i = free_.back();
    free_.pop_back();
    return i;
  }
  void give_back_large(std::uint32_t i) { free_.push_back(i); }
  [[nodiscard]] std::size_t free_large() const { return free_.size(); }

 private:
  std::size_t large_bytes_;
  std::unique_ptr<std::byte[]> small_, large_;
  std::vector<std::uint32_t> free_;
};

}  // namespace stackrig::rtc
