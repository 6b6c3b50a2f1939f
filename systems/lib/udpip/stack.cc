// SPDX-License-Identifier: Apache-2.0
// What is rare: datagrams that are dropped, checksums that no device has looked at.
#include "udpip/stack.h"

namespace stackrig::udpip {
namespace {

constexpr CounterInfo kCounterTable[] = {
    {"udp.datagrams_in", "packets", &Counters::datagrams_in},
    {"udp.datagrams_out", "packets", &Counters::datagrams_out},
    {"udp.bad_header", "packets", &Counters::bad_header},
    {"udp.bad_checksum", "packets", &Counters::bad_checksum},
    {"udp.no_port", "packets", &Counters::no_port},
    {"udp.no_tx_room", "packets", &Counters::no_tx_room},
};

}  // namespace

std::span<const CounterInfo> counter_table() {
  return kCounterTable;
}

Stack::Stack(ip::Interface& interface, nmio::PacketMemory& memory, nmio::TxBatch& out,
             const nmio::Offload& offload)
    : ip_(interface),
      memory_(memory),
      out_(out),
      tx_flags_(offload.tx_checksum ? nmio::TxPacket::kChecksum : 0),
      max_payload_(interface.config().mtu -
                   static_cast<std::uint32_t>(wire::Ipv4Header::kSize + wire::UdpHeader::kSize)) {
  const wire::MacAddress& mac = interface.config().mac;
  std::memcpy(&mac_, mac.bytes.data(), mac.bytes.size());
}

void Stack::place_counters(Counters* where) {
  *where = *counters_;
  counters_ = where;
}

/// RFC 768: a field of 0 says that the sender computed none.
bool Stack::sum_is_good(const ip::Datagram& d, std::uint32_t length) {
  if (wire::UdpHeader::at(static_cast<const std::byte*>(d.l4)).checksum.raw() == 0) return true;
  const wire::PartialSum pseudo =
      wire::pseudo_header_sum(d.source, d.destination, wire::kProtocolUdp, length);
  return wire::fold(pseudo + wire::sum(d.l4, length)) == 0xffff;
}

/// Says why a datagram was not good, and to its sender where that is of use.
Input Stack::drop(const nmio::RxPacket& packet, const ip::Datagram& d, Time now) {
  const auto& h = wire::UdpHeader::at(static_cast<const std::byte*>(d.l4));
  const bool has_header = d.l4_bytes >= wire::UdpHeader::kSize;
  const std::uint32_t length = has_header ? h.length.get() : 0;
  if (length < wire::UdpHeader::kSize || length > d.l4_bytes) {
    ++counters_->bad_header;
  } else if ((packet.flags & nmio::RxPacket::kChecksumGood) == 0 && !sum_is_good(d, length)) {
    ++counters_->bad_checksum;
  } else if (h.source_port.raw() == 0) {
    ++counters_->bad_header;
  } else {
    ++counters_->no_port;
    ip_.unreachable(packet, wire::kIcmpPortUnreachable, now);
    return Input::taken;
  }
  memory_.give_back(packet.chunk);
  return Input::taken;
}

}  // namespace stackrig::udpip
