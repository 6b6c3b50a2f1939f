// SPDX-License-Identifier: Apache-2.0
// LISTEN: connections that begin, in a control block while the backlog has room, in a cookie beyond
// it (RFC 9293 3.10.7.2, RFC 4987).
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {

void Stack::Impl::on_no_connection(SegmentIn& s) {
  const std::uint32_t l = listeners.find(s.key.local());
  if (l == Listeners::kNone) {
    ++c->no_listener;
    send_reset_for(s);
    return;
  }
  on_listen(tcbs[l], s, nullptr);
}

// `old`: the flow's last incarnation, in TIME_WAIT; it is over now.
void Stack::Impl::on_listen(Tcb& listener, SegmentIn& s, const TimeWaitEntry* old) {
  if (s.has(wire::kTcpRst)) {
    ++c->rst_in;
    return;
  }
  if (s.has(wire::kTcpAck)) {
    if (accept_cookie(listener, s)) return;
    // While cookies are out, an ACK that proves nothing may still be of a connection that one
    // began: the first ACK and bytes were lost, and this came later. The peer sends again from the
    // first; a reset would end it.
    if (now >= cookies_until) send_reset_for(s);
    return;
  }
  if (!s.has(wire::kTcpSyn)) {
    ++c->bad_flags;
    return;
  }
  const Agreed a = agree(s);
  if (half_open >= max_half_open) {
    ++c->backlog_full;
    answer_with_cookie(s, a);
    return;
  }
  if (free_slots <= spare_slots) make_room();
  Tcb* t = allocate();
  if (t == nullptr) return;  // all slots hold connections: the peer's SYN comes again
  open_passive(*t, listener, s, a);
  t->iss = initial_sequence({t->iss, t->ts_offset}, now);
  // RFC 6191: beyond all that the last incarnation sent, so that none of it can be taken for ours.
  if (old != nullptr) t->iss = seq_max(t->iss, old->snd_nxt + 65536);
  t->snd_una = t->iss;
  t->snd_nxt = t->snd_max = t->iss + 1;
  t->state = State::syn_received;
  t->flags |= kHalfOpen | kControl;
  c->half_open_now = ++half_open;
  if (paths.any()) wait_as_known(*t);
  if (!send_syn(*t)) list(*t);
  start_retransmit_timer(*t);
}

Agreed Stack::Impl::agree(const SegmentIn& s) const {
  Agreed a;
  if (s.mss != 0) a.mss = std::max(s.mss, kMinMss);
  if (config.window_scaling) a.peer_scale = s.window_scale;
  a.sack = s.sack_permitted && config.sack;
  a.ecn = asks_for_ecn(s);
  a.user_timeout = s.user_timeout;
  if (s.has_timestamps && config.timestamps) {
    a.timestamps = true;
    a.ts_value = s.ts_value;
  }
  return a;
}

void Stack::Impl::adopt(Tcb& t, const Tcb& listener) {
  t.app = listener.app;
  t.on_recv = listener.on_recv;
  t.on_accept = listener.on_accept;
  t.on_sent = listener.on_sent;
  t.on_remote_closed = listener.on_remote_closed;
  t.on_closed = listener.on_closed;
}

// What a connection opened by a SYN (or by the ACK of a cookie) has in any case; `iss` holds the
// flow's secret until the caller sets it.
void Stack::Impl::open_passive(Tcb& t, const Tcb& listener, const SegmentIn& s, const Agreed& a) {
  adopt(t, listener);
  t.flags |= kPassive;
  const FlowSecrets secrets = flow_secrets(s.key, config.secret);
  t.iss = secrets.isn;
  t.ts_offset = secrets.timestamp;
  apply(t, a);
  fill_header(t, s.key, wire::EthernetHeader::at(s.packet->data).source.get());
  t.hash = s.hash;
  table.insert(t.hash, Ref::tcb(t.slot));
  t.flags |= kInTable;
  t.irs = s.has(wire::kTcpSyn) ? s.seq : s.seq - 1;
  t.rcv_nxt = t.rcv_read = t.rcv_adv = t.last_ack_sent = t.irs + 1;
  t.snd_wl1 = s.seq;
}

void Stack::Impl::answer_with_cookie(const SegmentIn& s, const Agreed& a) {
  const FlowSecrets secrets = flow_secrets(s.key, config.secret);
  Control k{.key = s.key, .to = wire::EthernetHeader::at(s.packet->data).source.get()};
  const std::uint16_t mss =
      std::min<std::uint16_t>(a.mss, static_cast<std::uint16_t>(config.mtu - 40));
  k.seq = cookies.make(s.key, s.seq, mss, now);
  k.ack = s.seq + 1;
  k.flags = wire::kTcpSyn | wire::kTcpAck;
  k.window = syn_window();
  k.mss = static_cast<std::uint16_t>(config.mtu - 40);
  if (a.timestamps) {
    std::optional<std::uint8_t> scale;
    if (a.peer_scale != kNoWindowScale) {
      scale = a.peer_scale;
      k.window_scale = window_scale;
    }
    k.timestamps = true;
    k.sack_permitted = a.sack;
    if (a.ecn) k.flags |= wire::kTcpEce;
    k.ts_value = SynCookies::fold_into_clock(ms, {scale, a.sack, a.ecn}) + secrets.timestamp;
    k.ts_echo = a.ts_value;
  }
  if (!send_control(k)) return;
  ++c->syn_cookies_sent;
  cookies_until = now + SynCookies::kPeriodsGood * SynCookies::kPeriod;
}

// An ACK for a connection that we know nothing of may carry a cookie. False: it does not.
bool Stack::Impl::accept_cookie(Tcb& listener, SegmentIn& s) {
  if (now >= cookies_until || s.has(wire::kTcpSyn)) return false;
  const auto mss = cookies.check(s.key, s.seq - 1, s.ack - 1, now);
  if (!mss) {
    ++c->syn_cookies_bad;
    return false;
  }
  ++c->syn_cookies_good;
  if (free_slots <= spare_slots) make_room();
  Tcb* t = allocate();
  if (t == nullptr) return true;  // the peer thinks that it is connected and will send again
  Agreed a{.mss = std::max(*mss, kMinMss), .timestamps = s.has_timestamps, .ts_value = s.ts_value};
  if (s.has_timestamps) {
    const std::uint32_t clock = s.ts_echo - flow_secrets(s.key, config.secret).timestamp;
    const CookieOptions o = SynCookies::options_of(clock);
    if (o.window_scale) a.peer_scale = *o.window_scale;
    a.sack = o.sack;
    a.ecn = o.ecn;
  }
  open_passive(*t, listener, s, a);
  t->rcv_adv = t->rcv_nxt + syn_window();  // what the SYN-ACK with the cookie offered
  t->iss = s.ack - 1;
  t->snd_una = t->iss;
  t->snd_nxt = t->snd_max = s.ack;
  t->state = State::syn_received;
  current = t;
  on_syn_received(*t, s);
  finish(*t);
  return true;
}

// The handshake is done: the application decides. False: it refused, and the connection is gone.
bool Stack::Impl::tell_accepted(Tcb& t) {
  const AcceptFn fn = t.on_accept;
  t.on_connected = nullptr;
  count_established(t);
  t.flags |= kToldApp;
  if (fn == nullptr || fn(t.app, t)) return !t.has(kDead);
  if (t.has(kDead)) return false;
  t.flags &= ~kToldApp;  // it was told no: there is nothing to tell it any more
  ++c->refused;
  send_reset(t);
  end(t, Ended::aborted);
  return false;
}

}  // namespace stackrig::tcpip
