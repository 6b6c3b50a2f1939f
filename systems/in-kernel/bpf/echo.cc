// SPDX-License-Identifier: Apache-2.0
#include "echo.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace stackrig::in_kernel {

/// Reads the word and not a byte more: the buffers stay in the kernel.
Client::Before EchoClient::read_before(std::uint32_t& size) {
  while (!size_.known()) {
    std::array<std::byte, 1> byte;
    const ssize_t n = ::recv(fd(), byte.data(), byte.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Before::waits;
    if (n <= 0) return Before::refused;
    count_read(1);
    std::span<const std::byte> bytes(byte);
    if (size_.take(bytes) != echo::SizeReader::State::refused) continue;
    ++context().counters.malformed;
    return Before::refused;
  }
  sockets::set_no_delay(fd());
  size = size_.size();
  return Before::done;
}

Client::Step EchoClient::handle(std::span<const std::byte> bytes) {
  const std::size_t size = size_.size();
  if (bytes.size() < size) return {Step::Kind::need_more, size - bytes.size()};
  if (!flush()) return {Step::Kind::park};
  rest_.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
  ++context().counters.loader_messages;
  context().counters.loader_bytes += size;
  flush();
  return {Step::Kind::took, size};
}

/// An error ends the connection by the poller's event.
bool EchoClient::flush() {
  while (!rest_.empty()) {
    const ssize_t n = ::send(fd(), rest_.data(), rest_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n <= 0) return false;
    context().programs.note_sent(slot(), static_cast<std::uint64_t>(n));
    rest_.erase(rest_.begin(), rest_.begin() + n);
  }
  return true;
}

}  // namespace stackrig::in_kernel
