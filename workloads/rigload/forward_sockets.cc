// SPDX-License-Identifier: Apache-2.0
// Sockets of senders and sinks, in turns.
#include "rigload/forward_sockets.h"

#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>
#include <utility>

#include "nmio/clock.h"

namespace stackrig::rigload {
namespace {

using nmio::Clock;
using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kSecond;

/// From the beginning of a turn to that of the next, unless a turn moved so many bytes: then
/// buffers may be about to fill, and the next comes at once.
constexpr Time kTurn = 500 * kMicrosecond;
constexpr std::uint64_t kManyBytes = 1U << 20;
/// A stop asked for from outside is seen after at most this long.
constexpr Time kLongestWait = 100 * kMillisecond;
constexpr std::uint32_t kEverything = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

Lost lost_by(int error) {
  if (error == ECONNREFUSED) return Lost::refused;
  return error == ECONNRESET || error == EPIPE ? Lost::reset : Lost::unreachable;
}

timespec to_timespec(Time t) {
  return {static_cast<time_t>(t / kSecond), static_cast<long>(t % kSecond)};
}

}  // namespace

ForwardSocketLane::ForwardSocketLane(const Config& config, const ForwardConfig& forward,
                                     RunControl& control, RunStats& stats)
    : config_(config),
      meter_(config.spin),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      sockets_(ForwardClient::slots(forward.shape)),
      buffer_(kReadBytes),
      client_(forward, *this, *this, control, stats) {
  if (!epoll_) {
    throw std::runtime_error(std::string("epoll: ") + std::strerror(errno) +
                             "; raise the limit of open files (ulimit -n)");
  }
  listen_all(forward.shape);
}

void ForwardSocketLane::listen_all(const ForwardShape& shape) {
  wire::Endpoint at = config_.first_sink;
  for (std::uint32_t k = 0; k < shape.sinks; ++k) {
    const SlotId slot = ForwardClient::sink_slot(shape, k);
    sockets_[slot].listener = sockets::listen_on(at, true, "--sink-address");
    watch(sockets_[slot].listener.get(), EPOLLIN, kListener | slot);
    if (at.port != 0) ++at.port;
  }
}

void ForwardSocketLane::watch(int fd, std::uint32_t what, std::uint64_t as) {
  epoll_event event{};
  event.events = what;
  event.data.u64 = as;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    throw std::runtime_error(std::string("epoll: ") + std::strerror(errno));
}

// --- the loop
// --------------------------------------------------------------------------------------

void ForwardSocketLane::run() {
  ::prctl(PR_SET_TIMERSLACK, 1);  // a pause is as long as it says
  const std::uint64_t began = Clock::cycles();
  meter_.begin(began);
  client_.turn(Clock::at(began));
  while (!client_.done()) {
    const int events = poll(Clock::now());
    const Time now = Clock::now();
    client_.tick(now);
    for (int i = 0; i < events; ++i) handle(events_[static_cast<std::size_t>(i)], now);
    client_.turn(now);
    for (const SlotId slot : std::exchange(to_write_, {})) write_rest(slot, now);
    meter_.turn(events != 0, Clock::cycles());
    if (!config_.spin && std::exchange(moved_, 0) < kManyBytes) pause_until(now + kTurn);
  }
}

int ForwardSocketLane::poll(Time now) {
  Time wait = 0;
  if (!config_.spin && to_write_.empty()) {
    const Time deadline = client_.next_deadline();
    wait = deadline > now ? std::min(deadline - now, kLongestWait) : 0;
  }
  const timespec timeout = to_timespec(wait);
  return ::epoll_pwait2(epoll_.get(), events_.data(), kEvents, &timeout, nullptr);
}

void ForwardSocketLane::pause_until(Time then) const {
  const Time now = Clock::now();
  if (then <= now) return;
  const timespec pause = to_timespec(then - now);
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
}

void ForwardSocketLane::handle(const epoll_event& event, Time now) {
  const auto slot = static_cast<SlotId>(event.data.u64 & 0xffff'ffff);
  if ((event.data.u64 & kListener) != 0) return accept(slot, now);
  if (!sockets_[slot].fd) return;  // gone, by an event before this one
  if (!sockets_[slot].connected && !finish_connect(slot, now)) return;
  if ((event.events & EPOLLOUT) != 0) write_rest(slot, now);
  if ((event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
    read_all(slot, event.events, now);
}

// --- connections
// -----------------------------------------------------------------------------------

bool ForwardSocketLane::open(SlotId slot, Time /*now*/) {
  sockets::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return false;
  if (config_.target.sources != 0) {
    const sockaddr_in source = sockets::to_sockaddr({config_.target.first_source, 0});
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0)
      return false;
  }
  sockets::set_no_delay(fd.get());
  const sockaddr_in to = sockets::to_sockaddr(config_.target.server);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
      errno != EINPROGRESS)
    return false;
  watch(fd.get(), kEverything, slot);
  sockets_[slot].fd = std::move(fd);
  return true;
}

wire::Endpoint ForwardSocketLane::listening(SlotId slot) const {
  return sockets::local_of(sockets_[slot].listener.get());
}

void ForwardSocketLane::accept(SlotId slot, Time now) {
  Socket& s = sockets_[slot];
  sockets::Fd fd(::accept4(s.listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd || s.connected) return;
  watch(fd.get(), kEverything, slot);
  s.fd = std::move(fd);
  s.connected = true;
  client_.on_connected(slot, now);
}

bool ForwardSocketLane::finish_connect(SlotId slot, Time now) {
  int error = 0;
  socklen_t len = sizeof error;
  if (::getsockopt(sockets_[slot].fd.get(), SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
  if (error != 0) {
    lose(slot, error, now);
    return false;
  }
  sockets_[slot].connected = true;
  client_.on_connected(slot, now);
  return static_cast<bool>(sockets_[slot].fd);
}

void ForwardSocketLane::lose(SlotId slot, int error, Time now) {
  drop(slot, now);
  client_.on_lost(slot, lost_by(error), now);
}

void ForwardSocketLane::drop(SlotId slot, Time /*now*/) {
  sockets_[slot].fd.reset();
  sockets_[slot].writes.clear();
}

// --- bytes
// -----------------------------------------------------------------------------------------

/// Written in the loop, so that nothing calls back from here.
void ForwardSocketLane::write(SlotId slot, const Prepared& bytes, Time /*now*/) {
  if (sockets_[slot].writes.empty()) to_write_.push_back(slot);
  sockets_[slot].writes.push_back(&bytes);
}

void ForwardSocketLane::write_rest(SlotId slot, Time now) {
  Socket& s = sockets_[slot];
  for (unsigned writes = 0; s.fd && !s.writes.empty(); ++writes) {
    if (writes == kWritesPerTurn) return to_write_.push_back(slot);
    const Prepared& first = *s.writes.front();
    const ssize_t n =
        ::send(s.fd.get(), first.data + s.written, first.len - s.written, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return lose(slot, errno, now);
    s.written += static_cast<std::uint32_t>(n);
    moved_ += static_cast<std::uint64_t>(n);
    if (s.written != first.len) continue;
    s.written = 0;
    s.writes.pop_front();
    client_.on_written(slot, now);
  }
}

void ForwardSocketLane::half_close(SlotId slot, Time /*now*/) {
  ::shutdown(sockets_[slot].fd.get(), SHUT_WR);
}

/// As KernelTransport::read_all().
void ForwardSocketLane::read_all(SlotId slot, std::uint32_t event_bits, Time now) {
  const bool may_end = (event_bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  while (sockets_[slot].fd) {
    const ssize_t n = ::recv(sockets_[slot].fd.get(), buffer_.data(), buffer_.size(), 0);
    if (n > 0) {
      moved_ += static_cast<std::uint64_t>(n);
      client_.on_bytes(slot, {buffer_.data(), static_cast<std::size_t>(n)}, now);
      if (!may_end && static_cast<std::size_t>(n) < buffer_.size()) return;
    } else if (n == 0) {
      return client_.on_remote_closed(slot, now);
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      return lose(slot, errno, now);
    }
  }
}

}  // namespace stackrig::rigload
