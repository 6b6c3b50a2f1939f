// SPDX-License-Identifier: Apache-2.0
// Segments without data that no connection (or only the beginning of one) stands behind: SYN,
// SYN-ACK, RST, ACKs of TIME_WAIT; and the pre-filled header that a connection's segments are made
// from.
#include <algorithm>
#include <cstring>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

void store16(std::byte* p, std::uint16_t v) {
  v = __builtin_bswap16(v);
  std::memcpy(p, &v, sizeof v);
}
void store32(std::byte* p, std::uint32_t v) {
  v = __builtin_bswap32(v);
  std::memcpy(p, &v, sizeof v);
}

// Ethernet and IPv4 header but for total length and checksum; TCP ports. Returns the sum of the
// IPv4 header so far.
std::uint16_t fill_front(std::byte* p, const FlowKey& key, const wire::MacAddress& from,
                         const wire::MacAddress& to) {
  std::memcpy(p, to.bytes.data(), 6);
  std::memcpy(p + 6, from.bytes.data(), 6);
  store16(p + 12, wire::kEtherTypeIpv4);
  store32(p + kIpAt, 0x45000000);
  store32(p + kIpAt + 4, wire::Ipv4Header::kDontFragment);  // identification 0: RFC 6864 4.1
  store32(p + kIpAt + 8, std::uint32_t{wire::kDefaultTtl} << 24 | wire::kProtocolTcp << 16);
  std::memcpy(p + kSourceAddressAt, &key.addresses, sizeof key.addresses);
  std::memcpy(p + kTcpAt, &key.ports, sizeof key.ports);
  return wire::sum20(p + kIpAt);
}

std::size_t write_options(std::byte* p, const Control& c) {
  std::byte* const begin = p;
  if (c.mss != 0) {
    store32(p, std::uint32_t{wire::kTcpOptionMss} << 24 | 4U << 16 | c.mss);
    p += 4;
  }
  if (c.user_timeout != 0) {
    store32(p, std::uint32_t{wire::kTcpOptionUserTimeout} << 24 | 4U << 16 | c.user_timeout);
    p += 4;
  }
  if (c.window_scale != kNoWindowScale) {
    store32(p, std::uint32_t{wire::kTcpOptionNop} << 24 |
                   std::uint32_t{wire::kTcpOptionWindowScale} << 16 | 3U << 8 | c.window_scale);
    p += 4;
  }
  if (c.timestamps) {
    // SACK-permitted takes the place of the two NOPs that align the timestamps.
    store32(p, c.sack_permitted ? 0x0402080aU : 0x0101080aU);
    store32(p + 4, c.ts_value);
    store32(p + 8, c.ts_echo);
    p += 12;
  } else if (c.sack_permitted) {
    store32(p, 0x01010402);
    p += 4;
  }
  return static_cast<std::size_t>(p - begin);
}

}  // namespace

// False where there is no room or no buffer: the caller tries again or leaves it.
bool Stack::Impl::send_control(const Control& k) {
  if (!out.has_room()) {
    ++c->no_tx_room;
    return false;
  }
  const ChunkId chunk = memory.take();
  if (chunk == kNoChunk) {
    ++c->no_chunk;
    return false;
  }
  std::byte* p = memory.data(chunk) + kPayloadAt - kTimestampHeader;
  const std::uint16_t ip_sum = fill_front(p, k.key, config.mac, k.to);
  const std::size_t option_bytes = write_options(p + kPlainHeader, k);
  const auto tcp_bytes = static_cast<std::uint32_t>(wire::TcpHeader::kSize + option_bytes);
  const std::uint16_t total = __builtin_bswap16(static_cast<std::uint16_t>(20 + tcp_bytes));
  auto& ip_header = wire::Ipv4Header::at(p + kIpAt);
  ip_header.total_length.set_raw(total);
  ip_header.checksum.set_raw(wire::finish(wire::PartialSum{ip_sum} + total));
  auto& h = wire::TcpHeader::at(p + kTcpAt);
  h.sequence.set(k.seq);
  h.acknowledgement.set(k.ack);
  h.set_header_length(tcp_bytes);
  h.flags = k.flags;
  h.window.set(k.window);
  h.checksum.set_raw(0);
  h.urgent.set_raw(0);
  const wire::PartialSum pseudo = (k.key.addresses & 0xffffffff) + (k.key.addresses >> 32) +
                                  __builtin_bswap16(wire::kProtocolTcp) +
                                  __builtin_bswap16(static_cast<std::uint16_t>(tcp_bytes));
  h.checksum.set_raw(tx_flags != 0 ? wire::fold(pseudo)
                                   : wire::finish(pseudo + wire::sum(p + kTcpAt, tcp_bytes)));
  out.push({.data = p,
            .len = kTcpAt + tcp_bytes,
            .chunk = chunk,
            .flags = tx_flags,
            .segment_size = 0,
            .l4_offset = kTcpAt,
            .header_len = 0});
  ++c->segs_out;
  if ((k.flags & wire::kTcpRst) != 0) ++c->rst_out;
  return true;
}

std::uint16_t Stack::Impl::syn_window() const {
  return static_cast<std::uint16_t>(std::min(config.receive_window, 65535U));
}

void Stack::Impl::fill_header(Tcb& t, const FlowKey& key, const wire::MacAddress& to) {
  std::byte* p = t.header.data();
  t.ip_sum = fill_front(p, key, config.mac, to);
  t.header_bytes = t.has(kTimestampsOn) ? kTimestampHeader : kPlainHeader;
  auto& h = wire::TcpHeader::at(p + kTcpAt);
  h.set_header_length(t.header_bytes - kTcpAt);
  t.pseudo_sum = wire::fold((key.addresses & 0xffffffff) + (key.addresses >> 32) +
                            __builtin_bswap16(wire::kProtocolTcp));
  t.tcp_sum = wire::fold(wire::PartialSum{t.pseudo_sum} + key.ports + h.data_offset +
                         (t.has(kTimestampsOn) ? __builtin_bswap32(0x0101080a) : 0U));
}

// RFC 9293 3.10.7.1: a reset that the other end believes.
void Stack::Impl::send_reset_for(const SegmentIn& s) {
  if (s.has(wire::kTcpRst)) return;
  Control k{.key = s.key, .to = wire::EthernetHeader::at(s.packet->data).source.get()};
  if (s.has(wire::kTcpAck)) {
    k.seq = s.ack;
    k.flags = wire::kTcpRst;
  } else {
    k.ack = s.end();
    k.flags = wire::kTcpRst | wire::kTcpAck;
  }
  send_control(k);
}

void Stack::Impl::send_reset(Tcb& t) {
  send_control({.key = t.key(),
                .to = wire::EthernetHeader::at(t.header.data()).destination.get(),
                .seq = t.snd_nxt,
                .ack = t.rcv_nxt,
                .flags = wire::kTcpRst | wire::kTcpAck,
                .timestamps = t.has(kTimestampsOn),
                .ts_value = ms + t.ts_offset,
                .ts_echo = t.ts_recent});
}

// RFC 5961 7: so many a second in all, the number drawn anew each second so that nobody learns from
// it whether somebody else's guess was right (CVE-2016-5696).
bool Stack::Impl::challenge_allowed() {
  const std::uint64_t second = now / nmio::kSecond;
  if (second != challenge_second) {
    challenge_second = second;
    random_state = siphash(config.secret, &random_state, 1);
    const unsigned half = config.challenge_acks_per_second / 2;
    challenge_left = half + static_cast<unsigned>(random_state % (half + 1));
  }
  if (challenge_left == 0) {
    ++c->challenge_limited;
    return false;
  }
  --challenge_left;
  return true;
}

void Stack::Impl::challenge(Tcb& t) {
  if (!challenge_allowed()) return;
  if (send_ack(t)) ++c->challenge_acks;
}

}  // namespace stackrig::tcpip
