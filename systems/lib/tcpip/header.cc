// SPDX-License-Identifier: Apache-2.0
// The header of a connection's segments, made from its pre-filled one; and its bare
// acknowledgements.
#include <algorithm>
#include <cstring>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

using wire::PartialSum;

void store32(std::byte* p, std::uint32_t v) {
  v = __builtin_bswap32(v);
  std::memcpy(p, &v, sizeof v);
}

}  // namespace

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
  auto& ip_header = wire::Ipv4Header::at(p + kIpAt);
  if (t.has(kEcnOn)) flags = mark_ecn(t, p, len, seq, flags);
  const std::uint32_t tcp_bytes = header_bytes - kTcpAt + len;
  const std::uint16_t total = __builtin_bswap16(static_cast<std::uint16_t>(20 + tcp_bytes));
  ip_header.total_length.set_raw(total);
  ip_header.checksum.set_raw(
      wire::finish(PartialSum{t.ip_sum} + total + (PartialSum{ip_header.tos} << 8)));
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

bool Stack::Impl::send_bare(Tcb& t, Seq seq, std::uint8_t flags, bool say_held) {
  if (!out.has_room()) {
    ++c->no_tx_room;
    return false;
  }
  const ChunkId chunk = memory.take();
  if (chunk == kNoChunk) {
    ++c->no_chunk;
    return false;
  }
  std::byte* const at = memory.data(chunk) + kPayloadAt;
  if (say_held && t.has(kSackOn) && (any_twice || t.has(kHolding))) {
    const std::uint32_t options = write_sack(t, at);
    out.push({header_with(t, at, options, flags, seq), t.header_bytes + options, chunk, tx_flags, 0,
              kTcpAt, 0});
    return true;
  }
  out.push({header(t, at, 0, flags, seq, 0), t.header_bytes, chunk, tx_flags, 0, kTcpAt, 0});
  return true;
}

// The header is longer by the options at `at`: its length lies in the upper half of a byte, in
// 32-bit words.
std::byte* Stack::Impl::header_with(Tcb& t, std::byte* at, std::uint32_t options,
                                    std::uint8_t flags, Seq seq) {
  const auto longer = static_cast<std::uint8_t>(options / 4 << 4);
  std::byte* p = header(t, at, options, flags, seq, wire::sum(at, options) + longer);
  wire::TcpHeader::at(p + kTcpAt).data_offset += longer;
  return p;
}

bool Stack::Impl::send_ack(Tcb& t) {
  if (!send_bare(t, t.snd_nxt, wire::kTcpAck, true)) {
    t.flags |= kAckNow;
    return false;
  }
  ++c->acks_out;
  return true;
}

}  // namespace stackrig::tcpip
