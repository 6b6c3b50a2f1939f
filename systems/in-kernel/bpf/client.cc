// SPDX-License-Identifier: Apache-2.0
#include "client.h"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

namespace stackrig::in_kernel {
namespace {

constexpr std::size_t kReadAtOnce = 64 << 10;
/// So much of a stream that the programs do not know is read by the loader before it goes for the
/// next end of a frame to give the connection back: taking it costs some 20 us.
constexpr std::size_t kOwnAtLeast = 256 << 10;
constexpr std::chrono::milliseconds kLongestPause{16};

}  // namespace

Client::Client(Context& context, Fd fd, std::uint32_t slot)
    : context_(context), fd_(std::move(fd)), up_(*this), slot_(slot) {
  ++context_.counters.open_now;
}

Client::~Client() {
  --context_.counters.open_now;
  if (fd_) context_.programs.unguard(fd());
}

void Client::start() {
  if (!context_.poller.add(fd(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *this) || !open_up())
    return end();
  advance();
}

bool Client::open_up() {
  up_fd_ = context_.programs.open_up(slot_);
  return up_fd_ && context_.poller.add(up_fd_.get(), EPOLLIN | EPOLLET, up_);
}

void Client::ready(std::uint32_t events) {
  if ((events & EPOLLHUP) != 0 || ((events & EPOLLERR) != 0 && is_broken())) {
    ++context_.counters.reset;
    return end();
  }
  if ((events & EPOLLRDHUP) != 0) half_closed_ = true;
  advance();
}

/// An error may be what the parser gave (Programs::stop()), and be gone by now. It stays where it
/// is: TCP is still to see it (reading SO_ERROR would take it away).
bool Client::is_broken() const {
  pollfd now{.fd = fd(), .events = 0, .revents = 0};
  return state_ == State::kernel && context_.programs.up(slot_).flow == Programs::Flow::runs &&
         ::poll(&now, 1, 0) == 1 && (now.revents & POLLERR) != 0;
}

void Client::advance() {
  if (ended_) return;
  context_.poller.never_call(*this);
  for (;;) {
    switch (step()) {
      case Next::go_on:
        pause_ = std::chrono::milliseconds(1);
        continue;
      case Next::wait:
        return;
      case Next::end:
        return end();
      case Next::look_later:
        context_.poller.call_at(*this, Clock::now() + pause_);
        pause_ = std::min(pause_ * 2, kLongestPause);
        return;
    }
  }
}

Client::Next Client::step() {
  switch (state_) {
    case State::before:
      return before();
    case State::kernel:
      return kernel();
    case State::own:
      return own();
  }
  return Next::end;
}

Client::Next Client::before() {
  switch (read_before(size_)) {
    case Before::waits:
      return Next::wait;
    case Before::refused:
      return Next::end;
    case Before::done:
      break;
  }
  give_to_programs();
  return Next::go_on;
}

/// A sockmap takes no connection whose client has ended its side: those the loader serves itself.
void Client::give_to_programs() {
  bytes_.shrink_to_fit();
  up_read_ = own_read_ = 0;
  kept_ = !context_.programs.add_client(slot_, fd(), size_);
  state_ = kept_ ? State::own : State::kernel;
}

/// So that the loader need not wait until what comes up has gone through a work queue.
void Client::taken() {
  if (state_ == State::kernel) advance();
}

Client::Next Client::kernel() {
  const Programs::Up up = context_.programs.up(slot_);
  if (up.flow == Programs::Flow::runs) return half_closed_ ? finish(up) : Next::wait;
  if (!read_up(up.passed)) return Next::look_later;  // or earlier, when it has come up
  if (context_.programs.waiting_on_client(slot_, fd()) != 0) return Next::look_later;
  if (up.flow == Programs::Flow::ended) return take_over();
  std::size_t need = 0;
  if (const Next next = handle_all(need); next != Next::go_on) return next;
  if (!flush()) return Next::look_later;
  if (!bytes_.empty()) return half_closed_ ? finish(up) : Next::wait;
  context_.programs.give_back(slot_, up.passed);
  return Next::go_on;
}

/// Whether the client, which will send nothing more, has got all that it is due: what has come is
/// dealt with, or the beginning of a frame. The FIN counts for one.
Client::Next Client::finish(const Programs::Up& up) {
  const Programs& programs = context_.programs;
  const bool all_seen = total_ + programs.seen(slot_) + 1 >= bytes_received(fd());
  if (!all_seen || programs.waiting_on_client(slot_, fd()) != 0) return Next::look_later;
  const Programs::Up now = programs.up(slot_);
  return now.flow == up.flow && now.passed == up.passed ? Next::end : Next::go_on;
}

Client::Next Client::take_over() {
  ++context_.counters.taken;
  // Once there is room, there is nothing that the programs could not do themselves.
  own_at_least_ = context_.programs.is_congested(slot_) ? 0 : kOwnAtLeast;
  if (!context_.programs.stop(slot_, fd())) return Next::end;
  total_ += context_.programs.seen(slot_);
  state_ = State::own;
  return Next::go_on;
}

/// True once all that was passed is read.
bool Client::read_up(std::uint64_t passed) {
  while (up_read_ < passed) {
    const ssize_t n = bytes_.receive(up_fd_.get(), kReadAtOnce);
    if (n <= 0) return false;
    up_read_ += static_cast<std::uint64_t>(n);
  }
  return true;
}

Client::Next Client::own() {
  std::size_t need = 0;
  if (const Next next = handle_all(need); next != Next::go_on) return next;
  if (!flush()) return Next::look_later;
  if (eof_) return Next::end;
  const bool enough = own_read_ >= own_at_least_ && !kept_;
  Next next = Next::wait;
  if (!enough || !bytes_.empty()) next = read_own(enough ? need : kReadAtOnce);
  if (next != Next::wait || kept_ || !bytes_.empty()) return next;
  give_to_programs();
  return Next::go_on;
}

/// Takes what is whole. `need`: bytes that the front lacks at least.
Client::Next Client::handle_all(std::size_t& need) {
  Step step{Step::Kind::took};
  while (step.kind == Step::Kind::took && !bytes_.empty()) {
    step = handle(bytes_.front());
    if (step.kind == Step::Kind::took) bytes_.take(step.bytes);
  }
  need = step.bytes;
  if (step.kind == Step::Kind::close) return Next::end;
  return step.kind == Step::Kind::park ? Next::look_later : Next::go_on;
}

Client::Next Client::read_own(std::size_t most) {
  const ssize_t n = bytes_.receive(fd(), most);
  if (n > 0) {
    count_read(static_cast<std::size_t>(n));
    own_read_ += static_cast<std::size_t>(n);
    return Next::go_on;
  }
  if (n == 0) {
    eof_ = true;
    return Next::go_on;
  }
  if (errno == EAGAIN || errno == EINTR) return Next::wait;
  ++context_.counters.reset;
  return Next::end;
}

void Client::end() {
  if (ended_) return;
  ended_ = true;
  context_.programs.forget(slot_);
  context_.programs.unguard(fd());
  fd_.reset();
  up_fd_.reset();
  context_.ended(*this);
}

}  // namespace stackrig::in_kernel
