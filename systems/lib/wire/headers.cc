// SPDX-License-Identifier: Apache-2.0
// The value forms of the headers: parse and emit.
#include <cstring>

#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace stackrig::wire {

std::optional<Ethernet> Ethernet::parse(std::span<const std::byte> frame) {
  if (frame.size() < EthernetHeader::kSize) return std::nullopt;
  const auto& h = EthernetHeader::at(frame.data());
  return Ethernet{h.destination.get(), h.source.get(), h.type.get()};
}

std::size_t Ethernet::emit(std::span<std::byte> out) const {
  auto& h = EthernetHeader::at(out.data());
  h.destination.set(destination);
  h.source.set(source);
  h.type.set(type);
  return EthernetHeader::kSize;
}

std::optional<Arp> Arp::parse(std::span<const std::byte> payload) {
  if (payload.size() < ArpHeader::kSize) return std::nullopt;
  const auto& h = ArpHeader::at(payload.data());
  if (h.hardware_type.get() != 1 || h.protocol_type.get() != kEtherTypeIpv4 ||
      h.hardware_length != 6 || h.protocol_length != 4) {
    return std::nullopt;
  }
  return Arp{h.operation.get(), h.sender_mac.get(), h.sender_ip.get(), h.target_mac.get(),
             h.target_ip.get()};
}

std::size_t Arp::emit(std::span<std::byte> out) const {
  auto& h = ArpHeader::at(out.data());
  h.hardware_type.set(1);
  h.protocol_type.set(kEtherTypeIpv4);
  h.hardware_length = 6;
  h.protocol_length = 4;
  h.operation.set(operation);
  h.sender_mac.set(sender_mac);
  h.sender_ip.set(sender_ip);
  h.target_mac.set(target_mac);
  h.target_ip.set(target_ip);
  return ArpHeader::kSize;
}

std::optional<Ipv4> Ipv4::parse(std::span<const std::byte> packet) {
  if (packet.size() < Ipv4Header::kSize) return std::nullopt;
  const auto& h = Ipv4Header::at(packet.data());
  const std::size_t header = h.header_length();
  const std::size_t total = h.total_length.get();
  if (h.version_ihl >> 4 != 4 || header < Ipv4Header::kSize || total < header ||
      total > packet.size() || fold(sum(packet.first(header))) != 0xffff) {
    return std::nullopt;
  }
  Ipv4 v;
  v.source = h.source.get();
  v.destination = h.destination.get();
  v.protocol = h.protocol;
  v.ttl = h.ttl;
  v.tos = h.tos;
  v.identification = h.identification.get();
  const std::uint16_t fragment = h.flags_offset.get();
  v.dont_fragment = (fragment & Ipv4Header::kDontFragment) != 0;
  v.more_fragments = (fragment & Ipv4Header::kMoreFragments) != 0;
  v.fragment_offset = static_cast<std::uint16_t>((fragment & Ipv4Header::kOffsetMask) * 8);
  v.header_length = static_cast<std::uint16_t>(header);
  v.payload_length = static_cast<std::uint16_t>(total - header);
  return v;
}

std::size_t Ipv4::emit(std::span<std::byte> out) const {
  auto& h = Ipv4Header::at(out.data());
  h.version_ihl = 0x45;
  h.tos = tos;
  h.total_length.set(static_cast<std::uint16_t>(Ipv4Header::kSize + payload_length));
  h.identification.set(identification);
  h.flags_offset.set(static_cast<std::uint16_t>((dont_fragment ? Ipv4Header::kDontFragment : 0) |
                                                (more_fragments ? Ipv4Header::kMoreFragments : 0) |
                                                fragment_offset / 8));
  h.ttl = ttl;
  h.protocol = protocol;
  h.checksum.set_raw(0);
  h.source.set(source);
  h.destination.set(destination);
  h.checksum.set_raw(static_cast<std::uint16_t>(~sum20(out.data())));
  return Ipv4Header::kSize;
}

std::optional<Icmp> Icmp::parse(std::span<const std::byte> message) {
  if (message.size() < IcmpHeader::kSize || fold(sum(message)) != 0xffff) return std::nullopt;
  const auto& h = IcmpHeader::at(message.data());
  return Icmp{h.type, h.code, h.identifier.get(), h.sequence.get()};
}

std::size_t Icmp::emit(std::span<std::byte> out, std::span<const std::byte> payload) const {
  auto& h = IcmpHeader::at(out.data());
  h.type = type;
  h.code = code;
  h.checksum.set_raw(0);
  h.identifier.set(identifier);
  h.sequence.set(sequence);
  h.checksum.set_raw(finish(sum(out.first(IcmpHeader::kSize)) + sum(payload)));
  return IcmpHeader::kSize;
}

std::optional<Udp> Udp::parse(std::span<const std::byte> datagram, Ipv4Address source,
                              Ipv4Address destination) {
  if (datagram.size() < UdpHeader::kSize) return std::nullopt;
  const auto& h = UdpHeader::at(datagram.data());
  const std::size_t length = h.length.get();
  if (length < UdpHeader::kSize || length > datagram.size()) return std::nullopt;
  if (h.checksum.raw() != 0 &&
      fold(sum(datagram.first(length)) + pseudo_header_sum(source, destination, kProtocolUdp,
                                                           static_cast<std::uint32_t>(length))) !=
          0xffff) {
    return std::nullopt;
  }
  return Udp{h.source_port.get(), h.destination_port.get(),
             static_cast<std::uint16_t>(length - UdpHeader::kSize)};
}

std::size_t Udp::emit(std::span<std::byte> out, Ipv4Address source, Ipv4Address destination,
                      std::span<const std::byte> payload) const {
  auto& h = UdpHeader::at(out.data());
  const auto length = static_cast<std::uint16_t>(UdpHeader::kSize + payload.size());
  h.source_port.set(source_port);
  h.destination_port.set(destination_port);
  h.length.set(length);
  h.checksum.set_raw(0);
  const std::uint16_t checksum =
      finish(sum(out.first(UdpHeader::kSize)) + sum(payload) +
             pseudo_header_sum(source, destination, kProtocolUdp, length));
  h.checksum.set_raw(checksum == 0 ? std::uint16_t{0xffff} : checksum);  // 0 would say "none"
  return UdpHeader::kSize;
}

bool tcp_checksum_good(std::span<const std::byte> segment, Ipv4Address source,
                       Ipv4Address destination) {
  return fold(sum(segment) + pseudo_header_sum(source, destination, kProtocolTcp,
                                               static_cast<std::uint32_t>(segment.size()))) ==
         0xffff;
}

std::optional<Tcp> Tcp::parse(std::span<const std::byte> segment, Ipv4Address source,
                              Ipv4Address destination, bool checksum_good,
                              std::size_t* header_bytes) {
  if (segment.size() < TcpHeader::kSize) return std::nullopt;
  const auto& h = TcpHeader::at(segment.data());
  const std::size_t header = h.header_length();
  if (header < TcpHeader::kSize || header > segment.size()) return std::nullopt;
  if (!checksum_good && !tcp_checksum_good(segment, source, destination)) return std::nullopt;
  Tcp v;
  v.source_port = h.source_port.get();
  v.destination_port = h.destination_port.get();
  v.sequence = h.sequence.get();
  v.acknowledgement = h.acknowledgement.get();
  v.flags = h.flags;
  v.window = h.window.get();
  v.urgent = h.urgent.get();
  v.options.parse(segment.subspan(TcpHeader::kSize, header - TcpHeader::kSize));
  if (header_bytes != nullptr) *header_bytes = header;
  return v;
}

std::size_t Tcp::emit(std::span<std::byte> out, Ipv4Address source, Ipv4Address destination,
                      std::span<const std::byte> payload) const {
  auto& h = TcpHeader::at(out.data());
  const std::size_t header = TcpHeader::kSize + options.emit(out.subspan(TcpHeader::kSize));
  h.source_port.set(source_port);
  h.destination_port.set(destination_port);
  h.sequence.set(sequence);
  h.acknowledgement.set(acknowledgement);
  h.data_offset = 0;
  h.set_header_length(header);
  h.flags = flags;
  h.window.set(window);
  h.checksum.set_raw(0);
  h.urgent.set(urgent);
  h.checksum.set_raw(
      finish(sum(out.first(header)) + sum(payload) +
             pseudo_header_sum(source, destination, kProtocolTcp,
                               static_cast<std::uint32_t>(header + payload.size()))));
  return header;
}

}  // namespace stackrig::wire
