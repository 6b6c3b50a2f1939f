// SPDX-License-Identifier: Apache-2.0
// What happens when nothing comes: retransmission, probes of a closed window, delayed ACKs, and
// waits that end.
//
// A connection has one node in the wheel. Deadlines are written to the control block only; the node
// is moved only when it would fire too late. When it fires, the deadlines say what is really due.
// So a timer that is restarted with every ACK costs a store.
#include <algorithm>
#include <bit>
#include <utility>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

constexpr unsigned kExpirePerCall = 256;  ///< TIME_WAIT entries: a bounded piece of work

Tcb& tcb_of(timer::Node& n) {
  return *reinterpret_cast<Tcb*>(reinterpret_cast<std::byte*>(&n) - offsetof(Tcb, node));
}

}  // namespace

void Stack::Impl::arm(Tcb& t, Time at) {
  if (!t.node.armed() || t.node.deadline() > at) wheel.arm(t.node, at);
}

void Stack::Impl::start_timer(Tcb& t, TimerKind kind, Time at) {
  t.timer_kind = kind;
  t.timer_at = at;
  arm(t, at);
}

// With a scoreboard that shows nothing amiss, a probe comes first (RFC 8985 7.2).
void Stack::Impl::start_retransmit_timer(Tcb& t) {
  if (is_listed(t) && !t.has(kBoard)) {
    const std::uint32_t wait = probe_wait_us(t);
    if (wait < min_rto_us || wait < t.rtt.rto_us(min_rto_us, t.backoff)) {
      start_timer(t, TimerKind::probe, now + Time{wait} * nmio::kMicrosecond);
      return;
    }
  }
  start_timer(t, TimerKind::retransmit,
              now + Time{t.rtt.rto_us(min_rto_us, t.backoff)} * nmio::kMicrosecond);
}

void Stack::Impl::schedule_ack(Tcb& t) {
  if (t.has(kAckSoonArmed)) return;
  t.flags |= kAckSoonArmed;
  t.delack_at = now + config.delayed_ack;
  arm(t, t.delack_at);
}

void Stack::Impl::run_timers(Time at) {
  set_time(at);
  ip.run_timers(now);
  wheel.advance(now, [this](timer::Node& n) { on_timer(tcb_of(n)); });
  if (time_wait.next_deadline() <= now) {
    time_wait.expire(table, now, kExpirePerCall);
    c->time_wait_now = time_wait.alive();
  }
}

void Stack::Impl::on_timer(Tcb& t) {
  if (t.has(kDead)) return;
  if (t.has(kAckSoonArmed) && t.delack_at <= now) {
    t.flags &= ~kAckSoonArmed;
    if (t.has(kAckSoon)) {
      ++c->delayed_acks;
      t.flags |= kAckNow;
    }
  }
  if (t.timer_kind != TimerKind::none && t.timer_at <= now) on_slow_timer(t);
  if (t.has(kDead)) return;
  if (t.has(kOutput | kAckNow | kControl)) list(t);
  Time next = nmio::kNever;
  if (t.has(kAckSoonArmed)) next = t.delack_at;
  if (t.timer_kind != TimerKind::none) next = std::min(next, t.timer_at);
  if (next != nmio::kNever) arm(t, next);
}

void Stack::Impl::on_slow_timer(Tcb& t) {
  if (t.has(kUserTimeout) && user_timed_out(t)) return;
  list_flight(t);
  on_slow_timer_of_kind(t);
  if (t.has(kUserTimeout)) limit_timer(t);
}

void Stack::Impl::on_slow_timer_of_kind(Tcb& t) {
  switch (t.timer_kind) {
    case TimerKind::keepalive:
      on_keepalive_timer(t);
      return;
    case TimerKind::fin_wait_2:
      end(t, Ended::timed_out);
      return;
    case TimerKind::persist:
      on_persist(t);
      return;
    case TimerKind::probe:
      on_probe_timer(t);
      return;
    case TimerKind::reorder:
      on_reorder_timer(t);
      return;
    case TimerKind::retransmit:
      break;
    case TimerKind::none:
      return;
  }
  if (t.state != State::syn_sent && t.state != State::syn_received) {
    on_retransmit_timeout(t);
    return;
  }
  // What is known of the path was worth one try, which counts for nothing: it may be of another
  // host behind the same address (RFC 9040 8.3).
  const std::uint32_t known = t.rtt.rto_us(min_rto_us);
  const bool by_known_time = t.backoff == 0 && known < initial_rto_us;
  if (!by_known_time && ++t.retransmits > config.max_syn_retransmits) {
    end(t, Ended::timed_out);
    return;
  }
  ++c->rto_fired;
  ++c->retransmits;
  if (by_known_time) {
    t.rtt.start(std::max(initial_rto_us, 2 * known));
  } else {
    ++t.backoff;
  }
  t.flags |= kSynRetransmitted | kRttTainted | kControl;
  send_syn(t);
  start_retransmit_timer(t);
}

// One more try; true where it is one too many. A user timeout says when instead (RFC 9293 3.9.1).
bool Stack::Impl::tried_enough(Tcb& t) {
  if (t.retransmits < 255) ++t.retransmits;
  return t.retransmits > config.max_retransmits && !t.has(kUserTimeout);
}

// RFC 9293 3.8.6.1, 3.8.6.2.1: a probe of a closed window, or the override for one that is too
// small.
void Stack::Impl::on_persist(Tcb& t) {
  if (t.queued == 0 && !t.has(kFinQueued)) {
    stop_timer(t);
    start_keepalive(t);
    return;
  }
  if (tried_enough(t)) {
    send_reset(t);
    end(t, Ended::timed_out);
    return;
  }
  if (t.backoff < 16) ++t.backoff;
  if (t.snd_wnd > t.outstanding()) {
    stop_timer(t);
    t.flags |= kForceSmall;
    output(t);
    t.flags &= ~kForceSmall;
    if (t.timer_kind == TimerKind::none) blocked(t);
    return;
  }
  start_timer(t, TimerKind::persist,
              now + Time{t.rtt.rto_us(min_rto_us, t.backoff)} * nmio::kMicrosecond);
  ++c->zero_window_probes;
  const Seq next = t.snd_nxt;
  t.snd_nxt = t.snd_una;
  if (t.queued != 0) {
    send_range(t, place_of(t, 0), 0, 1, false);
  } else {
    send_fin(t);
  }
  t.snd_nxt = next;  // the probe may be refused: sending goes on where it was
}

Time Stack::Impl::next_deadline() const {
  if (work_count != 0) return 0;
  return std::min({wheel.next_deadline(), time_wait.next_deadline(), ip.next_deadline()});
}

// A neighbour answered (or did not: then the SYN's timer goes on and asks again).
void Stack::Impl::on_resolved(void* context, wire::Ipv4Address, const wire::MacAddress* mac) {
  auto& self = *static_cast<Impl*>(context);
  if (mac == nullptr) return;
  for (std::uint32_t w = 0; w < self.waiting_for_arp.size(); ++w) {
    for (std::uint64_t bits = std::exchange(self.waiting_for_arp[w], 0); bits != 0;
         bits &= bits - 1) {
      Tcb& t = self.tcbs[w * 64 + static_cast<std::uint32_t>(std::countr_zero(bits))];
      if (!t.has(kWaitsForArp) || t.has(kDead)) continue;
      t.flags = (t.flags & ~kWaitsForArp) | kControl;
      self.list(t);
    }
  }
}

}  // namespace stackrig::tcpip
