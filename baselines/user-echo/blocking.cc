// SPDX-License-Identifier: Apache-2.0
// Slick's listing 3.1, with what it leaves out: a size that is refused, a read that is interrupted.
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>

#include "echo/echo.h"
#include "server.h"

namespace stackrig::user_echo {
namespace {

/// The listing's recv_all: a whole buffer, in one call. False where the stream ended before.
bool recv_all(int fd, std::span<std::byte> buffer) {
  return ::recv(fd, buffer.data(), buffer.size(), MSG_WAITALL) ==
         static_cast<ssize_t>(buffer.size());
}

bool send_all(int fd, std::span<const std::byte> buffer) {
  while (!buffer.empty()) {
    const ssize_t n = ::send(fd, buffer.data(), buffer.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    buffer = buffer.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

void serve(int fd, std::span<std::byte> memory) {
  std::array<std::byte, echo::kSizeBytes> word{};
  if (!recv_all(fd, word)) return;
  std::span<const std::byte> rest = word;
  echo::SizeReader reader;
  if (reader.take(rest) != echo::SizeReader::State::known) return;
  const std::span<std::byte> buffer = memory.first(reader.size());
  while (recv_all(fd, buffer)) {
    if (!send_all(fd, buffer)) return;
  }
}

extern "C" void end_process(int /*signal*/) {
  ::_exit(0);
}

}  // namespace

void serve_blocking(const sockets::Fd& listener, const std::function<void()>& ready) {
  // No flag that a loop looks at: a signal between the look and the blocking call would be missed.
  for (const int s : {SIGTERM, SIGINT}) std::signal(s, end_process);
  static std::array<std::byte, echo::kMostSize> memory;
  ready();
  for (;;) {
    const sockets::Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd) {
      sockets::set_no_delay(fd.get());
      serve(fd.get(), memory);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      throw std::system_error(errno, std::generic_category(), "accept");
    }
  }
}

}  // namespace stackrig::user_echo
