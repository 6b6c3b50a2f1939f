// SPDX-License-Identifier: Apache-2.0
#include "socket.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstddef>

namespace stackrig::in_kernel {
namespace {

void set_buffer(int fd, int forced, int plain, int bytes) {
  if (::setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) == 0) return;
  ::setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);  // cut to what is allowed
}

}  // namespace

void set_buffers(int fd, const BufferSizes& sizes) {
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, sizes.receive);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, sizes.send);
}

std::optional<std::uint64_t> bytes_written(int fd) {
  // Acknowledged first, then what is not: what is acknowledged in between is in neither.
  tcp_info info{};
  socklen_t size = sizeof info;
  int outstanding = 0;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      size < offsetof(tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked ||
      ::ioctl(fd, SIOCOUTQ, &outstanding) != 0) {
    return std::nullopt;
  }
  return info.tcpi_bytes_acked + static_cast<std::uint64_t>(outstanding);
}

std::uint64_t bytes_received(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

std::uint64_t cookie_of(int fd) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size);
  return cookie;
}

}  // namespace stackrig::in_kernel
