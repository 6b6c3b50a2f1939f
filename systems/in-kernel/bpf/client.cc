// SPDX-License-Identifier: Apache-2.0
#include "client.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace stackrig::in_kernel {
namespace {

constexpr std::size_t kReadAtOnce = 64 << 10;
constexpr std::chrono::milliseconds kLongestPause{64};

}  // namespace

Client::Client(Context& context, Fd fd, std::uint32_t slot)
    : context_(context), fd_(std::move(fd)), slot_(slot) {
  ++context_.counters.open_now;
}

Client::~Client() {
  --context_.counters.open_now;
}

void Client::start() {
  if (!context_.poller.add(fd(), EPOLLIN | EPOLLRDHUP | EPOLLET, *this)) return end();
  advance();
}

bool Client::give_to_programs(std::uint32_t size) {
  with_programs_ = context_.programs.add_client(slot_, fd(), size);
  return with_programs_;
}

void Client::ready(std::uint32_t events) {
  // The error itself stays where it is: TCP is still to see it (a SO_ERROR read would take it away).
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    ++context_.counters.reset;
    return end();
  }
  if ((events & EPOLLRDHUP) != 0) half_closed_ = true;
  advance();
}

void Client::advance() {
  if (ended_) return;
  if (!with_programs_ && !before_programs()) return;  // it has ended, or waits for an event
  parked_ = false;
  for (;;) {
    if (!handle_all()) return end();
    if (parked_) return look_later();
    const Read read = read_up();
    if (read == Read::failed) return end();
    if (read == Read::nothing) break;
  }
  if (up_.empty()) up_.shrink_to_fit();
  if (half_closed_) finish();
}

Client::Read Client::read_up() {
  const std::size_t had = up_.size();
  up_.resize(had + kReadAtOnce);
  const ssize_t n = ::recv(fd(), up_.data() + had, kReadAtOnce, MSG_DONTWAIT);
  up_.resize(had + (n > 0 ? static_cast<std::size_t>(n) : 0));
  if (n > 0) {
    pause_ = std::chrono::milliseconds{1};
    return Read::more;
  }
  if (n == 0 || errno == EAGAIN || errno == EINTR) return Read::nothing;
  ++context_.counters.reset;
  return Read::failed;
}

/// False where the connection is to be closed.
bool Client::handle_all() {
  std::size_t taken = 0;
  bool open = true;
  while (open && !parked_ && taken < up_.size()) {
    const Step step = handle(std::span<const std::byte>(up_).subspan(taken));
    if (step.kind == Step::Kind::need_more) break;
    taken += step.bytes;
    parked_ = step.kind == Step::Kind::park;
    open = step.kind != Step::Kind::close;
  }
  if (taken != 0) {
    up_.erase(up_.begin(), up_.begin() + static_cast<std::ptrdiff_t>(taken));
    context_.programs.consume(slot_, taken);
  }
  return open;
}

void Client::look_later() {
  context_.poller.call_at(*this, Clock::now() + pause_);
  pause_ = std::min(pause_ * 2, kLongestPause);
}

/// The client will send nothing more: closes once nothing whole is left to be sent on.
void Client::finish() {
  // What came up is in up_, and no whole message (handle_all). What is not parsed yet is unread.
  const bool all_seen =
      bytes_unread(fd()) == 0 && context_.programs.up(slot_) == up_.size() && !waits_for_own();
  if (all_seen) return end();
  look_later();
}

void Client::end() {
  if (ended_) return;
  ended_ = true;
  if (with_programs_) context_.programs.remove_client(slot_, fd());
  context_.ended(*this);
}

}  // namespace stackrig::in_kernel
