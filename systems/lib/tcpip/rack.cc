// SPDX-License-Identifier: Apache-2.0
// RACK-TLP (RFC 8985): what was sent before something that has arrived, and is overdue, is lost;
// and where nothing arrives after the last segments, one more asks.
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

constexpr std::uint8_t kReoPersist = 16;                 ///< RFC 8985 6.2 step 4
constexpr std::uint8_t kMostReoMult = 32;                ///< srtt bounds the window long before
constexpr std::uint32_t kProbeSlackUs = 2'000;           ///< timers of both ends are not exact
constexpr std::uint32_t kProbeUnmeasuredUs = 1'000'000;  ///< RFC 8985 7.2

bool time_after(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) > 0;
}

bool sent_after(std::uint32_t t1, Seq end1, std::uint32_t t2, Seq end2) {
  return time_after(t1, t2) || (t1 == t2 && seq_gt(end1, end2));
}

}  // namespace

// 6.2 steps 1 to 3, for a piece that this ACK is the first to report.
void Stack::Impl::rack_delivered(const Tcb& t, Extra& x, const SentRange& piece,
                                 const SegmentIn& s) {
  RackState& k = x.rack;
  const std::uint32_t rtt = us - piece.sent_us;
  if (piece.is(kRangeAgain)) {
    // The ACK may be of an earlier transmission: then it says nothing of this one.
    const std::uint32_t sent_ts = ms - rtt / 1000 + t.ts_offset;
    if (t.has(kTimestampsOn) && s.has_timestamps && seq_lt(s.ts_echo, sent_ts)) return;
    if (rtt < t.rtt.least) return;
  }
  if (!k.any || sent_after(piece.sent_us, piece.to, k.sent_us, k.end)) {
    k.sent_us = piece.sent_us;
    k.end = piece.to;
    k.rtt_us = rtt;
  }
  if (!k.any || seq_gt(piece.to, k.fack)) {
    k.fack = piece.to;
  } else if (seq_lt(piece.to, k.fack) && !piece.is(kRangeAgain)) {
    k.reordering_seen = true;
  }
  k.any = true;
}

// 6.2 step 4: how much later than what was sent after it a segment may come.
std::uint32_t Stack::Impl::reordering_window_us(const Tcb& t, const Extra& x) const {
  const RackState& k = x.rack;
  if (!k.reordering_seen && (t.has(kRecovery) || x.board.sacked > (kDupAckThreshold - 1) * t.mss)) {
    return 0;
  }
  const std::uint32_t mult = std::max<std::uint32_t>(k.reo_mult, 1);
  return std::min(mult * (t.rtt.least / 4), t.rtt.srtt_us());
}

void Stack::Impl::widen_reordering_window(const Tcb& t, Extra& x) {
  RackState& k = x.rack;
  if (k.in_dsack_round && seq_lt(t.snd_una, k.dsack_round)) return;  // once per round trip
  k.in_dsack_round = true;
  k.dsack_round = t.snd_max;
  k.reo_mult =
      static_cast<std::uint8_t>(std::min<int>(std::max<int>(k.reo_mult, 1) + 1, kMostReoMult));
  k.reo_persist = kReoPersist;
}

// 6.2 step 5: marks what is lost; returns the us until the last that is overdue then is, 0: none
// is.
std::uint32_t Stack::Impl::detect_loss(Tcb& t, Extra& x) {
  const RackState& k = x.rack;
  if (!k.any) return 0;
  const std::uint32_t window = reordering_window_us(t, x);
  std::uint32_t wait = 0;
  for (std::uint32_t i = t.sent_first; i != Scoreboard::kNone; i = board.next(i)) {
    const SentRange& r = board[i];
    if (r.is(kRangeSacked | kRangeLost)) continue;
    if (!sent_after(k.sent_us, k.end, r.sent_us, r.to)) continue;
    // Pieces of one range share its times, and are told apart by their place: what went out over a
    // while counts as sent at its end, so that none is lost too early.
    const auto left = static_cast<std::int32_t>(r.last_us() + k.rtt_us + window - us);
    if (left <= 0) {
      board.mark_lost(i, x.board);
    } else {
      wait = std::max(wait, static_cast<std::uint32_t>(left));
    }
  }
  return wait;
}

// What to do about what is lost by now, and when to look again. `delivered` bytes are the news of
// the ACK that asks, 0 where the timer does.
void Stack::Impl::act_on_losses(Tcb& t, Extra& x, std::uint32_t delivered, bool advanced) {
  const std::uint32_t lost_before = x.board.lost;
  const std::uint32_t wait = detect_loss(t, x);
  const std::uint32_t newly = x.board.lost - lost_before;
  const std::uint32_t longer = x.path.probe;
  const bool more_lost = newly != 0 && !(judge_longer(t, x) && newly <= longer);
  const bool known = t.has(kLossSeen) && seq_lt(t.snd_una, t.recover);
  if (more_lost && !t.has(kRecovery) && !known) enter_recovery(t, x, delivered);
  if (t.has(kRecovery)) reduce_proportionally(t, x, delivered, advanced && !more_lost);
  if (x.board.lost != 0) t.flags |= kOutput;
  if (wait != 0) {
    start_timer(t, TimerKind::reorder, now + Time{wait} * nmio::kMicrosecond);
  } else if (t.timer_kind == TimerKind::reorder) {
    start_retransmit_timer(t);
  }
}

void Stack::Impl::on_reorder_timer(Tcb& t) {
  stop_timer(t);
  if (t.outstanding() == 0) return;
  if (t.sent_first != Scoreboard::kNone && has_extra(t)) act_on_losses(t, extra(t), 0, false);
  if (t.timer_kind == TimerKind::none) start_retransmit_timer(t);
}

// --- tail loss probes (7) ---

// 7.2: PTO. A single segment's ACK may be delayed by the peer.
std::uint32_t Stack::Impl::probe_wait_us(const Tcb& t) const {
  if (t.rtt.srtt8 == 0) return kProbeUnmeasuredUs;
  const std::uint32_t delay = t.outstanding() <= t.mss ? probe_ack_delay_us : kProbeSlackUs;
  return (t.rtt.srtt8 >> 2) + delay;
}

void Stack::Impl::on_probe_timer(Tcb& t) {
  stop_timer(t);
  if (t.sent_first == Scoreboard::kNone || t.has(kBoard)) {
    start_retransmit_timer(t);
    return;
  }
  // The wait is from when data went out last; the timer was started when it went out first.
  const std::uint32_t since = us - board[t.sent_last].last_us();
  const std::uint32_t wait = probe_wait_us(t);
  if (since < wait) {
    start_timer(t, TimerKind::probe, now + Time{wait - since} * nmio::kMicrosecond);
    return;
  }
  send_probe(t);
  if (t.timer_kind != TimerKind::retransmit) start_retransmit_timer(t);
}

// 7.3: new data where there is some and the peer takes it, else the last segment again.
void Stack::Impl::send_probe(Tcb& t) {
  Extra& x = extra(t);
  const std::uint32_t offset = t.in_flight();
  const Seq before = t.snd_max;
  t.flags |= kBoard;
  if (offset < t.queued && offset < t.snd_wnd && !t.has(kNotReady)) {
    const auto limit = static_cast<std::uint32_t>(
        std::min<std::uint64_t>({t.mss, t.queued - offset, t.snd_wnd - offset}));
    send_range(t, place_of(t, offset), offset, limit, true);
  }
  const bool fresh = t.snd_max != before;
  if (!fresh) send_last_again(t);
  ++c->tail_probes;
  x.probe = {t.snd_max, true, !fresh};
}

void Stack::Impl::send_last_again(Tcb& t) {
  const auto data = static_cast<std::uint32_t>(std::min<std::uint64_t>(t.outstanding(), t.queued));
  if (data == 0) {
    send_bare_fin(t, t.snd_max - 1);
    return;
  }
  std::uint32_t offset = data > t.mss ? data - t.mss : 0;
  Place from = place_of(t, offset);
  while (from.write->bytes - from.at < data - offset) {  // the last segment is of the last write
    offset += static_cast<std::uint32_t>(from.write->bytes - from.at);
    from = place_of(t, offset);
  }
  const std::uint64_t waits = t.flags & kNotReady;
  send_range(t, from, offset, data - offset, true);
  t.flags = (t.flags & ~kNotReady) | waits;  // a probe is not worth waiting for
}

// 7.4: is it over, and did it repair a loss that nobody would see otherwise?
void Stack::Impl::on_probe_acked(Tcb& t, Extra& x, const SegmentIn& s, bool advanced,
                                 bool came_twice) {
  ProbeState& p = x.probe;
  if (!p.out || seq_lt(s.ack, p.end)) return;
  if (!p.again || came_twice) {
    p.out = false;
  } else if (seq_gt(s.ack, p.end)) {
    p.out = false;
    if (t.has(kRecovery)) return;
    congested(t);
    t.cc.cwnd = std::min(t.cc.cwnd, t.cc.ssthresh);
  } else if (!advanced && s.len == 0 && s.sack_blocks == 0) {
    p.out = false;  // a peer without DSACK: both came
  }
}

}  // namespace stackrig::tcpip
