// SPDX-License-Identifier: Apache-2.0
// Backends are opened, written to, closed; or they go.
#include "forward/backends.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "ip/interface.h"

namespace stackrig::rtc {

Backends::Backends(const ServiceConfig& config, tcpip::Stack& stack, SendPool& pool,
                   BackendEvents& events, ForwardCounters*& counters)
    : config_(config),
      stack_(stack),
      pool_(pool),
      events_(events),
      counters_(counters),
      keys_(config.backends),
      backends_(config.backends) {
  to_flush_.reserve(std::size_t{2} * config.backends);
  for (std::uint32_t i = config.backends; i-- > 0;) {
    backends_[i].next_free = first_free_;
    first_free_ = i;
  }
}

// --- opening
// ---------------------------------------------------------------------------------------

std::int32_t Backends::open(std::int32_t key, std::string_view host, std::int32_t port,
                            std::uint32_t asker) {
  const auto address = wire::parse_ipv4(host);
  if (!address || port < 1 || port > 65535) return EINVAL;
  if (stack_.interface().is_ours(*address)) return EADDRNOTAVAIL;
  if (stack_.interface().next_hop(*address).is_unspecified()) return ENETUNREACH;
  if (first_free_ == kNone) return ENOBUFS;
  Backend& b = backends_[first_free_];
  if (!b.out.open(pool_, config_.backend_bytes)) return ENOBUFS;
  b.key = key;
  const std::int32_t error = connect(b, {*address, static_cast<std::uint16_t>(port)});
  if (error != 0) {
    b.out.close(pool_);
    return error;
  }
  first_free_ = b.next_free;
  ++used_;
  b.state = State::opening;
  b.asker = asker;
  b.since = now_;
  return 0;
}

std::int32_t Backends::connect(Backend& b, wire::Endpoint to) {
  tcpip::Tcb* const tcb = stack_.tcp_new();
  if (tcb == nullptr) return ENOBUFS;
  const tcpip::Result result = stack_.tcp_connect(*tcb, to, now_);
  if (result != tcpip::Result::ok) {
    stack_.tcp_abort(*tcb, now_);
    return result == tcpip::Result::in_use ? EADDRNOTAVAIL : ENOBUFS;
  }
  // What a sink says is not for us: without a callback it is taken and dropped. That it says no
  // more does not mean that it does not listen; a reset does.
  stack_.tcp_app(*tcb, this);
  stack_.tcp_connected(*tcb, connected);
  stack_.tcp_sent(*tcb, sent);
  stack_.tcp_closed(*tcb, closed);
  tcpip::user(*tcb) = index_of(b);
  b.tcb = tcb;
  return 0;
}

void Backends::connected(void* app, tcpip::Tcb& tcb) {
  Backends& s = self(app);
  Backend& b = s.backends_[tcpip::user(tcb)];
  b.state = State::open;
  ++s.counters_->backends_now;
  if (Backend* old = s.find(b.key)) {
    s.retire(*old, kNone);
    s.settle(*old);
  }
  s.keys_.set(b.key, s.index_of(b));
  s.events_.opened(std::exchange(b.asker, kNone), 0);
}

void Backends::abandon(std::uint32_t asker) {
  for (Backend& b : backends_) {
    if (b.state != State::opening || b.asker != asker) continue;
    b.asker = kNone;
    stack_.tcp_abort(*b.tcb, now_);
  }
}

// --- messages
// --------------------------------------------------------------------------------------

void Backends::send(Backend& b, std::span<const std::byte> message) {
  b.out.append(pool_, message);
  b.out.commit();
  if (b.listed) return;
  b.listed = true;
  to_flush_.push_back(index_of(b));
}

void Backends::flush() {
  std::size_t kept = 0;
  for (const std::uint32_t i : to_flush_) {
    Backend& b = backends_[i];
    if (!b.listed) continue;  // gone since
    b.listed = false;
    if (!b.out.flush(pool_, stack_, *b.tcb, now_)) {
      stack_.tcp_abort(*b.tcb, now_);
    } else if (b.out.is_starved()) {
      b.listed = true;
      to_flush_[kept++] = i;
    }
  }
  to_flush_.resize(kept);
}

void Backends::sent(void* app, tcpip::Tcb& tcb, std::uint64_t /*cookie*/) {
  Backends& s = self(app);
  Backend& b = s.backends_[tcpip::user(tcb)];
  b.out.acknowledged(s.pool_);
  if (b.out.waiting() != 0 && !b.listed) {
    b.listed = true;
    s.to_flush_.push_back(s.index_of(b));
  }
  if (!b.waiting.empty() && b.out.pending() <= s.config_.backend_bytes / 2) s.events_.go_on(b);
  s.settle(b);
}

void Backends::leave(Backend& b) {
  --b.senders;
  settle(b);
}

// --- the end
// ---------------------------------------------------------------------------------------

std::uint32_t Backends::close_all(std::uint32_t closer) {
  std::uint32_t n = 0;
  for (Backend& b : backends_) {
    if (b.state != State::open) continue;
    retire(b, closer);
    ++n;
  }
  return n;
}

void Backends::settle_all() {
  for (Backend& b : backends_) settle(b);
}

void Backends::forget_closer(std::uint32_t closer) {
  for (Backend& b : backends_) {
    if (b.closer == closer) b.closer = kNone;
  }
}

void Backends::retire(Backend& b, std::uint32_t closer) {
  keys_.erase(b.key);
  b.state = State::closing;
  b.closer = closer;
  b.since = now_;
  --counters_->backends_now;
}

/// The FIN, once all that was accepted is acknowledged.
void Backends::settle(Backend& b) {
  if (b.state != State::closing || b.senders != 0 || b.out.pending() != 0) return;
  b.state = State::leaving;
  b.out.close(pool_);
  stack_.tcp_close(*b.tcb, now_);
  tell_closer(b);
}

void Backends::tell_closer(Backend& b) {
  const std::uint32_t closer = std::exchange(b.closer, kNone);
  if (closer != kNone) events_.closed_for(closer);
}

void Backends::closed(void* app, tcpip::Tcb& tcb, tcpip::Ended why) {
  Backends& s = self(app);
  Backend& b = s.backends_[tcpip::user(tcb)];
  const State was = std::exchange(b.state, State::free);
  if (was == State::open) {
    s.keys_.erase(b.key);
    --s.counters_->backends_now;
    ++s.counters_->backends_lost;
  }
  s.counters_->bytes_lost += b.out.pending();
  const std::int32_t error = b.error != 0                     ? b.error
                             : why == tcpip::Ended::timed_out ? ETIMEDOUT
                                                              : ECONNREFUSED;
  const std::uint32_t asker = std::exchange(b.asker, kNone);
  ++b.serial;  // who waits finds it gone
  if (was == State::open || was == State::closing) s.events_.go_on(b);
  s.tell_closer(b);
  s.free(b);
  if (was == State::opening && asker != kNone) s.events_.opened(asker, error);
}

void Backends::free(Backend& b) {
  b.out.close(pool_);
  const std::uint32_t serial = b.serial;
  b = {};
  b.serial = serial;
  b.next_free = first_free_;
  first_free_ = index_of(b);
  --used_;
}

// --- time
// ------------------------------------------------------------------------------------------

bool Backends::too_slow(Backend& b) const {
  if (b.state == State::opening) return now_ - b.since >= config_.connect_timeout;
  if (b.state != State::closing) return false;  // a slow sink slows its senders, that is all
  const std::uint32_t seen = tcpip::acknowledged(*b.tcb);
  if (seen != b.acknowledged) {
    b.acknowledged = seen;
    b.since = now_;
  }
  return now_ - b.since >= config_.send_timeout;
}

void Backends::sweep() {
  if (used_ == 0 || now_ < next_sweep_) return;
  next_sweep_ = now_ + nmio::kSecond;
  for (Backend& b : backends_) {
    if (!too_slow(b)) continue;
    b.error = ETIMEDOUT;
    stack_.tcp_abort(*b.tcb, now_);
  }
}

Time Backends::next_deadline() const {
  if (!to_flush_.empty()) return 0;
  return used_ != 0 ? next_sweep_ : nmio::kNever;
}

}  // namespace stackrig::rtc
