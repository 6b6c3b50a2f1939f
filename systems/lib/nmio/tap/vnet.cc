// SPDX-License-Identifier: Apache-2.0
#include "nmio/tap/vnet.h"

#include "nmio/offload.h"

namespace stackrig::nmio::tap {
namespace {

constexpr std::size_t kEthernet = 14;
constexpr std::uint32_t kTcpChecksum = 16, kUdpChecksum = 6;  // from the L4 header's start
constexpr std::byte kCwr{0x80};

std::uint32_t load16(const std::byte* p) {
  return std::to_integer<std::uint32_t>(p[0]) << 8 | std::to_integer<std::uint32_t>(p[1]);
}

/// Where the headers end and the payload begins, of a large IPv4 TCP frame; 0 where it is none.
std::uint32_t tcp_header_end(std::span<const std::byte> head, std::size_t whole, std::uint32_t l4) {
  if (head.size() < kEthernet + 20 || load16(&head[12]) != 0x0800) return 0;
  const std::byte* ip = &head[kEthernet];
  const auto ip_header = (std::to_integer<std::uint32_t>(ip[0]) & 0xf) * 4;
  const bool fragment = (load16(ip + 6) & 0x3fff) != 0;
  if (std::to_integer<unsigned>(ip[0]) >> 4 != 4 || ip_header < 20 || fragment) return 0;
  if (ip[9] != std::byte{6} || kEthernet + ip_header != l4 || head.size() < l4 + 20) return 0;
  if (kEthernet + load16(ip + 2) != whole) return 0;
  const auto tcp_header = (std::to_integer<std::uint32_t>(head[l4 + 12]) >> 4) * 4;
  const std::uint32_t end = l4 + tcp_header;
  return tcp_header >= 20 && end <= head.size() && end < whole ? end : 0;
}

}  // namespace

Arrival judge(const VnetHeader& header, std::span<const std::byte> head, std::size_t whole) {
  Arrival a;
  if (whole < kEthernet) return a;
  a.checksum_left = (header.flags & VnetHeader::kNeedsChecksum) != 0;
  a.checksum_good = (header.flags & VnetHeader::kDataValid) != 0;
  if (a.checksum_left) {
    // The field that is to be filled in must be the one of this frame's own protocol.
    L4Place place;
    const bool is_l4 = header.gso_type == VnetHeader::kNone && find_l4(head, place);
    const bool fits = is_l4 && header.csum_start == place.l4 &&
                      header.csum_start + std::uint32_t{header.csum_offset} == place.checksum;
    if (header.gso_type == VnetHeader::kNone && !fits) return a;
  }
  const unsigned type = header.gso_type & ~unsigned{VnetHeader::kEcn};
  if (type == VnetHeader::kNone) {
    a.kind = header.gso_type == VnetHeader::kNone ? Arrival::Kind::frame : Arrival::Kind::bad;
    return a;
  }
  if (type != VnetHeader::kTcpIpv4 || !a.checksum_left || header.gso_size == 0) return a;
  if (header.csum_offset != kTcpChecksum) return a;
  const std::uint32_t end = tcp_header_end(head, whole, header.csum_start);
  if (end == 0 || end > 255) return a;
  a.l4_offset = header.csum_start;
  a.header_len = end;
  a.segment_size = header.gso_size;
  a.kind = Arrival::Kind::large;
  return a;
}

VnetHeader header_of(const TxPacket& first) {
  VnetHeader h{};
  if ((first.flags & (TxPacket::kChecksum | TxPacket::kSegment)) == 0) return h;
  const bool tcp = first.len > 23 && first.data[23] == std::byte{6};
  h.flags = VnetHeader::kNeedsChecksum;
  h.csum_start = first.l4_offset;
  h.csum_offset = static_cast<std::uint16_t>(tcp ? kTcpChecksum : kUdpChecksum);
  if ((first.flags & TxPacket::kSegment) == 0) return h;
  h.gso_type = VnetHeader::kTcpIpv4;
  h.gso_size = first.segment_size;
  h.hdr_len = first.header_len;
  const std::size_t flags_at = std::size_t{first.l4_offset} + 13;
  // RFC 3168 6.1.2: CWR stands on the first segment only, which who cuts must be told of.
  if (flags_at < first.len && (first.data[flags_at] & kCwr) != std::byte{0}) {
    h.gso_type |= VnetHeader::kEcn;
  }
  return h;
}

}  // namespace stackrig::nmio::tap
