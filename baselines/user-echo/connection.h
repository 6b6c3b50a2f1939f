// SPDX-License-Identifier: Apache-2.0
// A connection that is not waited for: what has come, and how much of it may be sent back. Knows no
// system call; epoll and io_uring move the bytes.
//
//   read into room(), say received(n); send whole(), say sent(n); read on when whole() is empty
//
// As nothing is read while something is to be sent, a client that does not read is not read from
// either, and memory is bounded.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "echo/echo.h"

namespace stackrig::user_echo {

class Connection {
 public:
  /// Several buffers are read and sent back in one go where they are there.
  static constexpr std::size_t kMemory = std::size_t{2} * echo::kMostSize;

  /// Where the next bytes go: never empty while whole() is.
  [[nodiscard]] std::span<std::byte> room() { return std::span(memory_).subspan(end_); }
  /// False where the connection is to be closed: its size is refused.
  bool received(std::size_t count) {
    end_ += count;
    if (size_.known()) return true;
    std::span<const std::byte> rest = std::span(memory_).subspan(begin_, end_ - begin_);
    const auto state = size_.take(rest);
    begin_ = end_ - rest.size();
    return state != echo::SizeReader::State::refused;
  }
  /// Whole buffers that have not been sent back.
  [[nodiscard]] std::span<const std::byte> whole() const {
    if (!size_.known()) return {};
    const std::size_t have = end_ - begin_ + sent_of_buffer_;
    const std::size_t count = have / size_.size() * size_.size();
    return std::span(memory_).subspan(begin_,
                                      count > sent_of_buffer_ ? count - sent_of_buffer_ : 0);
  }
  void sent(std::size_t count) {
    begin_ += count;
    sent_of_buffer_ = (sent_of_buffer_ + count) % size_.size();
    if (begin_ == end_) {
      begin_ = end_ = 0;
    } else if (whole().empty() && begin_ != 0) {
      // The beginning of a buffer: to the front, so that there is room for the rest of it.
      std::memmove(memory_.data(), memory_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
  }

 private:
  std::vector<std::byte> memory_ = std::vector<std::byte>(kMemory);
  std::size_t begin_ = 0, end_ = 0;  ///< of what came and has not been sent
  std::size_t sent_of_buffer_ = 0;   ///< bytes that went out of the buffer that begin_ lies in
  echo::SizeReader size_;
};

}  // namespace stackrig::user_echo
