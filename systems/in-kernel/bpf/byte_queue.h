// SPDX-License-Identifier: Apache-2.0
// Bytes that were received and wait in one piece: appended at the end, taken off the front.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <span>
#include <vector>

namespace stackrig::in_kernel {

class ByteQueue {
 public:
  [[nodiscard]] std::span<const std::byte> front() const {
    return std::span<const std::byte>(bytes_).subspan(taken_);
  }
  [[nodiscard]] bool empty() const { return taken_ == bytes_.size(); }

  void take(std::size_t count) {
    taken_ += count;
    // Moved when that is less than what was taken: each byte once on average.
    if (taken_ < bytes_.size() - taken_) return;
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(taken_));
    taken_ = 0;
  }

  /// Appends what the socket has, `most` bytes at most. Returns what recv() does, and never waits.
  ssize_t receive(int fd, std::size_t most) {
    const std::size_t had = bytes_.size();
    bytes_.resize(had + most);
    const ssize_t n = ::recv(fd, bytes_.data() + had, most, MSG_DONTWAIT);
    bytes_.resize(had + (n > 0 ? static_cast<std::size_t>(n) : 0));
    return n;
  }

  void shrink_to_fit() { bytes_.shrink_to_fit(); }

 private:
  std::vector<std::byte> bytes_;
  std::size_t taken_ = 0;  ///< of bytes_, from the front
};

}  // namespace stackrig::in_kernel
