// SPDX-License-Identifier: Apache-2.0
#include "tcpip/simulation/host.h"

#include <algorithm>

#include "nmio/loop.h"

namespace stackrig::tcpip::simulation {
namespace {

/// An application gives up a peer from which nothing comes for so long, while TCP has nothing out
/// that would tell.
constexpr Time kPatience = 1000 * nmio::kSecond;

constexpr wire::Ipv4Address kAddress[2] = {{0x0a000002}, {0x0a000001}};

}  // namespace

Side::Side(Host& h, unsigned n, const ConnectionPlan& c, unsigned which, std::uint64_t seed)
    : host(h),
      number(n),
      plan(c.side[which]),
      peer_bytes(c.side[1 - which].bytes),
      peer_stream(n * 2 + 1 - which) {
  stream = std::make_unique<Stream>(n * 2 + which, plan, h.memory(), seed, [this](Time delay) {
    host.after(delay, [this] {
      stream->loaded();
      if (tcb != nullptr) host.stack().tcp_output(*tcb, host.now());
    });
  });
}

struct Host::Engine {
  Engine(nmio::Queue& queue, nmio::TxBatch& batch, Host& host)
      : loop(queue, batch, host, nmio::LoopConfig{}, counters) {}
  nmio::LoopCounters counters{};
  nmio::Loop<Host> loop;
};

Host::Host(nmio::SimNetwork& network, const Plan& plan, unsigned which)
    : which_(which),
      name_(plan.port[which].name),
      port_(network.add_port(plan.port[which])),
      queue_(port_.queue(0)),
      random_(plan.seed * 2 + which),
      now_(network.now()) {
  Config c = plan.config[which];
  c.address = {kAddress[which], 24};
  std::copy(port_.mac().begin(), port_.mac().end(), c.mac.bytes.begin());
  c.offload = queue_.offload();
  for (unsigned i = 0; i < plan.connections.size(); ++i) {
    sides_.push_back(std::make_unique<Side>(*this, i, plan.connections[i], which, random_.next()));
  }
  stack_ = std::make_unique<Stack>(c, queue_.memory(), batch_);
  stack_->tcpip_init(now_);
  engine_ = std::make_unique<Engine>(queue_, batch_, *this);
  if (which == 1) {
    listen();
    return;
  }
  for (unsigned i = 0; i < plan.connections.size(); ++i) {
    const std::uint16_t port = plan.connections[i].port;
    after(plan.connections[i].start, [this, i, port] { open(*sides_[i], port); });
  }
}
Host::~Host() = default;

bool Host::turn(Time now) {
  return engine_->loop.turn(now);
}
Time Host::deadline() const {
  return engine_->loop.next_deadline();
}

void Host::after(Time delay, std::function<void()> what) {
  timers_.emplace(now_ + delay, std::move(what));
}

void Host::on_burst(std::span<const nmio::RxPacket> burst, Time now) {
  now_ = now;
  stack_->input(burst, now);
}
void Host::on_idle(Time now) {
  now_ = now;
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto what = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    what();
  }
  stack_->run_timers(now);
  stack_->poll_output(now);
}
Time Host::next_deadline() const {
  const Time own = timers_.empty() ? nmio::kNever : timers_.begin()->first;
  return std::min(own, stack_->next_deadline());
}

bool Host::done() const {
  return std::all_of(sides_.begin(), sides_.end(), [&](const auto& s) {
    return s->tcb == nullptr && (s->ended.has_value() || which_ == 1);
  });
}

// --- opening -----------------------------------------------------------------------------------

void Host::set_callbacks(Tcb& t) {
  Stack& s = *stack_;
  s.tcp_app(t, this);
  s.tcp_recv(t, [](void* p, Tcb& tcb, std::span<const std::byte> bytes) {
    return static_cast<Host*>(p)->on_bytes(side_of(p, tcb), bytes);
  });
  s.tcp_sent(t, [](void* p, Tcb& tcb, std::uint64_t) {
    static_cast<Host*>(p)->write_more(side_of(p, tcb));
  });
  s.tcp_remote_closed(t, [](void* p, Tcb& tcb) {
    Side& side = side_of(p, tcb);
    side.remote_closed = true;
    static_cast<Host*>(p)->maybe_close(side);
  });
  s.tcp_closed(t, [](void* p, Tcb& tcb, Ended why) {
    Side& side = side_of(p, tcb);
    if (side.ended) throw Broken("an end was told twice that its connection is over");
    side.ended = why;
    side.tcb = nullptr;
  });
}

Side& Host::side_of(void* app, Tcb& t) {
  return *static_cast<Host*>(app)->sides_.at(user(t) - 1);
}

void Host::listen() {
  Tcb* l = stack_->tcp_new();
  stack_->tcp_bind(*l, kAddress[1], kServerPort);
  set_callbacks(*l);
  stack_->tcp_accept(*l, [](void* p, Tcb& t) { return static_cast<Host*>(p)->on_accept(t); });
  stack_->tcp_listen(*l);
}

bool Host::on_accept(Tcb& t) {
  const auto known = by_port_.find(remote(t).port);
  if (known == by_port_.end()) throw Broken("a connection from a port that opened none");
  Side& s = *sides_[known->second];
  // An incarnation whose client gave up before the server heard of it: not the one that is waited
  // for any more.
  if (s.opened) return false;
  s.tcb = &t;
  user(t) = s.number + 1;
  on_open(s);
  return true;
}

void Host::open(Side& s, std::uint16_t port) {
  const bool taken = std::any_of(sides_.begin(), sides_.end(), [&](const auto& other) {
    return other->tcb != nullptr && local(*other->tcb).port == port;
  });
  Tcb* t = taken ? nullptr : stack_->tcp_new();
  if (t == nullptr) {
    after(nmio::kSecond, [this, &s, port] { open(s, port); });
    return;
  }
  stack_->tcp_bind(*t, kAddress[0], port);
  set_callbacks(*t);
  user(*t) = s.number + 1;
  stack_->tcp_connected(*t,
                        [](void* p, Tcb& tcb) { static_cast<Host*>(p)->on_open(side_of(p, tcb)); });
  s.tcb = t;
  if (stack_->tcp_connect(*t, {kAddress[1], kServerPort}, now_) != Result::ok) {
    // In TIME_WAIT still: this slot is given up without a word, and tried again.
    s.tcb = nullptr;
    user(*t) = s.number + 1;
    stack_->tcp_abort(*t, now_);
    s.ended.reset();
    after(nmio::kSecond, [this, &s, port] { open(s, port); });
    return;
  }
  opens_(port, s.number);
}

void Host::on_open(Side& s) {
  s.opened = true;
  lose_patience(s);
  write_more(s);
  if (s.tcb != nullptr && s.plan.reader == ReaderKind::late) come_back_later(s);
}

// --- writing, closing --------------------------------------------------------------------------

void Host::write_more(Side& s) {
  while (s.tcb != nullptr && s.written < s.plan.bytes) {
    const std::uint64_t n = std::min(s.plan.write_size, s.plan.bytes - s.written);
    const std::uint64_t cookie = s.stream->add_write(s.written, n);
    const Result r = stack_->tcp_write(*s.tcb, *s.stream, cookie, n, now_);
    if (r != Result::ok) {
      s.stream->forget_last_write();
      if (r != Result::no_write_slot) throw Broken("a write in an open connection was refused");
      return;
    }
    s.written += n;
  }
  maybe_close(s);
}

void Host::maybe_close(Side& s) {
  if (s.tcb == nullptr || s.closing || s.written < s.plan.bytes) return;
  if (s.plan.waits_for_fin && !s.remote_closed) return;
  s.closing = true;
  if (stack_->tcp_close(*s.tcb, now_) != Result::ok) throw Broken("a close was refused");
}

// --- reading -----------------------------------------------------------------------------------

std::size_t Host::on_bytes(Side& s, std::span<const std::byte> bytes) {
  std::size_t n = bytes.size();
  if (s.plan.reader == ReaderKind::late && !s.came_back) n = 0;
  if (s.plan.reader == ReaderKind::crumbs && random_.once_in(3)) n = random_.below(n + 1);
  for (std::size_t i = 0; i < n; ++i) {
    if (bytes[i] != std::byte{stream_byte(s.peer_stream, s.received + i)}) {
      throw Broken("connection " + std::to_string(s.number) + ": the " + name_ +
                   " got a wrong byte at " + std::to_string(s.received + i));
    }
  }
  s.received += n;
  if (s.received > s.peer_bytes) throw Broken("more bytes than were ever sent");
  if (n < bytes.size()) come_back_later(s);
  maybe_abort(s);
  return n;
}

void Host::come_back_later(Side& s) {
  if (s.resume_pending) return;
  s.resume_pending = true;
  after(s.plan.reader_delay, [this, &s] {
    s.resume_pending = false;
    s.came_back = true;
    if (s.tcb != nullptr) stack_->tcp_resume(*s.tcb, now_);
  });
}

// Only where the core itself waits for nothing: what it has to do it must do without us.
void Host::lose_patience(Side& s) {
  s.watched = s.received;
  after(kPatience, [this, &s] {
    if (s.tcb == nullptr) return;
    if (s.received != s.watched || pending_writes(*s.tcb) != 0 || fin_queued(*s.tcb)) {
      lose_patience(s);
    } else {
      stack_->tcp_abort(*s.tcb, now_);
    }
  });
}

// Not in the middle of a callback: as an application would, at its next turn.
void Host::maybe_abort(Side& s) {
  if (!s.plan.aborts || s.aborted || s.received < s.plan.abort_after) return;
  s.aborted = true;
  after(0, [this, &s] {
    if (s.tcb != nullptr) stack_->tcp_abort(*s.tcb, now_);
  });
}

}  // namespace stackrig::tcpip::simulation
