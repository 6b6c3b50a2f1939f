// SPDX-License-Identifier: Apache-2.0
// The way in: a burst of packets, in stages that fetch ahead what the next stage looks at.
//
//   1  the headers of all packets of a group        -> prefetch
//   2  hash of each flow, its bucket                 -> prefetch
//   3  the control block that the bucket refers to   -> prefetch
//   4  each packet in turn: check, find, process to completion
//
// What a packet caused to be sent leaves when it is processed; bare acknowledgements wait for the
// end of the burst, so that many segments of a connection are acknowledged at once (and by data if
// there is any).
#include <algorithm>
#include <array>
#include <cstring>

#include "tcpip/impl.h"
#include "tcpip/options.h"

namespace stackrig::tcpip {
namespace {

constexpr unsigned kGroup = 32;  ///< packets in flight between the stages
constexpr std::uint32_t kLeastFrame = kPlainHeader;

// Enough of a look to know which bucket to fetch; what it really is, is checked in stage 4.
bool looks_like_tcp(const nmio::RxPacket& p) {
  if (p.len < kLeastFrame) return false;
  return p.data[kIpAt] == std::byte{0x45} && p.data[kIpAt + 9] == std::byte{wire::kProtocolTcp};
}

}  // namespace

void Stack::Impl::input(std::span<const nmio::RxPacket> burst) {
  while (!burst.empty()) {
    const auto n = static_cast<unsigned>(std::min<std::size_t>(burst.size(), kGroup));
    std::array<std::uint32_t, kGroup> hashes{};
    std::uint32_t hashed = 0;
    for (unsigned i = 0; i < n; ++i) {
      __builtin_prefetch(burst[i].data);
      __builtin_prefetch(burst[i].data + 64);
    }
    for (unsigned i = 0; i < n; ++i) {
      const nmio::RxPacket& p = burst[i];
      if (!looks_like_tcp(p)) continue;
      const FlowKey key = FlowKey::received(p.data + kSourceAddressAt, p.data + kTcpAt);
      hashes[i] = hash_flow(key, hash_key);
      table.prefetch(hashes[i]);
      hashed |= 1U << i;
    }
    for (unsigned i = 0; i < n; ++i) {
      if ((hashed >> i & 1) == 0) continue;
      const Ref r = table.peek(hashes[i]);
      if (r.none()) continue;
      if (r.is_time_wait()) {
        __builtin_prefetch(&time_wait[r.index()]);
        continue;
      }
      const auto* line = reinterpret_cast<const char*>(&tcbs[r.index()]);
      for (unsigned l = 0; l < 5; ++l) __builtin_prefetch(line + std::size_t{64} * l);
    }
    for (unsigned i = 0; i < n; ++i) receive(burst[i], hashes[i], (hashed >> i & 1) != 0);
    burst = burst.subspan(n);
  }
  drain();
}

void Stack::Impl::receive(const nmio::RxPacket& p, std::uint32_t hash, bool hashed) {
  ip::Datagram d;
  if (ip.input(p, now, d) == ip::Input::taken) return;
  if (d.protocol != wire::kProtocolTcp) {
    ip.unreachable(p, wire::kIcmpProtocolUnreachable, now);
    return;
  }
  SegmentIn s;
  s.kept = false;
  if (parse(p, d, s)) {
    s.hash = hashed ? hash : hash_flow(s.key, hash_key);
    process(s);
  }
  if (!s.kept) memory.give_back(p.chunk);
}

bool Stack::Impl::parse(const nmio::RxPacket& p, const ip::Datagram& d, SegmentIn& s) {
  if (d.l4_bytes < wire::TcpHeader::kSize) {
    ++c->bad_header;
    return false;
  }
  const auto& h = wire::TcpHeader::at(static_cast<const std::byte*>(d.l4));
  const auto header_bytes = static_cast<std::uint32_t>(h.header_length());
  if (header_bytes < wire::TcpHeader::kSize || header_bytes > d.l4_bytes) {
    ++c->bad_header;
    return false;
  }
  s.key = FlowKey::received(p.data + kSourceAddressAt, d.l4);
  if ((p.flags & nmio::RxPacket::kChecksumGood) == 0) {
    const wire::PartialSum sum = wire::sum(d.l4, d.l4_bytes) + (s.key.addresses & 0xffffffff) +
                                 (s.key.addresses >> 32) + __builtin_bswap16(wire::kProtocolTcp) +
                                 __builtin_bswap16(static_cast<std::uint16_t>(d.l4_bytes));
    if (wire::fold(sum) != 0xffff) {
      ++c->bad_checksum;
      return false;
    }
  }
  s.seq = h.sequence.get();
  s.ack = h.acknowledgement.get();
  s.window = h.window.get();
  s.flags = h.flags;
  s.payload = d.l4 + header_bytes;
  s.len = d.l4_bytes - header_bytes;
  s.packet = &p;
  s.packet_was_syn = s.has(wire::kTcpSyn);
  ++c->segs_in;
  c->bytes_in += s.len;
  if (!parse_options({h.options(), header_bytes - wire::TcpHeader::kSize}, s)) ++c->bad_options;
  return true;
}

void Stack::Impl::process(SegmentIn& s) {
  constexpr std::uint8_t kMeaningful =
      wire::kTcpFin | wire::kTcpSyn | wire::kTcpRst | wire::kTcpAck;
  const std::uint8_t flags = s.flags & kMeaningful;
  // A segment says something only with one of these, and none says hello and good-bye at once.
  if (flags == 0 || flags == wire::kTcpFin ||
      (s.has(wire::kTcpSyn) && s.has(wire::kTcpFin | wire::kTcpRst))) {
    ++c->bad_flags;
    return;
  }
  const Ref r = lookup(s.key, s.hash);
  if (r.none()) {
    on_no_connection(s);
  } else if (r.is_time_wait()) {
    on_time_wait(r.index(), s);
  } else {
    to_tcb(tcbs[r.index()], s);
  }
}

void Stack::Impl::to_tcb(Tcb& t, SegmentIn& s) {
  current = &t;
  switch (t.state) {
    case State::syn_sent:
      on_syn_sent(t, s);
      break;
    case State::syn_received:
      on_syn_received(t, s);
      break;
    case State::established:
      if (!fast_path(t, s)) on_synchronised(t, s);
      break;
    default:
      on_synchronised(t, s);
      break;
  }
  finish(t);
}

// The packet is processed: what it (and the application) asked for goes out, data first, so that it
// carries the acknowledgement.
void Stack::Impl::finish(Tcb& t) {
  current = nullptr;
  any_twice = false;  // another's ACK is no place to report it
  if (t.has(kDead)) return;
  if (t.has(kOutput)) output(t);
  if (t.has(kAckNow | kAckSoon | kOutput | kControl)) list(t);
}

}  // namespace stackrig::tcpip
