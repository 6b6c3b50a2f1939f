// SPDX-License-Identifier: Apache-2.0
// Connected UDP sockets, sendmmsg and recvmmsg.
#include "rigload/dns_sockets.h"

#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
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
/// Of a socket: as many answers as come while this thread does something else.
constexpr int kReceiveBuffer = 4 << 20;

/// A socket that is connected to the target, or -1 with errno.
int connected_socket(const KernelTransport::Target& to, std::uint32_t flow) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  bool ok = true;
  if (to.sources != 0) {
    const sockaddr_in source = to_sockaddr({{to.first_source.value + flow % to.sources}, 0});
    ok = ::bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) == 0;
  }
  const sockaddr_in target = to_sockaddr(to.server);
  ok = ok && ::connect(fd, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0;
  if (ok) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

}  // namespace

DnsSocketLane::DnsSocketLane(const Config& config, const DnsConfig& dns, const DnsQueries& queries,
                             RunControl& control, RunStats& stats)
    : spin_(config.spin),
      flows_(dns.flows),
      meter_(config.spin),
      client_(dns, queries, *this, control, stats),
      outboxes_(dns.flows),
      in_bytes_(kBatch * kMostAnswer) {
  for (Outbox& box : outboxes_) {
    for (unsigned i = 0; i < kBatch; ++i) {
      box.parts[i] = {box.messages[i].bytes.data(), 0};
      box.headers[i] = {};
      box.headers[i].msg_hdr.msg_iov = &box.parts[i];
      box.headers[i].msg_hdr.msg_iovlen = 1;
    }
  }
  for (unsigned i = 0; i < kBatch; ++i) {
    in_parts_[i] = {in_bytes_.data() + i * kMostAnswer, kMostAnswer};
    in_headers_[i].msg_hdr.msg_iov = &in_parts_[i];
    in_headers_[i].msg_hdr.msg_iovlen = 1;
  }
  open_sockets(config, dns.flows);
}

DnsSocketLane::~DnsSocketLane() {
  for (const int fd : sockets_) ::close(fd);
  if (epoll_ >= 0) ::close(epoll_);
}

void DnsSocketLane::open_sockets(const Config& config, std::uint32_t flows) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  for (std::uint32_t flow = 0; epoll_ >= 0 && flow < flows; ++flow) {
    const KernelTransport::Target& to = config.targets[flow % config.targets.size()];
    const int fd = connected_socket(to, flow);
    if (fd < 0) {
      throw std::runtime_error("target " + wire::to_string(to.server) +
                               ": no socket to it: " + std::strerror(errno) +
                               "; check the route, --address, and the limit of open files");
    }
    sockets_.push_back(fd);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = flow;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
  if (epoll_ < 0) {
    throw std::runtime_error(std::string("epoll: ") + std::strerror(errno) +
                             "; raise the limit of open files (ulimit -n)");
  }
}

void DnsSocketLane::run() {
  const std::uint64_t began = Clock::cycles();
  meter_.begin(began);
  client_.turn(Clock::at(began));
  while (!client_.done()) {
    const unsigned events = poll(Clock::now());
    const Time now = Clock::now();
    client_.tick(now);
    for (unsigned i = 0; i < events; ++i) read_all(events_[i].data.u32, now);
    client_.turn(now);
    const bool sent = send(now);
    meter_.turn(events != 0 || sent, Clock::cycles());
  }
}

unsigned DnsSocketLane::poll(Time now) {
  Time wait = 0;
  if (!spin_) {
    const Time deadline = client_.next_deadline();
    wait = deadline > now ? std::min(deadline - now, kLongestWait) : 0;
  }
  const timespec timeout{static_cast<time_t>(wait / kSecond), static_cast<long>(wait % kSecond)};
  const int n = ::epoll_pwait2(epoll_, events_.data(), kEvents, &timeout, nullptr);
  return n > 0 ? static_cast<unsigned>(n) : 0;
}

void DnsSocketLane::read_all(std::uint32_t flow, Time now) {
  for (;;) {
    const int n = ::recvmmsg(sockets_[flow], in_headers_.data(), kBatch, 0, nullptr);
    if (n < 0 && errno == ECONNREFUSED) return client_.refused(now);
    for (int i = 0; i < n; ++i) {
      const auto* bytes = static_cast<const std::uint8_t*>(in_parts_[i].iov_base);
      client_.answer(flow, {bytes, in_headers_[i].msg_len}, now);
    }
    if (n < static_cast<int>(kBatch)) return;
  }
}

/// True where something was sent.
bool DnsSocketLane::send(Time now) {
  bool any = false;
  for (unsigned n = kBatch; n == kBatch;) {
    n = client_.take(out_, now);
    for (unsigned i = 0; i < n; ++i) {
      const DnsOutgoing& o = out_[i];
      Outbox& box = outboxes_[o.flow];
      std::byte* bytes = box.messages[box.count].bytes.data();
      std::memcpy(bytes, o.query->payload(), o.query->len);
      bytes[0] = static_cast<std::byte>(o.id >> 8);
      bytes[1] = static_cast<std::byte>(o.id);
      box.parts[box.count].iov_len = o.query->len;
      ++box.count;
    }
    for (std::uint32_t flow = 0; n != 0 && flow < flows_; ++flow) flush(flow, now);
    any |= n != 0;
  }
  return any;
}

/// What the socket does not take is lost, as on a wire that is full: the query's timeout says it.
void DnsSocketLane::flush(std::uint32_t flow, Time now) {
  Outbox& box = outboxes_[flow];
  for (unsigned done = 0; done < box.count;) {
    const int n = ::sendmmsg(sockets_[flow], box.headers.data() + done, box.count - done, 0);
    if (n < 0 && errno == ECONNREFUSED) client_.refused(now);
    if (n < 0 && errno != EINTR && errno != ECONNREFUSED) break;
    done += n > 0 ? static_cast<unsigned>(n) : 0;
    if (client_.done()) break;
  }
  box.count = 0;
}

}  // namespace stackrig::rigload
