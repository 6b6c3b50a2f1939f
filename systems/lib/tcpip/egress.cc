// SPDX-License-Identifier: Apache-2.0
// The way out: what the windows allow, lost bytes first, is fetched from its owner, many segments
// at a time; emit.cc puts it into the transmit batch.
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

bool sends(State s) {
  return s == State::established || s == State::close_wait || s == State::fin_wait_1 ||
         s == State::closing || s == State::last_ack;
}

}  // namespace

void Stack::Impl::output(Tcb& t) {
  t.flags &= ~kOutput;
  if (!sends(t.state)) return;
  if (t.outstanding() == 0 && ms - t.last_sent_ms > min_rto_ms) on_idle(t);
  if (t.has(kBoard | kRetransmitOne | kPathCut) && !output_first(t)) return;
  for (;;) {
    const std::uint32_t offset = t.in_flight();
    if (offset > t.queued || t.has(kNotReady)) return;  // the FIN is out, or nothing to be had
    const std::uint64_t rest = t.queued - offset;
    if (rest == 0 && !t.has(kFinQueued)) return;
    const std::uint32_t window = send_window(t, offset);
    if (window <= offset) {
      note_window_full(t);
      blocked(t);
      return;
    }
    if (rest == 0) {
      send_fin(t);
      return;
    }
    const Place from = place_of(t, offset);
    const std::uint64_t rest_of_write = from.write->bytes - from.at;
    auto limit =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(rest_of_write, window - offset));
    if (!worth_sending(t, limit, rest_of_write)) {
      if (limit < rest_of_write) note_window_full(t);
      blocked(t);
      return;
    }
    // Whole segments only, where the rest of them waits for its turn.
    if (limit > t.mss && (limit < rest_of_write || may_wait(t))) limit -= limit % t.mss;
    if (send_range(t, from, offset, limit, true) == 0) {
      if (!t.has(kNotReady)) t.flags |= kOutput;  // no room or no buffer: poll_output() tries again
      return;
    }
  }
}

// By Nagle's rule (RFC 9293 3.7.4).
bool Stack::Impl::may_wait(const Tcb& t) const {
  return config.nagle && !t.has(kFinQueued | kForceSmall);
}

// What goes before new bytes. False where they must wait.
bool Stack::Impl::output_first(Tcb& t) {
  if (t.has(kRetransmitOne)) retransmit_one(t);
  if (t.has(kBoard) && !send_lost(t)) return false;
  return !t.has(kPathCut) || try_longer(t);
}

// How far from snd_una new bytes may reach, where `offset` bytes from there on are sent already.
std::uint32_t Stack::Impl::send_window(const Tcb& t, std::uint32_t offset) const {
  const std::uint32_t cwnd = congestion::window(t.cc);
  if (t.has(kBoard)) {
    const std::uint32_t out_there = pipe(t);
    return std::min(offset + (cwnd > out_there ? cwnd - out_there : 0), t.snd_wnd);
  }
  // RFC 3042: a segment for each of the first two duplicates, beyond the congestion window.
  const std::uint32_t duplicates =
      t.has(kRecovery) ? 0 : std::min<std::uint32_t>(t.dup_acks, kDupAckThreshold - 1) * t.mss;
  return std::min(cwnd + duplicates, t.snd_wnd);
}

// Nothing was in flight, and nothing was sent for a while.
void Stack::Impl::on_idle(Tcb& t) {
  if (ms - t.last_sent_ms <= t.rtt.rto_us(min_rto_us) / 1000) return;
  congestion::on_idle_restart(t.cc, t.mss, config.initial_window_segments);
  if (has_extra(t)) cubic::restart(extra(t).cubic);
}

// The sender's side of the silly window syndrome (RFC 9293 3.8.6.2.1), and Nagle's rule.
bool Stack::Impl::worth_sending(const Tcb& t, std::uint32_t limit,
                                std::uint64_t rest_of_write) const {
  if (limit >= t.mss || t.has(kForceSmall)) return true;
  if (limit == rest_of_write) {
    return !config.nagle || t.has(kFinQueued) || t.outstanding() == 0;
  }
  return limit >= t.max_snd_wnd / 2;
}

// There is more to send than the windows allow: by the congestion window, or by the peer's?
void Stack::Impl::note_window_full(Tcb& t) {
  if (congestion::window(t.cc) > t.snd_wnd) return;
  t.flags |= kWindowFull;
  extra(t).use.full_until = t.snd_max;
}

// The window allows nothing. Where nothing is in flight either, only a probe can find out when it
// does.
void Stack::Impl::blocked(Tcb& t) {
  if (t.outstanding() != 0 || t.timer_kind > TimerKind::keepalive) return;
  if (t.timer_kind == TimerKind::keepalive) t.retransmits = t.backoff = 0;
  start_timer(t, TimerKind::persist,
              now + Time{t.rtt.rto_us(min_rto_us, t.backoff)} * nmio::kMicrosecond);
  if (t.has(kUserTimeout)) watch_on(t);
}

// Where the byte `offset` after snd_una lies: in the first write, nearly always.
Stack::Impl::Place Stack::Impl::place_of(Tcb& t, std::uint32_t offset) {
  std::uint64_t at = t.head_offset + offset;
  const Write* w = &write_at(t, 0);
  for (unsigned i = 1; at >= w->bytes; ++i) {
    at -= w->bytes;
    w = &write_at(t, i);
  }
  return {w, at};
}

// Before snd_max moves to `to`. Without SACK, one sample a round trip is taken.
[[gnu::always_inline]] inline void Stack::Impl::note_sent_first(Tcb& t, Seq from, Seq to) {
  if (!t.has(kSackOn)) {
    if (!t.has(kRttRunning)) start_round_trip(t, to);
    return;
  }
  if (t.snd_una == from && !t.has(kRecovery)) {
    t.flags |= kFlightOne;
    t.rtt_sent_us = us;
    return;
  }
  if (t.has(kFlightOne) && t.rtt_sent_us == us) return;
  note_in_list(t, from, to);
}

// A list of ranges begins where nothing is in flight, so that it always is of the whole flight.
void Stack::Impl::note_in_list(Tcb& t, Seq from, Seq to) {
  list_flight(t);
  if (t.sent_first != Scoreboard::kNone || t.snd_una == from) {
    if (board.append(t, from, to, us, merge_us(t))) [[likely]] {
      if (t.has(kRecovery)) extra(t).prr.out += to - from;
      return;
    }
    drop_board(t);
  }
  if (!t.has(kRttRunning)) start_round_trip(t, to);
}

void Stack::Impl::start_round_trip(Tcb& t, Seq to) const {
  t.flags = (t.flags & ~kRttTainted) | kRttRunning;
  t.rtt_seq = to;
  t.rtt_sent_us = us;
}

// Sequence numbers, round trip and timer, after [from, from + bytes) (and the FIN) went out.
[[gnu::always_inline]] inline void Stack::Impl::note_sent_inline(Tcb& t, Seq from,
                                                                 std::uint32_t bytes, bool fin) {
  const Seq to = from + bytes + (fin ? 1 : 0);
  t.last_sent_ms = ms;
  if (seq_lt(from, t.snd_max)) {
    if (bytes == 0) ++c->retransmits;  // a FIN; send_range() counts the others
    note_sent_again(t, from, to);
  } else {
    note_sent_first(t, from, to);
    t.snd_nxt = t.snd_max = to;
  }
  if (t.timer_kind != TimerKind::none) {
    if (t.timer_kind > TimerKind::keepalive) return;
    t.retransmits = t.backoff = 0;  // those were of questions, not of data
  }
  start_retransmit_timer(t);
  if (t.has(kUserTimeout)) watch_on(t);
}

void Stack::Impl::note_sent(Tcb& t, Seq from, std::uint32_t bytes, bool fin) {
  note_sent_inline(t, from, bytes, fin);
}

std::uint32_t Stack::Impl::send_range(Tcb& t, const Place& from, std::uint32_t offset,
                                      std::uint32_t limit, bool may_fin) {
  const Write& write = *from.write;
  const std::uint64_t in_write = from.at;
  limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, write.bytes - in_write));
  const std::uint32_t wanted = limit <= t.mss ? 1 : (limit + t.mss - 1) / t.mss;
  const unsigned n = std::min({wanted, std::uint32_t{kFetchMax}, out.room});
  if (n == 0) {
    ++c->no_tx_room;
    return 0;
  }
  const Fetched got =
      write.owner->fetch(write.cookie, in_write, limit, t.mss, std::span(fetched).first(n));
  if (got.segments == 0) {
    if (!got.ready)
      t.flags |= kNotReady;
    else
      ++c->no_chunk;
    return 0;
  }
  const auto segments = std::span(fetched).first(got.segments);
  std::uint32_t total = segments[0].len;
  for (const Segment& g : segments.subspan(1)) total += g.len;
  const bool all = std::uint64_t{offset} + total == t.queued;
  const bool fin = all && may_fin && t.has(kFinQueued) && offset + total < t.snd_wnd;
  const std::uint8_t last = static_cast<std::uint8_t>(
      wire::kTcpAck | (in_write + total == write.bytes ? wire::kTcpPsh : 0) |
      (fin ? wire::kTcpFin : 0));
  const Seq seq = t.snd_una + offset;
  std::uint32_t sent = 0;
  unsigned done;
  if (got.segments == 1) {
    done = emit_one(t, segments[0], seq, last) ? 1 : 0;
    sent = done != 0 ? total : 0;
  } else {
    done = tso ? emit_large(t, segments, seq, last, sent) : emit(t, segments, seq, last, sent);
  }
  if (done != got.segments) give_back_frames(segments.subspan(done));
  if (sent == 0) return 0;
  if (seq_lt(seq, t.snd_max)) c->retransmits += done;
  note_sent_inline(t, seq, sent, fin && done == got.segments);
  return sent;
}

void Stack::Impl::send_fin(Tcb& t) {
  const Seq seq = t.snd_una + static_cast<std::uint32_t>(t.queued);
  if (!send_bare(t, seq, wire::kTcpFin | wire::kTcpAck)) {
    t.flags |= kOutput;
    return;
  }
  note_sent(t, seq, 0, true);
}

void Stack::Impl::note_sent_again(Tcb& t, Seq from, Seq to) {
  list_flight(t);
  if (t.sent_first == Scoreboard::kNone) {
    t.flags |= kRttTainted;
    t.snd_nxt = to;
    t.snd_max = seq_max(t.snd_max, to);
    return;
  }
  Extra& x = extra(t);
  t.flags |= kBoard;
  board.resent(t, from, to, us, merge_us(t), x.board);
  x.prr.out += to - from;
  note_for_undo(x, t, from, to);
  if (seq_gt(to, t.snd_max)) {  // a FIN came along, or bytes after a probe's
    note_sent_first(t, t.snd_max, to);
    t.snd_max = to;
  }
  t.snd_nxt = seq_max(t.snd_nxt, to);
}

}  // namespace stackrig::tcpip
