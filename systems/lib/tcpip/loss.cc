// SPDX-License-Identifier: Apache-2.0
// Loss where the peer has no SACK: found by three duplicate ACKs and got over by Reno or NewReno
// (RFC 5681 3.2, RFC 6582); and the timer, which finds what nothing else does. How much may be sent
// meanwhile is congestion.cc's. With SACK, losses are found in rack.cc.
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {

void Stack::Impl::on_duplicate_ack(Tcb& t) {
  ++c->dup_acks_in;
  if (t.has(kRecovery)) {
    congestion::on_dup_ack(t.cc, t.mss);
    t.flags |= kOutput;
    return;
  }
  if (t.dup_acks < 255) ++t.dup_acks;
  if (t.dup_acks < kDupAckThreshold) {
    t.flags |= kOutput;  // limited transmit (RFC 3042): output() allows a segment for each
    return;
  }
  // RFC 6582 3.2 step 2: not for what was lost together with what is recovered already (the ACK
  // must cover more than `recover`), so that a timeout's retransmissions are not taken for new
  // losses.
  if (t.dup_acks != kDupAckThreshold || (t.has(kLossSeen) && seq_le(t.snd_una, t.recover))) return;
  if (t.has(kPathCut)) judge_longer(t, extra(t), true);
  congested(t);
  congestion::on_loss(t.cc, kDupAckThreshold, t.mss);
  t.recover = t.snd_max;
  t.flags |= kRecovery | kLossSeen | kOutput;
  ++c->fast_retransmits;
  retransmit_one(t);
  start_retransmit_timer(t);
}

// snd_una has moved to `ack` by `bytes`.
void Stack::Impl::on_ack_in_recovery(Tcb& t, Seq ack, std::uint32_t bytes) {
  const bool all = seq_ge(ack, t.recover);
  if (all || config.congestion_control == CongestionControl::reno) {
    congestion::on_recovered(t.cc, config.congestion_control, t.outstanding(), t.mss);
    t.flags &= ~kRecovery;
    t.dup_acks = 0;
    return;
  }
  // A partial ACK: the segment at its edge was lost too. The timer is started again for the first
  // only (RFC 6582 4, "impatient"), which on_new_ack() leaves to us.
  congestion::on_partial_ack(t.cc, bytes, t.mss);
  t.flags |= kOutput;
  if (t.dup_acks != 0) {
    t.dup_acks = 0;
    start_retransmit_timer(t);
  }
  // In a callback-free place: bytes below `ack` still count as queued until on_new_ack() is done.
  t.flags |= kRetransmitOne;
}

// RFC 6298 (5.4)-(5.7), RFC 5681 3.1.
void Stack::Impl::on_retransmit_timeout(Tcb& t) {
  if (tried_enough(t)) {
    send_reset(t);
    end(t, Ended::timed_out);
    return;
  }
  ++c->rto_fired;
  suspect_path(t);
  if (t.sent_first != Scoreboard::kNone) {
    on_board_timeout(t);
    return;
  }
  if (t.has(kPathCut)) judge_longer(t, extra(t), true);
  // RFC 5681 3.1: a segment that is timed out again leaves ssthresh alone.
  if (t.retransmits == 1) congested(t);
  congestion::on_rto(t.cc, t.mss);
  t.recover = t.snd_max;
  t.flags = (t.flags & ~kRecovery) | kLossSeen | kRttTainted;
  t.dup_acks = 0;
  if (t.backoff < 16) ++t.backoff;
  // Everything counts as lost: sending goes on from the oldest byte, as the window opens again.
  t.snd_nxt = t.snd_una;
  retransmit_one(t);
  start_retransmit_timer(t);
}

// Nothing that was reported counts any more (RFC 2018 8), and everything is lost, until its
// acknowledgement shows that the timer was wrong (recovery.cc).
void Stack::Impl::on_board_timeout(Tcb& t) {
  Extra& x = extra(t);
  const bool more = t.has(kLossSeen) && seq_lt(t.snd_una, t.recover);
  if (t.retransmits == 1) {
    if (!more) begin_undo(t, x);
    congested(t);
  }
  congestion::on_rto(t.cc, t.mss);
  board.lose_all(t, x.board);
  x.probe.out = false;
  x.rack.any = false;
  judge_longer(t, x);
  t.recover = t.snd_max;
  t.flags = (t.flags & ~(kRecovery | kLostNotReady)) | kLossSeen | kBoard;
  if (t.backoff < 16) ++t.backoff;
  output(t);
  start_retransmit_timer(t);
}

// What the path was trusted with when it told of congestion, which ssthresh follows from: the
// window (RFC 9438 4.6), as far as it was in use. Not the flight of this moment (RFC 5681 equation
// 4): where the end of a response is lost, all else is acknowledged when that shows, and a few
// segments would be taken for what the path carries. Nor only what was in flight lately (RFC
// 7661 4.4.1), but twice that, as far as a window is allowed to grow: it is Linux's way, whose
// window is held by its growth alone.
std::uint32_t Stack::Impl::trusted(const Tcb& t) const {
  const std::uint32_t cwnd = congestion::window(t.cc);
  if (t.has(kLossSeen) && seq_lt(t.snd_una, t.recover)) {  // cwnd is what recovery made of it
    return std::min(t.outstanding(), std::max(t.cc.ssthresh, cwnd));
  }
  const std::uint32_t lately = has_extra(t) ? in_flight_lately(t, extras[t.extra].use) : 0;
  const std::uint32_t initial = config.initial_window_segments * t.mss;  // of any path
  return std::min({cwnd, t.max_snd_wnd, 2 * std::max({lately, t.outstanding(), initial})});
}

void Stack::Impl::congested(Tcb& t) {
  CubicState unused{};
  const bool is_cubic = config.congestion_control == CongestionControl::cubic;
  congestion::on_congestion(t.cc, config.congestion_control, is_cubic ? extra(t).cubic : unused,
                            trusted(t), t.mss);
}

// The segment at snd_una, whatever the windows say.
void Stack::Impl::retransmit_one(Tcb& t) {
  t.flags &= ~kRetransmitOne;
  const Seq next = t.snd_nxt;
  t.snd_nxt = t.snd_una;
  t.flags |= kRttTainted;
  const auto left = static_cast<std::uint32_t>(std::min<std::uint64_t>(t.outstanding(), t.queued));
  if (left != 0) {
    if (send_range(t, place_of(t, 0), 0, std::min<std::uint32_t>(left, t.mss), true) == 0 &&
        !t.has(kNotReady)) {
      t.flags |= kOutput | kRetransmitOne;  // no room or no buffer: poll_output() tries again
    }
  } else if (t.has(kFinQueued) && t.outstanding() != 0) {
    send_fin(t);
  }
  t.snd_nxt = seq_max(t.snd_nxt, next);
}

}  // namespace stackrig::tcpip
