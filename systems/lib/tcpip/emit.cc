// SPDX-License-Identifier: Apache-2.0
// Segments into the transmit batch: frames as they are, copies, references, or one large packet
// that the device cuts.
#include <algorithm>
#include <array>
#include <cstring>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

using nmio::TxPacket;
using wire::PartialSum;

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

}  // namespace stackrig::tcpip
