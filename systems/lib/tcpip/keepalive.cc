// SPDX-License-Identifier: Apache-2.0
// A peer that says nothing: asked whether it lives (RFC 1122 4.2.3.6), and given up when it was
// said to be (RFC 9293 3.9.1, user timeout; RFC 5482).
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

bool waits_for_ack(TimerKind k) {
  return k == TimerKind::retransmit || k == TimerKind::probe || k == TimerKind::reorder ||
         k == TimerKind::persist;
}

}  // namespace

void Stack::Impl::set_keepalive(Tcb& t, const KeepAlive& k) {
  if (t.has(kDead)) return;
  extra(t).keepalive = k;
  t.flags = k.idle != 0 ? t.flags | kKeepAlive : t.flags & ~kKeepAlive;
  if (t.timer_kind == TimerKind::keepalive) stop_timer(t);
  t.heard_ms = ms;
  if (t.timer_kind == TimerKind::none) start_keepalive(t);
}

void Stack::Impl::set_user_timeout(Tcb& t, Time timeout) {
  if (t.has(kDead)) return;
  extra(t).user_timeout = timeout;
  extra(t).since = now;
  t.flags = timeout != 0 ? t.flags | kUserTimeout : t.flags & ~kUserTimeout;
  limit_timer(t);
}

// A connection is new: what the configuration says holds for it, unless the application said more.
void Stack::Impl::watch_peer(Tcb& t) {
  if (config.keepalive.idle != 0 && !t.has(kKeepAlive)) set_keepalive(t, config.keepalive);
  if (config.user_timeout != 0 && !t.has(kUserTimeout)) set_user_timeout(t, config.user_timeout);
  if (t.has(kUserTimeout)) extra(t).since = now;
  if (t.has(kKeepAlive) && t.timer_kind == TimerKind::none) start_keepalive(t);
}

void Stack::Impl::start_keepalive(Tcb& t) {
  const bool open = t.state == State::established || t.state == State::close_wait;
  if (!t.has(kKeepAlive) || !open) return;
  t.retransmits = t.backoff = 0;  // counts probes from now on
  start_timer(t, TimerKind::keepalive, now + extra(t).keepalive.idle);
}

// The peer has acknowledged something, or all: what is waited for from now on.
void Stack::Impl::watch_on(Tcb& t) {
  if (t.has(kPathCut)) judge_longer(t, extra(t));
  if (t.has(kUserTimeout)) {
    extra(t).since = now;
    limit_timer(t);
  }
  if (t.timer_kind == TimerKind::none) start_keepalive(t);
}

void Stack::Impl::on_keepalive_timer(Tcb& t) {
  const KeepAlive& k = extra(t).keepalive;
  stop_timer(t);
  const Time silent = Time{ms - t.heard_ms} * nmio::kMillisecond;
  const Time said = k.idle + t.retransmits * k.interval;
  if (silent + nmio::kMillisecond < said) {
    if (silent + nmio::kMillisecond < k.idle) t.retransmits = 0;  // it has answered
    start_timer(t, TimerKind::keepalive, now + (k.idle + t.retransmits * k.interval - silent));
    return;
  }
  if (t.retransmits >= k.probes) {
    send_reset(t);
    end(t, Ended::timed_out);
    return;
  }
  ++t.retransmits;
  ++c->keepalive_probes;
  // One byte too old: it says nothing, and is answered (RFC 1122 4.2.3.6).
  send_bare(t, t.snd_nxt - 1, wire::kTcpAck);
  start_timer(t, TimerKind::keepalive, now + k.interval);
}

// A timer that waits for an acknowledgement never waits beyond the user timeout.
void Stack::Impl::limit_timer(Tcb& t) {
  if (!t.has(kUserTimeout) || t.state < State::established || !waits_for_ack(t.timer_kind)) return;
  const Extra& x = extra(t);
  const Time at = x.since + x.user_timeout;
  if (t.timer_at > at) start_timer(t, t.timer_kind, at);
}

// True where the peer has acknowledged nothing for as long as was said, and the connection is over.
bool Stack::Impl::user_timed_out(Tcb& t) {
  if (!waits_for_ack(t.timer_kind) || t.state == State::syn_sent ||
      t.state == State::syn_received) {
    return false;
  }
  const Extra& x = extra(t);
  if (now < x.since + x.user_timeout) return false;
  send_reset(t);
  end(t, Ended::timed_out);
  return true;
}

// RFC 5482 3: what the peer advertises counts within bounds, where the application said nothing.
void Stack::Impl::on_user_timeout_option(Tcb& t, std::uint16_t option) {
  if (!config.user_timeout_option || t.has(kDead | kUserTimeout)) return;
  const Time unit = (option & 0x8000) != 0 ? 60 * nmio::kSecond : nmio::kSecond;
  const Time theirs = (option & 0x7fff) * unit;
  if (theirs == 0) return;
  constexpr Time kLeast = 10 * nmio::kSecond, kMost = 3600 * nmio::kSecond;
  set_user_timeout(t, std::min(kMost, std::max({config.user_timeout, theirs, kLeast})));
}

std::uint16_t Stack::Impl::user_timeout_option() const {
  const Time seconds = config.user_timeout / nmio::kSecond;
  if (seconds < 0x8000) return static_cast<std::uint16_t>(seconds);
  return static_cast<std::uint16_t>(0x8000 | std::min<Time>(seconds / 60, 0x7fff));
}

}  // namespace stackrig::tcpip
