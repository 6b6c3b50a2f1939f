// SPDX-License-Identifier: Apache-2.0
// An acknowledgement that says more than how far: reports of what arrived beyond a gap (RFC 2018),
// or twice (RFC 2883), and what follows from them for the scoreboard.
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {

// What the blocks of an ACK say, in sequence order and apart from each other. Those that cannot be
// are passed over: nobody learns anything from sending them.
Reports Stack::Impl::reports_of(const Tcb& t, const SegmentIn& s) {
  Reports r;
  const Seq low = seq_max(s.ack, t.snd_una);
  for (unsigned i = 0; i < s.sack_blocks; ++i) {
    const wire::SackBlock b = s.sack[i];
    if (!seq_lt(b.left, b.right) || seq_gt(b.right, t.snd_max)) continue;
    if (i == 0) {
      // RFC 2883 4: the first block is of a duplicate where it lies below the ACK or in the second.
      const bool below = seq_le(b.right, low) && seq_ge(b.left, low - kDsackReach);
      const bool inside =
          s.sack_blocks > 1 && seq_ge(b.left, s.sack[1].left) && seq_le(b.right, s.sack[1].right);
      if (below || inside) {
        r.came_twice = true;
        r.twice = b;
        continue;
      }
    }
    if (seq_lt(b.left, low)) continue;
    unsigned at = r.count++;
    for (; at > 0 && seq_lt(b.left, r.blocks[at - 1].left); --at) r.blocks[at] = r.blocks[at - 1];
    r.blocks[at] = b;
  }
  unsigned kept = 0;
  for (unsigned i = 0; i < r.count; ++i) {
    if (kept != 0 && seq_le(r.blocks[i].left, r.blocks[kept - 1].right)) {
      r.blocks[kept - 1].right = seq_max(r.blocks[kept - 1].right, r.blocks[i].right);
    } else {
      r.blocks[kept++] = r.blocks[i];
    }
  }
  r.count = kept;
  return r;
}

// An acceptable ACK of a flight that has a scoreboard, where either of them says more than how far.
void Stack::Impl::on_ack_with_board(Tcb& t, const SegmentIn& s) {
  Extra& x = extra(t);
  const Reports r = reports_of(t, s);
  const std::uint32_t before = pipe(t);
  const bool marked = s.has(wire::kTcpEce) && t.has(kEcnOn);
  const bool used = x.board.lost != 0 || window_was_used(t, before);
  const bool advanced = seq_gt(s.ack, t.snd_una);
  std::uint32_t delivered = 0;
  std::uint32_t sample = 0;
  const auto news = [&](const SentRange& piece) {
    delivered += piece.bytes();
    if (!piece.is(kRangeAgain)) sample = us - piece.sent_us;
    rack_delivered(t, x, piece, s);
  };
  t.flags |= kBoard;
  board.ack(t, s.ack, x.board, news);
  if (r.count != 0) board.sack(t, {r.blocks.data(), r.count}, x.board, news);
  if (advanced) {
    measure_board(t, s.ack, sample);
    t.backoff = t.retransmits = 0;
  }
  if (r.came_twice) on_came_twice(t, x, r.twice);
  const bool probe_twice = r.came_twice && r.twice.right == x.probe.end;
  const std::uint32_t acked = s.ack - t.snd_una;
  if (advanced) {
    t.snd_una = s.ack;
    t.snd_nxt = seq_max(t.snd_nxt, s.ack);
  }
  note_use(t, x.use, before);
  on_probe_acked(t, x, s, advanced, probe_twice);
  if (advanced && original_arrived(t, x.undo, s)) undo(t, x);
  const bool recovering = t.has(kRecovery);
  if (recovering && seq_ge(t.snd_una, t.recover)) leave_recovery(t, x);
  if (advanced && !recovering && !marked) {
    if (used) {
      grow_window(t, acked, sample, before);
    } else {
      validate_window(t, before);
    }
  }
  act_on_losses(t, x, delivered, advanced);
  leave_board(t, x);
  c->board_visits = board.visits();
  if (delivered != 0) t.flags |= kOutput;
}

void Stack::Impl::on_came_twice(Tcb& t, Extra& x, const wire::SackBlock& block) {
  ++c->dsacks_in;
  widen_reordering_window(t, x);
  if (all_came_twice(x.undo, block)) undo(t, x);
}

// One sample a round trip for the timer (RFC 6298); all count for the least one.
void Stack::Impl::measure_board(Tcb& t, Seq ack, std::uint32_t sample) {
  rtt_sample_us = sample;
  if (sample == 0 || seq_lt(ack, t.rtt_seq)) return;
  t.rtt.sample(sample);
  t.rtt_seq = t.snd_max;
}

// The scoreboard has nothing to say any more: ACKs take the fast path again.
void Stack::Impl::leave_board(Tcb& t, Extra& x) {
  if (t.has(kRecovery) || x.board.sacked != 0 || x.board.lost != 0 || x.probe.out) return;
  if (t.has(kLossSeen) && seq_lt(t.snd_una, t.recover)) return;
  t.flags &= ~(kBoard | kLostNotReady);
  x.rack.any = false;
  x.rack.in_dsack_round = false;
}

// What the fast path left out: the flight as a list of one range.
void Stack::Impl::list_flight(Tcb& t) {
  if (!t.has(kFlightOne)) return;
  t.flags &= ~kFlightOne;
  if (t.outstanding() == 0 || board.append(t, t.snd_una, t.snd_max, t.rtt_sent_us, 0)) return;
  drop_board(t);
}

// No room for it: the connection goes on by duplicate ACKs, and from the oldest byte where some of
// the flight was lost.
void Stack::Impl::drop_board(Tcb& t) {
  board.drop(t);
  ++c->boards_dropped;
  t.dup_acks = 0;
  t.flags = (t.flags & ~(kRttRunning | kLostNotReady)) | kRttTainted;
  if (!t.has(kBoard)) return;
  t.flags &= ~kBoard;
  Extra& x = extra(t);
  if (x.board.lost != 0) t.flags |= kRetransmitOne | kOutput;
  x.board = {};
  x.probe.out = false;
  x.rack.any = false;
}

}  // namespace stackrig::tcpip
