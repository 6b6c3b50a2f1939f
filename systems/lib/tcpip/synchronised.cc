// SPDX-License-Identifier: Apache-2.0
// Connections whose SYNs are acknowledged: ESTABLISHED to LAST_ACK (RFC 9293 3.10.7.4, RFC 5961).
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {

// Header prediction (RFC 7323 appendix; Jacobson 1990): the segment that nearly always comes in
// ESTABLISHED. In order, nothing held, no flags but ACK and PSH, a timestamp that does not go back.
bool Stack::Impl::fast_path(Tcb& t, SegmentIn& s) {
  constexpr std::uint8_t kUnusual = wire::kTcpSyn | wire::kTcpFin | wire::kTcpRst | wire::kTcpUrg;
  if ((s.flags & (kUnusual | wire::kTcpAck)) != wire::kTcpAck || s.seq != t.rcv_nxt ||
      t.has(kHolding | kRecovery | kLossSeen | kFinReceived | kBoard) || t.dup_acks != 0 ||
      s.has_timestamps != t.has(kTimestampsOn) || s.sack_blocks != 0) {
    return false;
  }
  if (s.has_timestamps && seq_lt(s.ts_value, t.ts_recent)) return false;
  if (s.ack - t.snd_una > t.snd_max - t.snd_una) return false;
  // A pure ACK of nothing new may be a duplicate; data beyond the window is trimmed elsewhere.
  if (s.len == 0 ? s.ack == t.snd_una : s.len > t.rcv_adv - t.rcv_nxt) return false;
  if (s.has_timestamps && t.last_ack_sent == s.seq) {  // RFC 7323 4.3 (2): the segment is in order
    t.ts_recent = s.ts_value;
  }
  t.heard_ms = ms;
  if (t.has(kEcnOn)) on_ecn(t, s);
  if ((std::uint32_t{s.window} << t.snd_wscale) == t.snd_wnd &&
      t.timer_kind != TimerKind::persist) {
    t.snd_wl1 = s.seq;  // what is in order is newer
    t.snd_wl2 = s.ack;
  } else {
    update_window(t, s);
  }
  if (s.ack != t.snd_una) on_new_ack(t, s);
  if (s.len != 0 && !t.has(kDead)) receive_data(t, s);
  return true;
}

void Stack::Impl::on_synchronised(Tcb& t, SegmentIn& s) {
  any_twice = false;
  process_synchronised(t, s);
  if (any_twice && !t.has(kDead)) send_ack(t);  // RFC 2883 4: each duplicate is reported, once
}

void Stack::Impl::process_synchronised(Tcb& t, SegmentIn& s) {
  if (!acceptable(t, s)) return;
  if (s.has(wire::kTcpRst)) {
    // RFC 5961 3.2: only the exact number resets; one in the window is asked about.
    ++c->rst_in;
    if (s.seq == t.rcv_nxt) {
      if (t.state == State::closing || t.state == State::last_ack) {
        end_when_read(t);
      } else {
        end(t, Ended::reset_by_peer);
      }
    } else {
      challenge(t);
    }
    return;
  }
  if (s.has(wire::kTcpSyn)) {  // RFC 5961 4.2
    challenge(t);
    return;
  }
  if (!s.has(wire::kTcpAck)) return;
  t.heard_ms = ms;
  if (t.has(kEcnOn)) on_ecn(t, s);
  trim(t, s);
  remember_timestamp(t, s);
  if (!on_ack(t, s) || t.has(kDead)) return;
  after_ack(t, s);
}

// The segment lies in the window (RFC 9293 3.4, table 6) and is not an old duplicate (PAWS).
// Otherwise it is answered with an ACK that says where we are.
bool Stack::Impl::acceptable(Tcb& t, SegmentIn& s) {
  if (paws_fails(t, s)) {
    ++c->paws_dropped;
    if (s.len != 0) {
      t.flags |= kAckNow;
    } else if (!s.has(wire::kTcpRst)) {
      challenge(t);
    }
    return false;
  }
  const std::uint32_t window = t.rcv_adv - t.rcv_nxt;
  const std::uint32_t span = s.span();
  const auto inside = [&](Seq at) { return at - t.rcv_nxt < window; };
  bool good;
  if (window == 0) {
    // Nothing fits, but an ACK (a probe's too) is still read at the edge.
    good = s.seq == t.rcv_nxt && (span == 0 || s.has(wire::kTcpAck));
  } else if (span == 0) {
    good = inside(s.seq) || s.seq == t.rcv_nxt + window;
  } else {
    good = inside(s.seq) || inside(s.end() - 1) ||
           (seq_le(s.seq, t.rcv_nxt) && seq_gt(s.end(), t.rcv_nxt));
  }
  if (good) return true;
  if (s.len != 0 && seq_le(s.seq + s.len, t.rcv_nxt)) note_came_twice(t, s.seq, s.seq + s.len);
  ++c->outside_window;
  if (s.has(wire::kTcpRst)) return false;
  if (s.has(wire::kTcpSyn) || s.len == 0) {
    // Nothing is lost by silence: rate-limited, so that two ends never answer each other for ever.
    // A FIN that comes again means that our ACK of it was lost.
    if (s.fin()) {
      t.flags |= kAckNow;
    } else {
      challenge(t);
    }
  } else {
    t.flags |= kAckNow;
  }
  return false;
}

// RFC 7323 5.3, and 5.5: after so long a silence a timestamp says nothing. A segment without the
// option, though it was agreed on, is dropped as well (3.2).
bool Stack::Impl::paws_fails(Tcb& t, const SegmentIn& s) const {
  if (!t.has(kTimestampsOn) || s.has(wire::kTcpRst)) return false;
  if (!s.has_timestamps) return true;
  return seq_lt(s.ts_value, t.ts_recent) && ms - t.heard_ms < kPawsValidMs;
}

// Takes off what lies outside the window.
void Stack::Impl::trim(Tcb& t, SegmentIn& s) {
  if (seq_lt(s.seq, t.rcv_nxt)) {
    const std::uint32_t before = std::min(t.rcv_nxt - s.seq, s.len);
    note_came_twice(t, s.seq, s.seq + before);
    s.payload += before;
    s.len -= before;
    s.seq += before;
    t.flags |= kAckNow;  // some of it came twice: the peer has not seen our ACK
  }
  const std::uint32_t room = t.rcv_adv - s.seq;
  if (s.len > room && seq_le(s.seq, t.rcv_adv)) {
    s.len = room;
    s.flags &= static_cast<std::uint8_t>(~wire::kTcpFin);
    t.flags |= kAckNow;
  }
}

// RFC 7323 4.3: the timestamp to echo is that of the earliest segment not acknowledged yet.
void Stack::Impl::remember_timestamp(Tcb& t, const SegmentIn& s) {
  if (!s.has_timestamps || !t.has(kTimestampsOn)) return;
  if (seq_ge(s.ts_value, t.ts_recent) && seq_le(s.seq, t.last_ack_sent)) {
    t.ts_recent = s.ts_value;
  } else if (seq_lt(s.ts_value, t.ts_recent)) {
    // PAWS let it pass: the old value has outlived itself (5.5).
    t.ts_recent = s.ts_value;
  }
}

void Stack::Impl::after_ack(Tcb& t, SegmentIn& s) {
  if (t.state == State::fin_wait_2) {
    start_timer(t, TimerKind::fin_wait_2, now + config.fin_wait_2_timeout);  // the peer lives
  }
  take_segment(t, s);
}

// Payload and FIN, in the states that still expect any.
void Stack::Impl::take_segment(Tcb& t, SegmentIn& s) {
  switch (t.state) {
    case State::established:
    case State::fin_wait_1:
    case State::fin_wait_2:
      if (s.len != 0 || s.fin()) receive_data(t, s);
      break;
    default:
      if (s.len != 0 || s.fin()) t.flags |= kAckNow;  // beyond the peer's own FIN: say so again
      break;
  }
}

// Our FIN is acknowledged.
void Stack::Impl::fin_acked(Tcb& t) {
  switch (t.state) {
    case State::fin_wait_1:
      t.state = State::fin_wait_2;
      start_timer(t, TimerKind::fin_wait_2, now + config.fin_wait_2_timeout);
      break;
    case State::closing:
      enter_time_wait(t);
      break;
    case State::last_ack:
      end_when_read(t);
      break;
    default:
      break;
  }
}

// The peer's FIN has its turn: all before it is received. rcv_nxt counts it already.
void Stack::Impl::on_fin(Tcb& t) {
  t.flags |= kFinReceived | kAckNow;
  const State before = t.state;
  if (before == State::established) t.state = State::close_wait;  // the application may close now
  maybe_tell_remote_closed(t);
  if (t.has(kDead)) return;
  switch (before) {
    case State::fin_wait_1:
      t.state = State::closing;  // our FIN is not acknowledged, else it were FIN_WAIT_2
      break;
    case State::fin_wait_2:
      enter_time_wait(t);
      break;
    default:
      break;
  }
}

}  // namespace stackrig::tcpip
