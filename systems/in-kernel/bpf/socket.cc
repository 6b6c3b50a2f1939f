// SPDX-License-Identifier: Apache-2.0
#include "socket.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "runtime/errors.h"
#include "wire/address.h"

namespace stackrig::in_kernel {
namespace {

void set_buffer(int fd, int forced, int plain, int bytes) {
  if (::setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) == 0) return;
  ::setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);  // cut to what is allowed
}

[[noreturn]] void refuse(const std::string& text) {
  throw runtime::UsageError("--listen " + text + ": " + std::strerror(errno) +
                            "; give an address of this host and a port that is free");
}

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::optional<sockaddr_in> parse_listen(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return std::nullopt;
  const auto address = wire::parse_ipv4(text.substr(0, colon));
  const std::string_view digits = std::string_view(text).substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (!address || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_addr.s_addr = htonl(address->value);
  out.sin_port = htons(port);
  return out;
}

void set_buffers(int fd, const BufferSizes& sizes) {
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, sizes.receive);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, sizes.send);
}

void set_no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Fd listen_on(const sockaddr_in& address, const std::string& text, const BufferSizes& sizes) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) refuse(text);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  set_buffers(fd.get(), sizes);  // before the handshake: the window scale follows from them
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0) {
    refuse(text);
  }
  return fd;
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

std::uint64_t bytes_unread(int fd) {
  int bytes = 0;
  return ::ioctl(fd, SIOCINQ, &bytes) == 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

std::uint64_t cookie_of(int fd) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size);
  return cookie;
}

}  // namespace stackrig::in_kernel
