// SPDX-License-Identifier: Apache-2.0
// Construction and the public interface.
#include "tcpip/stack.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

ip::InterfaceConfig interface_config(const Config& c) {
  ip::InterfaceConfig i;
  i.address = c.address;
  i.addresses = c.address_count;
  i.gateway = c.gateway;
  i.mac = c.mac;
  i.mtu = c.mtu;
  return i;
}

const Config& checked(const Config& c) {
  const auto refuse = [](const std::string& what) {
    throw std::invalid_argument("TCP configuration: " + what);
  };
  if (c.max_connections == 0 || c.max_connections >= Ref::kTimeWaitBit) {
    refuse("max_connections must be from 1 to 2^31 - 1");
  }
  if (c.max_time_wait == 0 || c.max_time_wait >= Ref::kTimeWaitBit - 1) {
    refuse("max_time_wait must be from 1 to 2^31 - 2");
  }
  if (c.receive_window < 2048 || c.receive_window > (1U << 30)) {
    refuse("receive_window must be from 2048 to 2^30 bytes");
  }
  if (c.receive_window > 65535 && !c.window_scaling) {
    refuse("a receive_window above 65535 needs window_scaling");
  }
  if (c.max_held_chunks < 4) refuse("max_held_chunks must be at least 4");
  if (c.initial_window_segments == 0) refuse("initial_window_segments must be at least 1");
  if (c.delayed_ack > 500 * nmio::kMillisecond) {
    refuse("delayed_ack must be at most 500 ms (RFC 9293 3.8.6.3)");
  }
  if (c.min_rto == 0 || c.initial_rto < c.min_rto) {
    refuse("min_rto must be above 0 and initial_rto not below it");
  }
  if (c.keepalive.idle != 0 && (c.keepalive.interval == 0 || c.keepalive.probes == 0)) {
    refuse("keepalive needs an interval and probes above 0");
  }
  return c;
}

std::uint64_t derived(const Config& c, std::uint64_t purpose) {
  return siphash(c.secret, &purpose, 1);
}

}  // namespace

Stack::Impl::Impl(const Config& cfg, nmio::PacketMemory& m, nmio::TxBatch& o)
    : memory(m),
      out(o),
      c(&own_counters),
      tcbs(std::make_unique<Tcb[]>(checked(cfg).max_connections)),
      table(cfg.max_connections + cfg.max_time_wait),
      hash_key{derived(cfg, 1), derived(cfg, 2)},
      config(cfg),
      ip(interface_config(cfg), m, o),
      time_wait(cfg.max_time_wait),
      holds(cfg.max_held_chunks),
      board(cfg.max_sent_ranges != 0 ? cfg.max_sent_ranges : 2 * cfg.max_connections + 16384),
      extras(cfg.max_connections),
      cookies({derived(cfg, 3), derived(cfg, 4)}),
      more_writes(std::make_unique<Write[]>(std::size_t{cfg.max_connections} *
                                            (kMaxWrites - Tcb::kInlineWrites))),
      random_state(derived(cfg, 5)) {
  tx_flags = cfg.offload.tx_checksum ? nmio::TxPacket::kChecksum : 0;
  scatter = cfg.offload.scatter_gather;
  // kSegment implies the checksum offload; a device with the one and without the other is none.
  tso = cfg.offload.segment && scatter && cfg.offload.tx_checksum;
  if (cfg.window_scaling) {
    while ((cfg.receive_window >> window_scale) > 65535) ++window_scale;
  }
  // Half-open connections never fill the slots: established ones and listeners need some.
  max_half_open = std::min(cfg.max_backlog, std::max(1U, cfg.max_connections / 2));
  min_rto_us = static_cast<std::uint32_t>(cfg.min_rto / nmio::kMicrosecond);
  min_rto_ms = min_rto_us / 1000;
  initial_rto_us = static_cast<std::uint32_t>(cfg.initial_rto / nmio::kMicrosecond);
  watches_peers = cfg.keepalive.idle != 0 || cfg.user_timeout != 0;
  probe_ack_delay_us = static_cast<std::uint32_t>(cfg.peer_ack_delay / nmio::kMicrosecond);
  max_held_each = std::max(4U, cfg.max_held_chunks / 4);
  port_counter = static_cast<std::uint32_t>(derived(cfg, 6));
  ip.on_resolved(&Impl::on_resolved, this);
  ip.on_icmp_error(&Impl::on_icmp_error, this);
}

Stack::Impl::~Impl() {
  for (std::uint32_t i = 0; i < config.max_connections; ++i) {
    if (!tcbs[i].has(kDead)) drop_all_held(tcbs[i]);
  }
}

void Stack::Impl::init(Time at) {
  for (std::uint32_t i = 0; i < config.max_connections; ++i) {
    Tcb& t = tcbs[i];
    if (t.slot != kNoSlot && !t.has(kDead)) {
      drop_all_held(t);
      for (unsigned w = 0; w < t.write_count; ++w) {
        const Write& pending = write_at(t, w);
        pending.owner->released(pending.cookie);
      }
    }
    wheel.cancel(t.node);
    t.slot = i;
    t.flags = kDead;
    t.state = State::closed;
    t.write_count = 0;
    t.work_next = i + 1 < config.max_connections ? i + 1 : kNoSlot;
  }
  free_first = 0;
  free_slots = config.max_connections;
  spare_slots = std::min<std::uint32_t>(64, config.max_connections / 16);  // a burst of SYNs
  silent_hand = 0;
  work_first = work_last = kNoSlot;
  work_count = 0;
  table.clear();
  time_wait.clear();
  board.clear();
  extras.clear();
  paths.clear();
  listeners.clear();
  waiting_for_arp.assign((config.max_connections + 63) / 64, 0);
  half_open = 0;
  c->connections_now = c->half_open_now = c->time_wait_now = c->held_chunks_now = 0;
  set_time(at);
  wheel.advance(at, [](timer::Node&) {});
}

void Stack::Impl::set_time(Time at) {
  if (at == now) return;
  now = at;
  ms = static_cast<std::uint32_t>(at / nmio::kMillisecond);
  us = static_cast<std::uint32_t>(at / nmio::kMicrosecond);
}

Stack::Stack(const Config& config, nmio::PacketMemory& memory, nmio::TxBatch& out)
    : impl_(std::make_unique<Impl>(config, memory, out)) {
  tcpip_init(0);
}
Stack::~Stack() = default;

void Stack::tcpip_init(Time now) {
  impl_->init(now);
}

Tcb* Stack::tcp_new() {
  Tcb* t = impl_->allocate();
  if (t != nullptr) t->flags = kToldApp;
  return t;
}

Result Stack::tcp_bind(Tcb& t, wire::Ipv4Address address, std::uint16_t port) {
  if (t.state != State::closed || t.has(kDead)) return Result::wrong_state;
  if (!address.is_unspecified() && !impl_->ip.is_ours(address)) return Result::in_use;
  impl_->fill_header(t, FlowKey::of({address, port}, {}), {});
  return Result::ok;
}

Result Stack::tcp_listen(Tcb& t) {
  if (t.state != State::closed || t.has(kDead) || local(t).port == 0) return Result::wrong_state;
  if (!impl_->listeners.add(local(t), t.slot)) return Result::in_use;
  t.state = State::listen;
  return Result::ok;
}

void Stack::tcp_accept(Tcb& t, AcceptFn fn) {
  t.on_accept = fn;
}
void Stack::tcp_recv(Tcb& t, RecvFn fn) {
  t.on_recv = fn;
}
void Stack::tcp_sent(Tcb& t, SentFn fn) {
  t.on_sent = fn;
}
void Stack::tcp_app(Tcb& t, void* app) {
  t.app = app;
}
void Stack::tcp_connected(Tcb& t, ConnectFn fn) {
  t.on_connected = fn;
}
void Stack::tcp_remote_closed(Tcb& t, RemoteClosedFn fn) {
  t.on_remote_closed = fn;
}
void Stack::tcp_closed(Tcb& t, ClosedFn fn) {
  t.on_closed = fn;
}

Result Stack::tcp_write(Tcb& t, ByteOwner& content, std::uint64_t cookie, std::uint64_t bytes,
                        Time now) {
  impl_->set_time(now);
  return impl_->write(t, content, cookie, bytes);
}

Result Stack::tcp_close(Tcb& t, Time now) {
  impl_->set_time(now);
  return impl_->close(t);
}

Result Stack::tcp_connect(Tcb& t, wire::Endpoint remote, Time now) {
  return impl_->connect(t, remote, now);
}

void Stack::tcp_keepalive(Tcb& t, const KeepAlive& keepalive, Time now) {
  impl_->set_time(now);
  impl_->set_keepalive(t, keepalive);
}

void Stack::tcp_user_timeout(Tcb& t, Time timeout, Time now) {
  impl_->set_time(now);
  impl_->set_user_timeout(t, timeout);
}

void Stack::tcp_abort(Tcb& t, Time now) {
  impl_->set_time(now);
  if (t.has(kDead)) return;
  if (t.state == State::listen) {
    impl_->listener_gone(t);
    return;
  }
  if (t.state != State::closed && t.state != State::syn_sent && t.state != State::time_wait) {
    impl_->send_reset(t);
  }
  impl_->end(t, Ended::aborted);
}

void Stack::tcp_resume(Tcb& t, Time now) {
  impl_->set_time(now);
  impl_->resume(t);
}

void Stack::tcp_output(Tcb& t, Time now) {
  impl_->set_time(now);
  if (t.has(kDead)) return;
  t.flags &= ~(kNotReady | kLostNotReady);
  impl_->touched(t);
}

void Stack::input(std::span<const nmio::RxPacket> burst, Time now) {
  impl_->set_time(now);
  impl_->input(burst);
}

void Stack::run_timers(Time now) {
  impl_->run_timers(now);
}

Time Stack::next_deadline() const {
  return impl_->next_deadline();
}

void Stack::poll_output(Time now) {
  impl_->set_time(now);
  if (impl_->work_count != 0) impl_->drain();
}

void Stack::place_counters(Counters* where) {
  *where = *impl_->c;
  impl_->c = where;
}
const Counters& Stack::counters() const {
  return *impl_->c;
}
nmio::PacketMemory& Stack::memory() const {
  return impl_->memory;
}
ip::Interface& Stack::interface() const {
  return impl_->ip;
}

std::size_t Stack::bytes_per_connection() const {
  return sizeof(Tcb) + sizeof(Write) * (kMaxWrites - Tcb::kInlineWrites) +
         ConnectionTable::kBytesPerEntry + sizeof(Extra);
}

State state(const Tcb& t) {
  return t.state;
}
wire::Endpoint local(const Tcb& t) {
  return t.key().local();
}
wire::Endpoint remote(const Tcb& t) {
  return t.key().remote();
}
std::uint64_t& user(Tcb& t) {
  return t.user;
}
bool fin_queued(const Tcb& t) {
  return t.has(kFinQueued);
}
unsigned pending_writes(const Tcb& t) {
  return t.write_count;
}
std::uint32_t acknowledged(const Tcb& tcb) {
  return tcb.snd_una - tcb.iss;
}

}  // namespace stackrig::tcpip
