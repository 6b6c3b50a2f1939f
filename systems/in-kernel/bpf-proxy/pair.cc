// SPDX-License-Identifier: Apache-2.0
#include "pair.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace stackrig::in_kernel::proxy {
namespace {

// Not EPOLLIN as long as the kernel relays: it would wake the loader for every segment.
constexpr std::uint32_t kAlways = EPOLLRDHUP | EPOLLET;
constexpr std::chrono::milliseconds kLongestPause{16};
constexpr std::chrono::milliseconds kLongestRefusal{2000};
constexpr std::chrono::milliseconds kLongestBreaking{1000};

constexpr std::string_view kBadGateway =
    "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n"
    "Connection: close\r\n\r\nBad gateway\n";
constexpr std::string_view kUnavailable =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n"
    "Retry-After: 1\r\nConnection: close\r\n\r\nUnavailable\n";

/// Closing it resets the connection.
void make_reset(int fd) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace

Pair::Pair(Context& context, Fd client, std::uint32_t slot)
    : context_(context), client_(std::move(client)), backend_events_(*this), slot_(slot) {
  ++context_.counters.open_now;
}

Pair::~Pair() {
  --context_.counters.open_now;
}

void Pair::start() {
  sockets::set_no_delay(client_.get());
  client_watched_ = kAlways;
  if (!context_.poller.add(client_.get(), client_watched_, *this)) return end();
  backend_ = context_.pool.take(*this);
  if (backend_) pair_up();
}

void Pair::connected(Fd fd) {
  backend_ = std::move(fd);
  pair_up();
}

void Pair::not_connected() {
  ++context_.counters.bad_gateway;
  refuse(kBadGateway);
}

void Pair::all_in_use() {
  ++context_.counters.unavailable;
  refuse(kUnavailable);
}

/// A sockmap takes no connection whose peer has ended its side. Of a client it is served by the
/// loader then; a backend that has is of no use, and another is asked for.
void Pair::pair_up() {
  if (!client_added_ && !half_closed_) client_added_ = context_.relay.add(slot_, client_.get());
  if (client_added_) {
    backend_added_ = context_.relay.add(slot_ + 1, backend_.get());
    if (!backend_added_) {
      backend_.reset();
      context_.pool.closed();
      backend_ = context_.pool.take(*this);
      if (backend_) pair_up();
      return;
    }
  }
  relay(client_added_);
}

void Pair::relay(bool in_kernel) {
  state_ = State::relaying;
  since_ = Clock::now();
  backend_watched_ = kAlways;
  if (!context_.poller.change(backend_.get(), backend_watched_, backend_events_)) return reset();
  ++context_.counters.paired;
  if (!in_kernel) ++context_.counters.user_space;
  const Stream::End client{client_.get(), slot_}, backend{backend_.get(), slot_ + 1};
  up_.emplace(context_.relay, client, backend, in_kernel, context_.counters.loader_bytes);
  down_.emplace(context_.relay, backend, client, in_kernel, context_.counters.loader_bytes);
  if (half_closed_) up_->half_closed();
  if (in_kernel) context_.relay.open(slot_, client_.get(), backend_.get());
  advance();
}

void Pair::ready(std::uint32_t events) {
  if (ended_) return;
  if ((events & EPOLLERR) != 0) {
    ++context_.counters.reset;
    return reset();
  }
  if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) {
    half_closed_ = true;
    if (up_) up_->half_closed();
  }
  advance();
}

/// A backend that has ended its side and resets then has not read all that the client sent, which
/// matters to nobody any more: the answer is whole.
void Pair::backend_ready(std::uint32_t events) {
  if (ended_) return;
  if ((events & EPOLLERR) != 0) {
    up_->abandon();
    if (!backend_had_ended_ && state_ == State::relaying) {
      ++context_.counters.backends_reset;
      state_ = State::breaking;
      since_ = Clock::now();
    }
  }
  // A reset shows as an end, too; the client must not take it for one.
  if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0 && state_ == State::relaying) {
    backend_had_ended_ = true;
    down_->half_closed();
  }
  advance();
}

void Pair::advance() {
  if (ended_) return;
  context_.poller.never_call(*this);
  switch (state_) {
    case State::waiting:
      return;
    case State::refusing:
      return advance_refusal();
    case State::breaking:
      if (down_->advance() == Stream::Next::broken || down_->delivered()) return reset();
      return look_later();
    case State::relaying:
      return advance_streams();
  }
}

void Pair::advance_streams() {
  const Stream::Next up = up_->advance();
  const Stream::Next down = down_->advance();
  if (up == Stream::Next::broken || down == Stream::Next::broken) return reset();
  if (up_->ended() && down_->ended()) return end();
  if (down_->ended() && !std::exchange(told_, true)) since_ = Clock::now();
  watch(false, client_watched_, up_->wants_in(), down_->wants_out());
  watch(true, backend_watched_, down_->wants_in(), up_->wants_out());
  if (up == Stream::Next::again || down == Stream::Next::again) {
    context_.poller.call_at(*this, Clock::now());
  } else if (up == Stream::Next::later || down == Stream::Next::later) {
    look_later();
  } else {
    pause_ = std::chrono::milliseconds(1);
  }
}

void Pair::watch(bool backend, std::uint32_t& watched, bool in, bool out) {
  const std::uint32_t wanted = kAlways | (in ? EPOLLIN : 0U) | (out ? EPOLLOUT : 0U);
  if (wanted == watched) return;
  watched = wanted;
  if (backend) {
    context_.poller.change(backend_.get(), wanted, backend_events_);
  } else {
    context_.poller.change(client_.get(), wanted, *this);
  }
}

void Pair::look_later() {
  context_.poller.call_at(*this, Clock::now() + pause_);
  pause_ = std::min(pause_ * 2, kLongestPause);
}

/// Not before the client has asked something, for it might take an early answer for none.
void Pair::refuse(std::string_view answer) {
  state_ = State::refusing;
  since_ = Clock::now();
  answer_ = answer;
  if (client_added_) Relay::ask(client_.get());
  watch(false, client_watched_, true, false);
  advance();
}

void Pair::advance_refusal() {
  std::array<std::byte, 4096> read;
  for (;;) {
    const ssize_t n = ::recv(client_.get(), read.data(), read.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) break;
    if (std::exchange(told_, true)) continue;
    ::send(client_.get(), answer_.data(), answer_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    ::shutdown(client_.get(), SHUT_WR);
  }
  end();
}

void Pair::tick(Clock::time_point now) {
  if (ended_ || state_ == State::waiting) return;
  if (state_ == State::relaying) {
    const std::uint64_t bytes = up_->bytes() + down_->bytes();
    if (std::exchange(bytes_, bytes) != bytes && !down_->ended()) since_ = now;
  }
  auto most = context_.most_idle;
  if (state_ == State::refusing) most = kLongestRefusal;
  if (state_ == State::breaking) most = kLongestBreaking;
  if (state_ == State::relaying && down_->ended()) most = context_.most_linger;
  if (now - since_ < most) return advance();  // a notice may have been lost
  if (state_ == State::relaying && !down_->ended()) ++context_.counters.idle;
  if (state_ == State::refusing) return end();
  reset();
}

void Pair::reset() {
  if (client_) make_reset(client_.get());
  if (backend_) make_reset(backend_.get());
  end();
}

void Pair::end() {
  if (std::exchange(ended_, true)) return;
  if (state_ == State::waiting) context_.pool.cancel(*this);
  if (client_added_) context_.relay.remove(slot_);
  if (backend_added_) context_.relay.remove(slot_ + 1);
  client_.reset();
  if (backend_) {
    backend_.reset();
    context_.pool.closed();
  }
  context_.ended(*this);
}

}  // namespace stackrig::in_kernel::proxy
