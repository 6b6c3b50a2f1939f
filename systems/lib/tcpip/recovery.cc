// SPDX-License-Identifier: Apache-2.0
// Getting over a loss that the scoreboard shows: what is sent again and how fast (RFC 6937), and
// going back where there was no loss at all (RFC 2883, 3522, 4015).
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {

// Sends what is lost, oldest first, as the congestion window allows: one walk over the list. False
// where it could not go and new bytes must not go before it.
bool Stack::Impl::send_lost(Tcb& t) {
  Extra& x = extra(t);
  std::uint32_t before = Scoreboard::kNone;
  std::uint32_t i = t.sent_first;
  while (x.board.lost != 0 && i != Scoreboard::kNone) {
    if (!board[i].is(kRangeLost)) {
      before = i;
      i = board.next(i);
      continue;
    }
    const std::uint32_t allowed = may_send_again(t, board[i]);
    if (allowed == 0 || t.has(kLostNotReady)) return true;
    const std::uint32_t lost = x.board.lost;
    board.start_after(before);
    const bool went = send_again(t, board[i].from - t.snd_una, allowed);
    before = board.cursor();
    board.start_after(Scoreboard::kNone);
    if (!went) return t.has(kLostNotReady);  // new bytes need not wait for its owner
    if (x.board.lost == lost) return true;
    i = before == Scoreboard::kNone ? t.sent_first : board[before].next;
  }
  return true;
}

// `bytes` from `offset` after snd_una on, or the FIN where there are none. False: not now.
bool Stack::Impl::send_again(Tcb& t, std::uint32_t offset, std::uint32_t bytes) {
  if (offset >= t.queued) return send_bare_fin(t, t.snd_una + offset);
  const auto data = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, t.queued - offset));
  // New bytes may be waited for while these are at hand, and the other way round.
  const std::uint64_t waits = t.flags & kNotReady;
  t.flags &= ~kNotReady;
  const bool went = send_range(t, place_of(t, offset), offset, data, true) != 0;
  if (!went) t.flags |= t.has(kNotReady) ? kLostNotReady : kOutput;
  t.flags = (t.flags & ~kNotReady) | waits;
  return went;
}

// How many bytes of lost range `r` may go now. The oldest segment goes whatever the peer's window
// says: it probes a window that shrank (RFC 9293 3.8.6.1).
std::uint32_t Stack::Impl::may_send_again(const Tcb& t, const SentRange& r) const {
  const std::uint32_t out_there = pipe(t);
  const std::uint32_t cwnd = congestion::window(t.cc);
  const std::uint32_t mss = t.mss;
  std::uint32_t room = cwnd > out_there ? cwnd - out_there : 0;
  const std::uint32_t wanted = r.bytes();
  if (room < std::min(wanted, mss)) {
    if (out_there != 0) return 0;
    room = mss;
  }
  const std::uint32_t offset = r.from - t.snd_una;
  const std::uint32_t window = t.snd_wnd > offset ? t.snd_wnd - offset : 0;
  if (window < std::min(wanted, mss)) return offset == 0 ? std::min(wanted, mss) : 0;
  const std::uint32_t n = std::min({wanted, room, window});
  return n > mss && n < wanted ? n - n % mss : n;
}

bool Stack::Impl::send_bare_fin(Tcb& t, Seq seq) {
  if (!send_bare(t, seq, wire::kTcpFin | wire::kTcpAck)) {
    t.flags |= kOutput;
    return false;
  }
  note_sent(t, seq, 0, true);
  return true;
}

// The scoreboard shows a loss that is not part of one which is got over already.
// `delivered`: by the ACK that showed it; it was in flight then.
void Stack::Impl::enter_recovery(Tcb& t, Extra& x, std::uint32_t delivered) {
  // What was sent for what the peer reported is no part of it (RFC 5681 3.2 step 2, RFC 6675 5).
  const std::uint32_t flight = std::min(t.outstanding() + delivered, congestion::window(t.cc));
  begin_undo(t, x);
  congested(t);
  x.prr = {std::max(flight, 1U), 0, 0};
  t.recover = t.snd_max;
  t.flags |= kRecovery | kLossSeen | kBoard | kOutput;
  if (t.has(kEcnOn)) t.flags |= kCwrDue;  // RFC 3168 6.1.2: whatever it was reduced for
  ++c->fast_retransmits;
}

// RFC 6937: cwnd follows what is delivered, so that ssthresh is reached when recovery ends and ACKs
// keep the clock. `safe`: the ACK moved on and showed no new loss (RFC 6937bis).
void Stack::Impl::reduce_proportionally(Tcb& t, Extra& x, std::uint32_t delivered, bool safe) {
  PrrState& p = x.prr;
  p.delivered += delivered;
  const std::uint32_t out_there = pipe(t);
  std::uint32_t send;
  if (out_there > t.cc.ssthresh) {
    const std::uint64_t share =
        (std::uint64_t{p.delivered} * t.cc.ssthresh + p.flight - 1) / p.flight;
    send = share > p.out ? static_cast<std::uint32_t>(share) - p.out : 0;
  } else {
    send = std::max(p.delivered > p.out ? p.delivered - p.out : 0, delivered);
    if (safe) send += t.mss;
    send = std::min(send, t.cc.ssthresh - out_there);
  }
  if (p.out == 0) send = std::max<std::uint32_t>(send, t.mss);  // fast retransmit
  t.cc.cwnd = out_there + send;
  t.flags |= kOutput;
}

void Stack::Impl::leave_recovery(Tcb& t, Extra& x) {
  t.flags &= ~kRecovery;
  t.dup_acks = 0;
  t.cc.cwnd = t.cc.ssthresh;
  t.cc.acked = 0;
  RackState& k = x.rack;
  if (k.reo_persist != 0 && --k.reo_persist == 0) k.reo_mult = 1;
}

// --- where it was no loss ---

void Stack::Impl::begin_undo(Tcb& t, Extra& x) {
  x.undo = {t.cc.cwnd, t.cc.ssthresh, x.cubic, t.snd_una, 0, 0, 0, true, false};
}

void Stack::Impl::note_for_undo(Extra& x, const Tcb& t, Seq from, Seq to) const {
  UndoState& u = x.undo;
  if (!u.valid || !t.has(kLossSeen) || seq_ge(t.snd_una, t.recover)) return;
  u.resent_bytes += to - from;
  if (u.resent) return;
  u.resent = true;
  u.end = to;
  u.ts = ms + t.ts_offset;
}

// RFC 3522: the first retransmission's bytes are acknowledged, by an echo from before it went out.
bool Stack::Impl::original_arrived(const Tcb& t, const UndoState& u, const SegmentIn& s) {
  return u.valid && u.resent && t.has(kTimestampsOn) && s.has_timestamps && s.ts_echo != 0 &&
         seq_ge(s.ack, u.end) && seq_lt(s.ts_echo, u.ts);
}

// RFC 2883, 3708: true where by now all that was sent again is reported to have come twice.
bool Stack::Impl::all_came_twice(UndoState& u, const wire::SackBlock& block) {
  if (!u.valid || !u.resent || seq_lt(block.left, u.from)) return false;
  u.resent_bytes -= std::min(u.resent_bytes, block.right - block.left);
  return u.resent_bytes == 0;
}

void Stack::Impl::undo(Tcb& t, Extra& x) {
  ++c->undone;
  x.undo.valid = false;
  t.cc.cwnd = std::max(t.cc.cwnd, x.undo.cwnd);
  t.cc.ssthresh = std::max(t.cc.ssthresh, x.undo.ssthresh);
  x.cubic = x.undo.cubic;
  t.flags = (t.flags & ~kRecovery) | kOutput;
  t.backoff = 0;
  board.lose_none(t, x.board);
}

}  // namespace stackrig::tcpip
