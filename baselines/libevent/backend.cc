// SPDX-License-Identifier: Apache-2.0
// Writing to a sink, waiting for it, losing it.
#include "backend.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace stackrig::libevent {

Backend::Backend(event_base* base, sockets::Fd socket, const Water& water, Counters& counters,
                 std::function<void(Backend&)> gone)
    : socket_(std::move(socket)),
      water_(water),
      counters_(counters),
      gone_(std::move(gone)),
      out_(::evbuffer_new()),
      readable_(make_event<&Backend::on_readable>(base, socket_.get(), EV_READ | EV_PERSIST, this)),
      writable_(
          make_event<&Backend::on_writable>(base, socket_.get(), EV_WRITE | EV_PERSIST, this)),
      lost_(make_event<&Backend::on_lost>(base, -1, 0, this)) {
  ::event_add(readable_.get(), nullptr);
  ++counters_.connected;
}

/// Senders that waited find the key without a backend.
Backend::~Backend() {
  counters_.dropped_bytes += waiting();
  call_waiters();
}

void Backend::write(std::span<const std::byte> message) {
  if (waiting() == 0) {
    ++counters_.writes;
    const ssize_t n = ::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL);
    if (n == static_cast<ssize_t>(message.size())) return;
    if (n > 0) message = message.subspan(static_cast<std::size_t>(n));
    // An error is seen, and acted on, by flush().
  }
  add(message);
  flush();
}

void Backend::add(std::span<const std::byte> message) {
  ::evbuffer_add(out_.get(), message.data(), message.size());
}

/// Called from within a sender's reading: an error, and senders that wait for room that there is
/// now, have their turn in the loop.
void Backend::flush() {
  if (blocked_) return;
  while (waiting() != 0) {
    ++counters_.writes;
    const int n = ::evbuffer_write(out_.get(), socket_.get());
    if (n > 0 || (n < 0 && errno == EINTR)) continue;
    blocked_ = true;
    if (n < 0 && errno == EAGAIN) {
      ::event_add(writable_.get(), nullptr);
    } else {
      ::event_active(lost_.get(), EV_TIMEOUT, 0);
    }
    return;
  }
  if (!waiters_.empty()) ::event_active(writable_.get(), EV_WRITE, 0);
}

void Backend::on_writable() {
  blocked_ = false;
  ::event_del(writable_.get());
  flush();
  if (finishing_ && waiting() == 0) return gone_(*this);
  if (waiting() <= water_.low) call_waiters();
}

/// A sink says nothing: what comes is its end, or is thrown away.
void Backend::on_readable() {
  std::array<std::byte, 4096> ignored;
  const ssize_t n = ::recv(socket_.get(), ignored.data(), ignored.size(), 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) on_lost();
}

void Backend::on_lost() {
  ++counters_.backends_lost;
  gone_(*this);
}

/// Those that find it full again wait again.
void Backend::call_waiters() {
  for (const auto& call : std::exchange(waiters_, {})) call();
}

void Backend::finish() {
  finishing_ = true;
  flush();
  if (waiting() == 0) ::event_active(writable_.get(), EV_WRITE, 0);
}

}  // namespace stackrig::libevent
