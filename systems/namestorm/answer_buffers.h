// SPDX-License-Identifier: Apache-2.0
// Answers over TCP that have been sent and not yet acknowledged: two pools of fixed size, one for
// the many short answers and one for the few that are as long as a message can be.
//
// Thread: one. No allocation after construction; memory that was never used is never touched.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "buffer_pool.h"
#include "tcpip/owner.h"

namespace stackrig::namestorm {

class AnswerBuffers final : public tcpip::ByteOwner {
 public:
  static constexpr std::uint32_t kShort = 2048;
  static constexpr std::uint32_t kLong = 65536 + 64;  ///< length prefix and the longest message

  AnswerBuffers(std::uint32_t short_ones, std::uint32_t long_ones)
      : short_(short_ones, kShort), long_(long_ones, kLong) {}

  /// Keeps a copy of `bytes`, at most kLong, until the stack releases it; the cookie to write it
  /// with. Nothing where no buffer is free.
  std::optional<std::uint64_t> add(std::span<const std::uint8_t> bytes, TcpConnection& holder);
  /// Who has held a buffer for so many bytes the longest; nullptr where nobody does.
  [[nodiscard]] TcpConnection* longest_holder(std::size_t bytes) const {
    return (bytes <= kShort ? short_ : long_).longest_holder();
  }
  [[nodiscard]] std::size_t free() const { return std::size_t{short_.free()} + long_.free(); }

  tcpip::Fetched fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                       std::uint32_t max_segment, std::span<tcpip::Segment> out) override;
  void released(std::uint64_t cookie) override;

 private:
  [[nodiscard]] std::byte* at(std::uint64_t cookie) const;

  BufferPool short_, long_;  ///< a cookie is an index; the long ones come after
};

}  // namespace stackrig::namestorm
