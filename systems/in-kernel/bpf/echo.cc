// SPDX-License-Identifier: Apache-2.0
#include "echo.h"

#include <sys/socket.h>

#include <cerrno>

namespace stackrig::in_kernel {

/// Reads the word and not a byte more: the buffers stay in the kernel.
bool EchoClient::before_programs() {
  while (!size_.known()) {
    std::array<std::byte, 1> byte;
    const ssize_t n = ::recv(fd(), byte.data(), byte.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    std::span<const std::byte> bytes(byte);
    if (n <= 0 || size_.take(bytes) == echo::SizeReader::State::refused) {
      if (n > 0) ++context().counters.malformed;
      end();
      return false;
    }
  }
  set_no_delay(fd());
  if (give_to_programs(size_.size())) return true;
  end();
  return false;
}

Client::Step EchoClient::handle(std::span<const std::byte> bytes) {
  if (bytes.size() < size_.size()) return {Step::Kind::need_more};
  switch (context().programs.detour(slot(), bytes.first(size_.size()))) {
    case Detour::sent: return {Step::Kind::took, size_.size()};
    case Detour::full: ++context().counters.parked; return {Step::Kind::park};
    case Detour::gone: break;
  }
  return {Step::Kind::close};
}

bool EchoClient::waits_for_own() const {
  return context().programs.waiting(slot(), fd()) != 0;
}

}  // namespace stackrig::in_kernel
