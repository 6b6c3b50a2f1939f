// SPDX-License-Identifier: Apache-2.0
// The way out: what the windows allow is fetched from its owner, many segments at a time, and goes
// into the transmit batch with a header made from the connection's pre-filled one.
#include <algorithm>
#include <array>
#include <cstring>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

using nmio::TxPacket;
using wire::PartialSum;

void store32(std::byte* p, std::uint32_t v) {
  v = __builtin_bswap32(v);
  std::memcpy(p, &v, sizeof v);
}

bool sends(State s) {
  return s == State::established || s == State::close_wait || s == State::fin_wait_1 ||
         s == State::closing || s == State::last_ack;
}

PartialSum sum_of(const Segment& g) {
  if (g.sum_known) return g.payload_sum;
  if (g.kind != Segment::Kind::gather) return wire::sum(g.data, g.len);
  PartialSum total = 0;
  std::uint32_t at = 0;
  for (unsigned i = 0; i < g.fragments_used; ++i) {
    const PartialSum s = wire::sum(g.fragments[i].data, g.fragments[i].len);
    total += (at & 1) != 0 ? wire::swap_bytes(s) : s;
    at += g.fragments[i].len;
  }
  return total;
}

}  // namespace

// --- what may be sent ---

void Stack::Impl::output(Tcb& t) {
  t.flags &= ~kOutput;
  if (!sends(t.state)) return;
  if (t.has(kRetransmitOne)) retransmit_one(t);
  if (t.outstanding() == 0 && ms - t.last_sent_ms > t.rtt.rto_us / 1000) {
    congestion::on_idle_restart(t.cc, t.mss, config.initial_window_segments);
  }
  for (;;) {
    const std::uint32_t offset = t.in_flight();
    if (offset > t.queued || t.has(kNotReady)) return;  // the FIN is out, or nothing to be had
    const std::uint64_t rest = t.queued - offset;
    if (rest == 0 && !t.has(kFinQueued)) return;
    // RFC 3042: a segment for each of the first two duplicates, beyond the congestion window.
    const std::uint32_t extra =
        t.has(kRecovery) ? 0 : std::min<std::uint32_t>(t.dup_acks, kDupAckThreshold - 1) * t.mss;
    const std::uint32_t window = std::min(congestion::window(t.cc) + extra, t.snd_wnd);
    if (window <= offset) {
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
      blocked(t);
      return;
    }
    const bool nagle = config.nagle && !t.has(kFinQueued | kForceSmall);
    // Whole segments only, where the rest of them waits for its turn.
    if (limit > t.mss && (nagle || limit < rest_of_write)) limit -= limit % t.mss;
    if (send_range(t, from, offset, limit, true) == 0) {
      if (!t.has(kNotReady)) t.flags |= kOutput;  // no room or no buffer: poll_output() tries again
      return;
    }
  }
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

// The window allows nothing. Where nothing is in flight either, only a probe can find out when it
// does.
void Stack::Impl::blocked(Tcb& t) {
  if (t.outstanding() != 0 || t.timer_kind != TimerKind::none) return;
  start_timer(t, TimerKind::persist,
              now + Time{t.rtt.backed_off_us(t.backoff)} * nmio::kMicrosecond);
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
  note_sent(t, seq, sent, fin && done == got.segments);
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

// Sequence numbers, round trip and timer, after [from, from + bytes) (and the FIN) went out.
void Stack::Impl::note_sent(Tcb& t, Seq from, std::uint32_t bytes, bool fin) {
  const Seq to = from + bytes + (fin ? 1 : 0);
  if (seq_lt(from, t.snd_max)) {
    if (bytes == 0) ++c->retransmits;  // a FIN; send_range() counts the others
    t.flags |= kRttTainted;
  } else if (!t.has(kRttRunning)) {
    t.flags = (t.flags & ~kRttTainted) | kRttRunning;
    t.rtt_seq = to;
    t.rtt_sent_us = us;
  }
  t.snd_nxt = to;
  t.snd_max = seq_max(t.snd_max, to);
  t.last_sent_ms = ms;
  if (t.timer_kind == TimerKind::none) start_retransmit_timer(t);
}

// --- segments into the batch ---

unsigned Stack::Impl::emit(Tcb& t, std::span<Segment> segments, Seq seq, std::uint8_t last_flags,
                           std::uint32_t& bytes) {
  unsigned i = 0;
  for (; i < segments.size(); ++i) {
    const Segment& g = segments[i];
    const std::uint8_t flags = i + 1 == segments.size() ? last_flags : wire::kTcpAck;
    if (!emit_one(t, g, seq, flags)) break;
    seq += g.len;
    bytes += g.len;
  }
  return i;
}

bool Stack::Impl::emit_one(Tcb& t, const Segment& g, Seq seq, std::uint8_t flags) {
  if (!out.has_room()) {
    ++c->no_tx_room;
    return false;
  }
  switch (g.kind) {
    case Segment::Kind::frame: {
      std::byte* p = header(t, g.data, g.len, flags, seq, tx_flags != 0 ? 0 : sum_of(g));
      out.push({p, t.header_bytes + g.len, g.chunk, tx_flags, 0, kTcpAt, 0});
      break;
    }
    case Segment::Kind::copy:
      if (!emit_copy(t, g, seq, flags)) return false;
      break;
    case Segment::Kind::gather:
      if (!(scatter ? emit_gather(t, g, seq, flags) : emit_copy(t, g, seq, flags))) return false;
      break;
  }
  ++c->data_segs_out;
  c->bytes_out += g.len;
  return true;
}

bool Stack::Impl::emit_copy(Tcb& t, const Segment& g, Seq seq, std::uint8_t flags) {
  const ChunkId chunk = memory.take();
  if (chunk == kNoChunk) {
    ++c->no_chunk;
    return false;
  }
  std::byte* payload = memory.data(chunk) + kPayloadAt;
  PartialSum sum = 0;
  if (g.kind == Segment::Kind::gather) {
    std::uint32_t at = 0;
    for (unsigned i = 0; i < g.fragments_used; ++i) {
      std::memcpy(payload + at, g.fragments[i].data, g.fragments[i].len);
      at += g.fragments[i].len;
    }
    if (tx_flags == 0) sum = g.sum_known ? g.payload_sum : wire::sum(payload, g.len);
  } else if (tx_flags != 0 || g.sum_known) {
    std::memcpy(payload, g.data, g.len);
    sum = g.payload_sum;
  } else {
    sum = wire::copy_and_sum(payload, g.data, g.len);
  }
  std::byte* p = header(t, payload, g.len, flags, seq, sum);
  out.push({p, t.header_bytes + g.len, chunk, tx_flags, 0, kTcpAt, 0});
  return true;
}

// Descriptors that put_pieces() needs: a piece never crosses the edge of a chunk.
unsigned Stack::Impl::descriptors(const Segment& g) const {
  if (g.kind != Segment::Kind::gather) return 1;
  unsigned n = 0;
  for (unsigned i = 0; i < g.fragments_used; ++i) {
    const Fragment& f = g.fragments[i];
    if (f.len == 0) continue;
    n += memory.chunk_of(f.data + f.len - 1) - memory.chunk_of(f.data) + 1;
  }
  return n;
}

// The payload of a gather segment, by reference. The last descriptor has kMore too: the caller ends
// it.
void Stack::Impl::put_pieces(const Segment& g) {
  for (unsigned i = 0; i < g.fragments_used; ++i) {
    const std::byte* data = g.fragments[i].data;
    std::uint32_t left = g.fragments[i].len;
    while (left != 0) {
      const ChunkId chunk = memory.chunk_of(data);
      const auto room = static_cast<std::uint32_t>(memory.data(chunk) + memory.chunk_size() - data);
      const std::uint32_t len = std::min(left, room);
      memory.add_in_flight(chunk);
      out.push({data, len, chunk, TxPacket::kMore, 0, 0, 0});
      data += len;
      left -= len;
    }
  }
}

bool Stack::Impl::emit_gather(Tcb& t, const Segment& g, Seq seq, std::uint8_t flags) {
  if (!out.has_room(1 + descriptors(g))) {
    ++c->no_tx_room;
    return false;
  }
  const ChunkId chunk = memory.take();
  if (chunk == kNoChunk) {
    ++c->no_chunk;
    return false;
  }
  std::byte* p =
      header(t, memory.data(chunk) + kPayloadAt, g.len, flags, seq, tx_flags != 0 ? 0 : sum_of(g));
  out.push({p, t.header_bytes, chunk, static_cast<std::uint16_t>(tx_flags | TxPacket::kMore), 0,
            kTcpAt, 0});
  put_pieces(g);
  out.packets[out.count - 1].flags &= static_cast<std::uint16_t>(~TxPacket::kMore);
  return true;
}

// One large packet that the device cuts (TSO): the headers once, then the payload of every segment.
unsigned Stack::Impl::emit_large(Tcb& t, std::span<Segment> segments, Seq seq,
                                 std::uint8_t last_flags, std::uint32_t& bytes) {
  unsigned n = 0;
  unsigned room = out.room == 0 ? 0 : out.room - 1;  // one for the headers
  std::uint32_t total = 0;
  for (; n < segments.size(); ++n) {
    const unsigned need = descriptors(segments[n]);
    if (need > room || total + segments[n].len > kMaxTsoBytes) break;
    room -= need;
    total += segments[n].len;
  }
  if (n < 2 || memory.free_count() < n + 1) return emit(t, segments, seq, last_flags, bytes);
  const std::uint8_t flags = n == segments.size() ? last_flags : wire::kTcpAck;
  for (unsigned i = 0; i < n; ++i) {
    const Segment& g = segments[i];
    std::byte* data = g.data;
    ChunkId chunk = g.chunk;
    if (g.kind == Segment::Kind::copy || (i == 0 && g.kind == Segment::Kind::gather)) {
      chunk = memory.take();
      data = memory.data(chunk) + kPayloadAt;
      if (g.kind == Segment::Kind::copy) std::memcpy(data, g.data, g.len);
    }
    if (i == 0) {
      std::byte* p = header(t, data, total, flags, seq, 0);
      const std::uint32_t own = g.kind == Segment::Kind::gather ? 0 : g.len;
      out.push(
          {p, t.header_bytes + own, chunk,
           static_cast<std::uint16_t>(TxPacket::kMore | TxPacket::kSegment | TxPacket::kChecksum),
           t.mss, kTcpAt, t.header_bytes});
    } else if (g.kind != Segment::Kind::gather) {
      out.push({data, g.len, chunk, TxPacket::kMore, 0, 0, 0});
    }
    if (g.kind == Segment::Kind::gather) put_pieces(g);
  }
  out.packets[out.count - 1].flags &= static_cast<std::uint16_t>(~TxPacket::kMore);
  c->segs_out += (total + t.mss - 1) / t.mss - 1;
  c->data_segs_out += (total + t.mss - 1) / t.mss;
  c->bytes_out += total;
  bytes = total;
  return n;
}

void Stack::Impl::give_back_frames(std::span<const Segment> segments) {
  for (const Segment& g : segments) {
    if (g.kind == Segment::Kind::frame) memory.give_back(g.chunk);
  }
}

// --- headers ---

// The window to offer now, as it stands in the header. The right edge never moves back, and forward
// only in steps worth a segment (RFC 9293 3.8.6.2.2).
std::uint16_t Stack::Impl::advertise(Tcb& t) {
  const std::uint32_t unread = t.unread();
  const std::uint32_t free = unread < t.rcv_window ? t.rcv_window - unread : 0;
  const Seq edge = t.rcv_nxt + free;
  if (seq_gt(edge, t.rcv_adv) &&
      edge - t.rcv_adv >= std::min<std::uint32_t>(t.mss, t.rcv_window / 2)) {
    t.rcv_adv = edge;
  }
  const std::uint32_t window = seq_gt(t.rcv_adv, t.rcv_nxt) ? t.rcv_adv - t.rcv_nxt : 0;
  return static_cast<std::uint16_t>(std::min(window >> t.rcv_wscale, 65535U));
}

// Writes the header of `len` payload bytes in front of `payload`; returns the frame's first byte.
// The checksum is the device's, over the pseudo header here, or is made of sums that are known:
// that of the header's unchanging part, the fields that change, and the payload's.
std::byte* Stack::Impl::header(Tcb& t, std::byte* payload, std::uint32_t len, std::uint8_t flags,
                               Seq seq, PartialSum payload_sum) {
  const std::uint32_t header_bytes = t.header_bytes;
  std::byte* const p = payload - header_bytes;
  std::memcpy(p, t.header.data(), kPlainHeader);
  const std::uint32_t tcp_bytes = header_bytes - kTcpAt + len;
  const std::uint16_t total = __builtin_bswap16(static_cast<std::uint16_t>(20 + tcp_bytes));
  auto& ip_header = wire::Ipv4Header::at(p + kIpAt);
  ip_header.total_length.set_raw(total);
  ip_header.checksum.set_raw(wire::finish(PartialSum{t.ip_sum} + total));
  auto& h = wire::TcpHeader::at(p + kTcpAt);
  const std::uint32_t seq_raw = __builtin_bswap32(seq);
  const std::uint32_t ack_raw = __builtin_bswap32(t.rcv_nxt);
  const std::uint16_t window_raw = __builtin_bswap16(advertise(t));
  h.sequence.set_raw(seq_raw);
  h.acknowledgement.set_raw(ack_raw);
  h.flags = flags;
  h.window.set_raw(window_raw);
  PartialSum sum = PartialSum{t.tcp_sum} + seq_raw + ack_raw + window_raw +
                   (std::uint32_t{flags} << 8) +
                   __builtin_bswap16(static_cast<std::uint16_t>(tcp_bytes)) + payload_sum;
  if (t.has(kTimestampsOn)) {
    const std::uint32_t value = ms + t.ts_offset;
    store32(p + kPlainHeader, 0x0101080a);
    store32(p + kPlainHeader + 4, value);
    store32(p + kPlainHeader + 8, t.ts_recent);
    sum += PartialSum{__builtin_bswap32(value)} + __builtin_bswap32(t.ts_recent);
  }
  h.checksum.set_raw(tx_flags == 0
                         ? wire::finish(sum)
                         : wire::fold(PartialSum{t.pseudo_sum} +
                                      __builtin_bswap16(static_cast<std::uint16_t>(tcp_bytes))));
  acked_by(t);
  ++c->segs_out;
  return p;
}

// What goes out carries the acknowledgement of all that came in.
void Stack::Impl::acked_by(Tcb& t) {
  t.last_ack_sent = t.rcv_nxt;
  t.flags &= ~(kAckNow | kAckSoon | kAckSoonArmed);
}

bool Stack::Impl::send_bare(Tcb& t, Seq seq, std::uint8_t flags) {
  if (!out.has_room()) {
    ++c->no_tx_room;
    return false;
  }
  const ChunkId chunk = memory.take();
  if (chunk == kNoChunk) {
    ++c->no_chunk;
    return false;
  }
  std::byte* p = header(t, memory.data(chunk) + kPayloadAt, 0, flags, seq, 0);
  out.push({p, t.header_bytes, chunk, tx_flags, 0, kTcpAt, 0});
  return true;
}

bool Stack::Impl::send_ack(Tcb& t) {
  if (!send_bare(t, t.snd_nxt, wire::kTcpAck)) {
    t.flags |= kAckNow;
    return false;
  }
  ++c->acks_out;
  return true;
}

}  // namespace stackrig::tcpip
