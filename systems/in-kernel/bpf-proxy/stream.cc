// SPDX-License-Identifier: Apache-2.0
#include "stream.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

namespace stackrig::in_kernel::proxy {
namespace {

constexpr std::size_t kReadAtOnce = 64 << 10;
constexpr int kTurns = 16;  ///< one stream's reads before others come to it

}  // namespace

Stream::Next Stream::advance() {
  wants_in_ = wants_out_ = false;
  if (ended_) return Next::wait;
  for (int turn = 0; turn < kTurns; ++turn) {
    if (const Next next = send_unsent(); !unsent_.empty() || next == Next::broken) return next;
    if (all_read()) return end();
    const ssize_t n = unsent_.receive(from_.fd, kReadAtOnce);
    if (n > 0) {
      read_ += static_cast<std::uint64_t>(n);
    } else if (n == 0) {
      if (in_kernel_) return Next::later;  // what was passed is still on its way to the socket
      eof_ = true;
    } else if (errno == EAGAIN || errno == EINTR) {
      wants_in_ = true;
      return Next::wait;
    } else {
      return Next::broken;
    }
  }
  return Next::again;
}

/// Not before the socket's TCP has all that the program gave it: that goes first.
Stream::Next Stream::send_unsent() {
  if (unsent_.empty()) return Next::wait;
  if (in_kernel_ && relay_.waiting(to_.slot, to_.fd) != 0) return Next::later;
  while (!unsent_.empty()) {
    const auto bytes = unsent_.front();
    const ssize_t n = ::send(to_.fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
      if (errno != EAGAIN && errno != EINTR) return Next::broken;
      wants_out_ = true;
      return Next::wait;
    }
    unsent_.take(static_cast<std::size_t>(n));
    counted_ += static_cast<std::uint64_t>(n);
    if (in_kernel_) relay_.note_sent(to_.slot, static_cast<std::uint64_t>(n));
  }
  unsent_.shrink_to_fit();
  return Next::wait;
}

bool Stream::all_read() {
  if (!in_kernel_) return eof_;
  if (read_ != relay_.passed(from_.slot)) return false;
  relay_.give_back(from_.slot, read_);
  return read_ == relay_.passed(from_.slot);
}

/// Passes the end on, if it has come and is the next.
Stream::Next Stream::end() {
  if (in_kernel_) {
    if (!half_closed_) return Next::wait;
    // bytes_received() waits for whoever works on the socket; the FIN counts for one.
    if (relay_.seen(from_.slot) + 1 < bytes_received(from_.fd)) return Next::later;
    if (read_ != relay_.passed(from_.slot)) return Next::again;
    if (relay_.waiting(to_.slot, to_.fd) != 0) return Next::later;
  }
  ::shutdown(to_.fd, SHUT_WR);
  ended_ = true;
  return Next::wait;
}

bool Stream::delivered() const {
  if (!unsent_.empty()) return false;
  if (in_kernel_ && (read_ != relay_.passed(from_.slot) || relay_.waiting(to_.slot, to_.fd) != 0))
    return false;
  int outstanding = 0;
  return ::ioctl(to_.fd, SIOCOUTQ, &outstanding) != 0 || outstanding == 0;
}

}  // namespace stackrig::in_kernel::proxy
