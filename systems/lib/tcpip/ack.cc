// SPDX-License-Identifier: Apache-2.0
// What an acknowledgement does to the sender: windows, round trips, and bytes that are done with.
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {

// False where the segment is to be dropped.
bool Stack::Impl::on_ack(Tcb& t, const SegmentIn& s) {
  if (seq_gt(s.ack, t.snd_max)) {
    ++c->bad_ack;
    challenge(t);
    return false;
  }
  // RFC 5961 5.2: an ACK older than any window that the peer ever offered is a guess.
  if (seq_lt(s.ack, t.snd_una - t.max_snd_wnd)) {
    ++c->bad_ack;
    challenge(t);
    return false;
  }
  if ((t.has(kBoard) || s.sack_blocks != 0) && has_board(t) && seq_ge(s.ack, t.snd_una)) {
    update_window(t, s);
    const std::uint32_t acked = s.ack - t.snd_una;
    on_ack_with_board(t, s);
    if (t.snd_wnd == 0) t.retransmits = 0;  // as below
    if (t.has(kLossSeen) && seq_gt(s.ack, t.recover)) t.flags &= ~kLossSeen;
    if (acked != 0) take_acked(t, acked);
    return true;
  }
  if (seq_gt(s.ack, t.snd_una)) {
    update_window(t, s);
    // Past the last loss: `recover` says nothing any more, and after 2 GiB it would lie ahead.
    if (t.has(kLossSeen) && seq_gt(s.ack, t.recover)) t.flags &= ~kLossSeen;
    on_new_ack(t, s);
    return true;
  }
  // RFC 5681 2: a duplicate says nothing but "something arrived".
  const bool duplicate = s.ack == t.snd_una && s.len == 0 && !s.fin() && t.outstanding() != 0 &&
                         (std::uint32_t{s.window} << t.snd_wscale) == t.snd_wnd;
  if (s.ack == t.snd_una) {
    update_window(t, s);
    // A window that shrank to nothing over what is in flight: each retransmission is a probe, and a
    // peer that answers probes is not given up (RFC 9293 3.8.6.1).
    if (t.snd_wnd == 0) t.retransmits = 0;
  }
  // Where there is a scoreboard, an ACK that reports nothing says nothing.
  if (duplicate && t.timer_kind != TimerKind::persist && !is_listed(t)) {
    on_duplicate_ack(t);
  }
  return true;
}

// Whether what an ACK reports has a scoreboard to go to.
bool Stack::Impl::has_board(Tcb& t) {
  list_flight(t);
  const bool listed = t.sent_first != Scoreboard::kNone || (t.outstanding() == 0 && has_extra(t));
  return listed && t.has(kSackOn);
}

void Stack::Impl::update_window(Tcb& t, const SegmentIn& s) {
  // An ACK that moves on is newer whatever its number: a reordered one brings a window that is
  // smaller by what it acknowledges, and the old one would reach beyond what the peer offered.
  const bool newer = seq_gt(s.ack, t.snd_una) || seq_lt(t.snd_wl1, s.seq) ||
                     (t.snd_wl1 == s.seq && seq_le(t.snd_wl2, s.ack));
  if (t.timer_kind == TimerKind::persist) {  // the peer answers its probes
    t.retransmits = 0;
    if (t.has(kUserTimeout)) watch_on(t);
  }
  if (!newer) return;
  const std::uint32_t window = std::uint32_t{s.window} << t.snd_wscale;
  t.snd_wl1 = s.seq;
  t.snd_wl2 = s.ack;
  if (window == t.snd_wnd) return;
  const bool opened = window > t.snd_wnd;
  t.snd_wnd = window;
  t.max_snd_wnd = std::max(t.max_snd_wnd, window);
  if (!opened) return;
  if (t.queued != 0 || t.has(kFinQueued)) t.flags |= kOutput;
  if (t.timer_kind == TimerKind::persist) {
    stop_timer(t);
    t.backoff = 0;
    // A probe's byte may be out already; from now on it is like any other.
    if (t.outstanding() != 0) {
      start_retransmit_timer(t);
    } else {
      start_keepalive(t);
    }
  }
}

// A window that was not used is no reason to grow it (RFC 7661 4.3: in slow start half of it must
// have been, of late). It was, by all that was sent until it was full.
bool Stack::Impl::window_was_used_lately(const Tcb& t) const {
  const WindowUse& u = extras[t.extra].use;
  if (t.has(kWindowFull) && seq_lt(t.snd_una, u.full_until)) return true;
  return t.cc.cwnd < t.cc.ssthresh && 2 * in_flight_lately(t, u) >= t.cc.cwnd;
}

// `bytes` of the `in_flight` are acknowledged, and the window was in use.
void Stack::Impl::grow_window(Tcb& t, std::uint32_t bytes, std::uint32_t rtt_us,
                              std::uint32_t in_flight) {
  const bool is_cubic = config.congestion_control == CongestionControl::cubic;
  if (is_cubic || has_extra(t)) {
    WindowUse& u = extra(t).use;
    u.full_ms = ms;
    note_use(t, u, in_flight);
  }
  if (!is_cubic) {
    congestion::on_ack(t.cc, bytes, t.mss);
    return;
  }
  Extra& x = extra(t);
  congestion::on_ack(t.cc, x.cubic, x.hystart,
                     {bytes, t.mss, ms, t.rtt.srtt_us(), rtt_us, t.snd_una, t.snd_max});
}

// `bytes` more of the stream are acknowledged. Calls owners and the application.
[[gnu::always_inline]] inline void Stack::Impl::release_acked(Tcb& t, std::uint32_t bytes) {
  t.head_offset += bytes;
  while (t.write_count != 0) {
    const Write w = write_at(t, 0);
    if (t.head_offset < w.bytes) {
      w.owner->acked(w.cookie, t.head_offset);
      return;
    }
    t.head_offset -= w.bytes;
    t.write_head = static_cast<std::uint8_t>((t.write_head + 1) % kMaxWrites);
    --t.write_count;
    w.owner->acked(w.cookie, w.bytes);
    w.owner->released(w.cookie);
    if (t.on_sent != nullptr) t.on_sent(t.app, t, w.cookie);
    if (t.has(kDead) || t.head_offset == 0) return;
  }
}

// `all` more of sequence space is acknowledged, and snd_una has moved: timers, and bytes that are
// done with. Calls owners and the application.
[[gnu::always_inline]] inline void Stack::Impl::take_acked_inline(Tcb& t, std::uint32_t all) {
  const auto data = static_cast<std::uint32_t>(std::min<std::uint64_t>(all, t.queued));
  if (t.timer_kind != TimerKind::persist) {
    t.backoff = t.retransmits = 0;
    if (t.snd_una == t.snd_max) {
      stop_timer(t);
    } else if (t.timer_kind != TimerKind::reorder &&
               (!t.has(kRecovery) || t.has(kBoard) || t.timer_kind == TimerKind::none)) {
      start_retransmit_timer(t);
    }
  }
  if (t.has(kKeepAlive | kUserTimeout | kPathCut)) watch_on(t);
  t.queued -= data;
  const bool fin = all > data;
  if (t.queued > t.in_flight() || (t.has(kFinQueued) && !fin)) t.flags |= kOutput;
  if (data != 0) release_acked(t, data);
  if (fin && !t.has(kDead)) fin_acked(t);
}

void Stack::Impl::take_acked(Tcb& t, std::uint32_t all) {
  take_acked_inline(t, all);
}

// RFC 7661 4.2: how long what was in flight says something.
std::uint32_t Stack::Impl::use_period_ms(const Tcb& t) {
  return std::max(1'000U, 3 * t.rtt.srtt_us() / 1000);
}

// The most that was in flight within the last one or two periods: RFC 7661's pipeACK, but of what
// went out, which an ACK that is late or lost does not change. 0: nothing was noted.
std::uint32_t Stack::Impl::in_flight_lately(const Tcb& t, const WindowUse& u) const {
  const std::uint32_t age = ms - u.since_ms;
  const std::uint32_t period = use_period_ms(t);
  if (age < period) return std::max(u.most, u.most_before);
  return age < 2 * period ? u.most : 0;
}

// An ACK came while so much was in flight; snd_una has moved.
void Stack::Impl::note_use(Tcb& t, WindowUse& u, std::uint32_t in_flight) const {
  const std::uint32_t age = ms - u.since_ms;
  const std::uint32_t period = use_period_ms(t);
  if (age >= period) {
    u.most_before = age < 2 * period ? u.most : 0;
    u.most = 0;
    u.since_ms = ms;
  }
  u.most = std::max(u.most, in_flight);
  if (t.has(kWindowFull) && seq_ge(t.snd_una, u.full_until)) t.flags &= ~kWindowFull;
}

// RFC 7661 4.4.3: a window that was not in use for five minutes is not believed any more; and
// CUBIC's clock stands still meanwhile (RFC 9438 5.8).
void Stack::Impl::validate_window(Tcb& t, std::uint32_t in_flight) {
  constexpr std::uint32_t kNonValidatedMs = 300'000;
  Extra& x = extra(t);
  WindowUse& u = x.use;
  note_use(t, u, in_flight);
  cubic::pause(x.cubic, ms);
  if (u.full_ms == 0) u.full_ms = ms;
  if (ms - u.full_ms < kNonValidatedMs) return;
  u.full_ms = ms;
  cubic::restart(x.cubic);
  t.cc.ssthresh = std::max(t.cc.ssthresh, t.cc.cwnd / 4 * 3);
  t.cc.cwnd = std::max(t.cc.cwnd / 2,
                       std::min<std::uint32_t>(t.cc.cwnd, config.initial_window_segments * t.mss));
}

// snd_una moves, and nothing was reported, lost or sent again by a scoreboard.
void Stack::Impl::on_new_ack(Tcb& t, const SegmentIn& s) {
  const std::uint32_t all = s.ack - t.snd_una;
  const bool marked = s.has(wire::kTcpEce) && t.has(kEcnOn);
  const bool used = !marked && window_was_used(t, t.outstanding());
  std::uint32_t rtt = 0;
  if (t.has(kFlightOne)) {
    rtt = us - t.rtt_sent_us;
    if (s.ack == t.snd_max) t.flags &= ~kFlightOne;
    measure_board(t, s.ack, rtt);
  } else if (t.sent_first != Scoreboard::kNone) {
    rtt = us - board.ack_plain(t, s.ack);
    measure_board(t, s.ack, rtt);
  } else {
    measure(t, s);
  }
  t.snd_una = s.ack;
  if (seq_lt(t.snd_nxt, s.ack)) t.snd_nxt = s.ack;
  if (t.has(kRecovery)) {
    on_ack_in_recovery(t, s.ack, all);
  } else {
    if (used) {
      grow_window(t, all, rtt, t.in_flight() + all);
    } else if (has_extra(t) && !marked) {
      validate_window(t, t.in_flight() + all);
    }
    t.dup_acks = 0;
  }
  take_acked_inline(t, all);
}

// RFC 6298, one sample per round trip. Where something was sent twice, only a timestamp tells what
// was answered (Karn; RFC 7323 4).
void Stack::Impl::measure(Tcb& t, const SegmentIn& s) {
  if (!t.has(kRttRunning) || seq_lt(s.ack, t.rtt_seq)) return;
  std::uint32_t sample = us - t.rtt_sent_us;
  if (t.has(kRttTainted)) {
    const std::uint32_t clock_ms = ms - (s.ts_echo - t.ts_offset);
    if (!s.has_timestamps || s.ts_echo == 0 || clock_ms > kMaxRtoUs / 1000) {
      t.flags &= ~(kRttRunning | kRttTainted);
      return;
    }
    sample = clock_ms * 1000;
  }
  t.flags &= ~(kRttRunning | kRttTainted);
  t.rtt.sample(sample);
}

}  // namespace stackrig::tcpip
