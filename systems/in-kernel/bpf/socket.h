// SPDX-License-Identifier: Apache-2.0
// Kernel sockets as this system sets them up, and what TCP says of them.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace stackrig::in_kernel {

/// Owns a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  void reset();

 private:
  int fd_ = -1;
};

struct BufferSizes {
  int receive = 256 << 10;  ///< bytes of payload, about; what a slow receiver costs its sender
  int send = 1 << 20;       ///< bytes of payload, about
};

/// "10.0.0.1:7". None where it is not that.
std::optional<sockaddr_in> parse_listen(const std::string& text);

/// Non-blocking, for accept(). Throws runtime::UsageError, which names `text`.
Fd listen_on(const sockaddr_in& address, const std::string& text, const BufferSizes& sizes);

/// Sizes of the buffers, beyond the system-wide limit where we may.
void set_buffers(int fd, const BufferSizes& sizes);

/// No waiting for what may follow (RFC 896): each frame stands for itself.
void set_no_delay(int fd);

/// Bytes of data that TCP has taken for sending since the connection began; may be too few while
/// acknowledgements arrive, never too many. None where it cannot be asked.
std::optional<std::uint64_t> bytes_written(int fd);

/// Bytes received that nobody has read.
std::uint64_t bytes_unread(int fd);

std::uint64_t cookie_of(int fd);

}  // namespace stackrig::in_kernel
