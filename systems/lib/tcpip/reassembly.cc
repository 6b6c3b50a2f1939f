// SPDX-License-Identifier: Apache-2.0
// From received segments to the application: bytes in order are offered where they lie; bytes that
// the reader leaves, and bytes beyond a gap, are held in their chunks, within limits.
//
// A connection's list: first what is in order and unread ([rcv_read, rcv_nxt)), then what lies
// beyond.
#include <algorithm>
#include <cstring>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

/// Copying this much to the end of a held chunk is cheaper than holding one more: tiny segments
/// share.
constexpr std::uint32_t kAppendMax = 256;

}  // namespace

// Payload and FIN that lie in the window (trim()).
void Stack::Impl::receive_data(Tcb& t, SegmentIn& s) {
  if (s.seq == t.rcv_nxt && !t.has(kHolding)) {
    if (s.len != 0) {
      t.rcv_nxt += s.len;
      t.flags |= kAckSoon;
      const std::size_t taken = offer(t, {s.payload, s.len});
      if (t.has(kDead)) return;
      t.rcv_read += static_cast<std::uint32_t>(taken);
      if (taken < s.len) {
        s.seq += static_cast<std::uint32_t>(taken);
        s.payload += taken;
        s.len -= static_cast<std::uint32_t>(taken);
        if (!hold(t, s)) {
          // No buffer to keep it in: it was never received, and comes again.
          t.rcv_nxt = s.seq;
          t.flags |= kAckNow;
          ++c->held_dropped;
          return;
        }
      }
    }
    if (s.fin() && !t.has(kFinReceived)) {
      ++t.rcv_nxt;
      on_fin(t);
    }
    return;
  }
  if (s.seq != t.rcv_nxt) {
    ++c->out_of_order_in;
    t.flags |= kAckNow;
  }
  // What fills the gap is worth more than what lies behind it.
  if (!hold(t, s) && !(s.seq == t.rcv_nxt && drop_last_beyond_gap(t) && hold(t, s))) {
    ++c->held_dropped;
    t.flags |= kAckNow;
  }
  if (s.seq != t.rcv_nxt) {
    // RFC 5681 4.2: each segment beyond a gap is answered at once, never coalesced.
    send_ack(t);
    return;
  }
  advance_over_held(t);
  offer_held(t);
}

// Puts bytes into the list by their sequence number. What overlaps bytes that are held already is
// cut off: first come, first kept. False where there is no room for them.
bool Stack::Impl::hold(Tcb& t, SegmentIn& s) {
  Seq from = s.seq;
  Seq to = s.seq + s.len;
  bool fin = s.fin();
  std::uint32_t before = kNoHold;  // last record that begins at or before `from`
  if (t.held_last != kNoHold && seq_ge(from, holds[t.held_last].seq)) {
    before = t.held_last;
  } else {
    for (std::uint32_t i = t.held_first; i != kNoHold && seq_le(holds[i].seq, from);
         i = holds[i].next) {
      before = i;
    }
  }
  if (before != kNoHold && seq_gt(holds[before].end(), from)) {
    from = holds[before].end();
    if (seq_ge(from, to) && !(fin && from == to)) {  // all of it is here already
      note_came_twice(t, s.seq, to);
      return true;
    }
  }
  const std::uint32_t after = before == kNoHold ? t.held_first : holds[before].next;
  if (after != kNoHold && seq_lt(holds[after].seq, to)) {
    to = holds[after].seq;
    fin = false;
    if (seq_ge(from, to)) {
      note_came_twice(t, s.seq, s.seq + s.len);
      return true;
    }
  }
  const std::uint32_t len = to - from;
  std::byte* data = s.payload + (from - s.seq);
  if (before != kNoHold && append_to(holds[before], from, data, len, fin)) {
    if (seq_gt(from, t.rcv_nxt)) note_held(t, from, to);
    return true;
  }
  if (t.held_count >= max_held_each) return false;
  const std::uint32_t i = holds.take();
  if (i == kNoHold) return false;
  holds[i] = {data, from, len, s.packet->chunk, after, fin};
  s.kept = true;
  (before == kNoHold ? t.held_first : holds[before].next) = i;
  if (after == kNoHold) t.held_last = i;
  ++t.held_count;
  t.flags |= kHolding;
  if (seq_gt(from, t.rcv_nxt)) note_held(t, from, to);
  c->held_chunks_now = holds.used();
  return true;
}

// Copies a short piece to the end of a held chunk that it follows on.
bool Stack::Impl::append_to(Hold& h, Seq seq, const std::byte* data, std::uint32_t len, bool fin) {
  if (h.fin || h.end() != seq || len > kAppendMax) return false;
  std::byte* end = h.data + h.len;
  const std::byte* chunk_end = memory.data(h.chunk) + memory.chunk_size();
  if (static_cast<std::size_t>(chunk_end - end) < len) return false;
  if (len != 0) std::memcpy(end, data, len);
  h.len += len;
  h.fin = fin;
  return true;
}

// rcv_nxt moves over all that now is in order.
void Stack::Impl::advance_over_held(Tcb& t) {
  const Seq before = t.rcv_nxt;
  move_over_held(t);
  if (t.rcv_nxt != before) note_not_held(t, before, t.rcv_nxt);
}

void Stack::Impl::move_over_held(Tcb& t) {
  for (std::uint32_t i = t.held_first; i != kNoHold; i = holds[i].next) {
    const Hold& h = holds[i];
    if (seq_gt(h.seq, t.rcv_nxt)) break;
    if (seq_gt(h.end(), t.rcv_nxt)) {
      t.rcv_nxt = h.end();
      t.flags |= kAckNow;  // RFC 5681 4.2: a gap is filled
    }
    if (h.fin && h.end() == t.rcv_nxt && !t.has(kFinReceived)) {
      ++t.rcv_nxt;
      t.flags |= kFinReceived | kFinToDeliver | kAckNow;
      while (t.held_last != i) drop_last_held(t);  // nothing can follow a FIN
      return;
    }
  }
}

// False where the newest bytes that are held are in order: those are received and must stay.
bool Stack::Impl::drop_last_beyond_gap(Tcb& t) {
  if (t.held_last == kNoHold || seq_le(holds[t.held_last].seq, t.rcv_nxt)) return false;
  note_not_held(t, holds[t.held_last].seq, holds[t.held_last].end());
  drop_last_held(t);
  ++c->held_dropped;
  return true;
}

void Stack::Impl::drop_last_held(Tcb& t) {
  if (t.held_first == t.held_last) {
    drop_first_held(t);
    return;
  }
  std::uint32_t i = t.held_first;
  while (holds[i].next != t.held_last) i = holds[i].next;
  const std::uint32_t last = t.held_last;
  memory.give_back(holds[last].chunk);
  holds[i].next = kNoHold;
  t.held_last = i;
  --t.held_count;
  holds.give_back(last);
  c->held_chunks_now = holds.used();
}

// Offers bytes that are in order, chunk by chunk, as long as they are taken whole.
void Stack::Impl::offer_held(Tcb& t) {
  const Seq in_order = t.rcv_nxt - (t.has(kFinReceived) ? 1 : 0);
  while (t.held_first != kNoHold && seq_le(holds[t.held_first].seq, in_order)) {
    Hold& h = holds[t.held_first];
    if (h.len != 0) {
      if (h.seq == in_order) break;
      const std::size_t taken = offer(t, {h.data, h.len});
      if (t.has(kDead)) return;
      t.rcv_read += static_cast<std::uint32_t>(taken);
      h.data += taken;
      h.seq += static_cast<std::uint32_t>(taken);
      h.len -= static_cast<std::uint32_t>(taken);
      if (h.len != 0) break;
    }
    drop_first_held(t);
  }
  if (t.has(kFinToDeliver)) {
    t.flags &= ~kFinToDeliver;
    on_fin(t);
  } else {
    maybe_tell_remote_closed(t);
  }
}

// After all bytes were offered at least once: nothing is held, or only the chunk that was offered
// last.
void Stack::Impl::maybe_tell_remote_closed(Tcb& t) {
  if (!t.has(kFinReceived) || t.has(kRemoteClosedTold)) return;
  if (t.held_first != t.held_last) return;
  t.flags |= kRemoteClosedTold;
  if (t.on_remote_closed != nullptr) t.on_remote_closed(t.app, t);
}

std::size_t Stack::Impl::offer(Tcb& t, std::span<const std::byte> bytes) {
  if (t.on_recv == nullptr) return bytes.size();
  t.flags |= kOffering;
  const std::size_t taken = t.on_recv(t.app, t, bytes);
  t.flags &= ~kOffering;
  return std::min(taken, bytes.size());
}

void Stack::Impl::resume(Tcb& t) {
  if (t.has(kDead | kOffering) || !t.has(kHolding)) return;
  Tcb* const outer = current;
  current = &t;
  offer_held(t);
  current = outer;
  if (t.has(kDead)) return;
  if (t.state == State::time_wait) {
    if (!t.has(kHolding)) end(t, Ended::normally);
    return;
  }
  // A window update where it is worth one (RFC 9293 3.8.6.2.2): it is seen in advertise().
  const std::uint32_t free = t.rcv_window - std::min(t.rcv_window, t.unread());
  const Seq edge = t.rcv_nxt + free;
  if (seq_gt(edge, t.rcv_adv) &&
      edge - t.rcv_adv >= std::min<std::uint32_t>(2U * t.mss, t.rcv_window / 2)) {
    t.flags |= kAckNow;
  }
  if (&t != outer && t.has(kAckNow | kAckSoon | kOutput)) list(t);
}

void Stack::Impl::drop_first_held(Tcb& t) {
  const std::uint32_t i = t.held_first;
  memory.give_back(holds[i].chunk);
  t.held_first = holds[i].next;
  if (t.held_first == kNoHold) {
    t.held_last = kNoHold;
    t.flags &= ~kHolding;
  }
  --t.held_count;
  holds.give_back(i);
  c->held_chunks_now = holds.used();
}

void Stack::Impl::drop_all_held(Tcb& t) {
  while (t.has(kHolding)) drop_first_held(t);
}

}  // namespace stackrig::tcpip
