// SPDX-License-Identifier: Apache-2.0
// Kernel sockets: open, send, read until nothing is left, close.
#include "rigload/transport_kernel.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>

#include "nmio/clock.h"

namespace stackrig::rigload {
namespace {

using nmio::Clock;
using nmio::kMillisecond;
using nmio::kSecond;

/// A stop asked for from outside is seen after at most this long.
constexpr Time kLongestWait = 100 * kMillisecond;

Lost lost_by(int error) {
  switch (error) {
    case ECONNREFUSED:
      return Lost::refused;
    case ECONNRESET:
    case EPIPE:
      return Lost::reset;
    default:  // ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ...
      return Lost::unreachable;
  }
}

}  // namespace

sockaddr_in to_sockaddr(wire::Endpoint e) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(e.address.value);
  a.sin_port = htons(e.port);
  return a;
}

KernelTransport::KernelTransport(const Config& config)
    : config_(config), sockets_(config.slots), buffer_(kReadBytes), meter_(config.spin) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0)
    throw std::runtime_error(std::string("epoll: ") + std::strerror(errno) +
                             "; raise the limit of open files (ulimit -n)");
}

KernelTransport::~KernelTransport() {
  for (const Socket& s : sockets_) {
    if (s.fd >= 0) ::close(s.fd);
  }
  ::close(epoll_);
}

// --- the loop
// --------------------------------------------------------------------------------------

void KernelTransport::run(LoadClient& client) {
  const std::uint64_t began = Clock::cycles();
  meter_.begin(began);
  client.turn(Clock::at(began));
  while (!client.done()) {
    const unsigned events = poll(client, Clock::now());
    const std::uint64_t cycles = Clock::cycles();
    const Time now = Clock::at(cycles);
    const bool timer_due = client.next_deadline() <= now;
    client.tick(now);
    for (unsigned i = 0; i < events; ++i) handle(events_[i], client, now);
    client.turn(now);
    meter_.turn(events != 0 || timer_due, Clock::cycles());
  }
}

unsigned KernelTransport::poll(LoadClient& client, Time now) {
  Time wait = 0;
  if (!config_.spin) {
    const Time deadline = client.next_deadline();
    wait = deadline > now ? std::min(deadline - now, kLongestWait) : 0;
  }
  const timespec timeout{static_cast<time_t>(wait / kSecond), static_cast<long>(wait % kSecond)};
  ++syscalls_;
  const int n = ::epoll_pwait2(epoll_, events_.data(), kEvents, &timeout, nullptr);
  return n > 0 ? static_cast<unsigned>(n) : 0;
}

void KernelTransport::handle(const epoll_event& event, StreamEvents& events, Time now) {
  const auto slot = static_cast<SlotId>(event.data.u64);
  const auto generation = static_cast<std::uint32_t>(event.data.u64 >> 32);
  if (!is_open(slot, generation)) return;  // closed, by an event before this one
  if (!sockets_[slot].connected && !finish_connect(slot, event.events, events, now)) return;
  if (!is_open(slot, generation)) return;
  if ((event.events & EPOLLOUT) != 0 && sockets_[slot].unsent != 0 && !write_rest(slot)) {
    drop(slot);
    return events.on_lost(slot, Lost::reset, now);
  }
  if ((event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
    read_all(slot, event.events, events, now);
}

// --- one connection
// --------------------------------------------------------------------------------

bool KernelTransport::is_open(SlotId slot, std::uint32_t generation) const {
  return sockets_[slot].fd >= 0 && sockets_[slot].generation == generation;
}

StreamTransport::Open KernelTransport::open(SlotId slot, Time /*now*/) {
  Socket& s = sockets_[slot];
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Open::failed;
  syscalls_ += 3;
  const Target& to = config_.targets[slot % config_.targets.size()];
  bool ok = true;
  if (to.sources != 0) {
    const sockaddr_in source =
        to_sockaddr({{to.first_source.value + next_source_ % to.sources}, 0});
    ++next_source_;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    ok = ::bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) == 0;
    syscalls_ += 2;
  }
  if (config_.no_delay) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ++syscalls_;
  }
  const sockaddr_in target = to_sockaddr(to.server);
  ok = ok && (::connect(fd, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0 ||
              errno == EINPROGRESS);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = std::uint64_t{s.generation + 1} << 32 | slot;
  if (!ok || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    ::close(fd);
    return Open::failed;
  }
  s.fd = fd;
  ++s.generation;
  s.connected = false;
  s.unsent = 0;
  return Open::started;
}

bool KernelTransport::finish_connect(SlotId slot, std::uint32_t event_bits, StreamEvents& events,
                                     Time now) {
  int error = 0;
  socklen_t len = sizeof error;
  const bool may_have_failed = (event_bits & (EPOLLERR | EPOLLHUP)) != 0;
  if (may_have_failed) ++syscalls_;
  if (may_have_failed && ::getsockopt(sockets_[slot].fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
    error = errno;
  if (error == 0) {
    sockets_[slot].connected = true;
    events.on_connected(slot, now);
    return true;
  }
  drop(slot);
  events.on_lost(slot, lost_by(error), now);
  return false;
}

bool KernelTransport::send(SlotId slot, const Prepared& request, Time /*now*/) {
  sockets_[slot].request = request;
  sockets_[slot].unsent = request.len;
  return write_rest(slot);
}

bool KernelTransport::write_rest(SlotId slot) {
  Socket& s = sockets_[slot];
  ++syscalls_;
  const ssize_t n = ::send(s.fd, s.request.data + (s.request.len - s.unsent), s.unsent,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  s.unsent -= static_cast<std::uint32_t>(n);
  return true;
}

/// Reads until the kernel has nothing more, as an edge-triggered event asks for. A read that did
/// not fill the buffer took all there was; the end of the stream shows in the event itself.
void KernelTransport::read_all(SlotId slot, std::uint32_t event_bits, StreamEvents& events,
                               Time now) {
  const std::uint32_t generation = sockets_[slot].generation;
  const bool may_end = (event_bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  while (is_open(slot, generation)) {
    ++syscalls_;
    const ssize_t n = ::recv(sockets_[slot].fd, buffer_.data(), buffer_.size(), 0);
    if (n > 0) {
      events.on_bytes(slot, {buffer_.data(), static_cast<std::size_t>(n)}, now);
      if (!may_end && static_cast<std::size_t>(n) < buffer_.size()) return;
    } else if (n == 0) {
      return events.on_remote_closed(slot, now);
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      const Lost how = lost_by(errno);
      drop(slot);
      return events.on_lost(slot, how, now);
    }
  }
}

void KernelTransport::drop(SlotId slot) {
  ++syscalls_;
  ::close(sockets_[slot].fd);
  sockets_[slot].fd = -1;
}

void KernelTransport::close(SlotId slot, Time /*now*/) {
  drop(slot);
}

void KernelTransport::abort(SlotId slot, Time /*now*/) {
  const linger now_and_by_reset{1, 0};
  ++syscalls_;
  ::setsockopt(sockets_[slot].fd, SOL_SOCKET, SO_LINGER, &now_and_by_reset,
               sizeof now_and_by_reset);
  drop(slot);
}

}  // namespace stackrig::rigload
