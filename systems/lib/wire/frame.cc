// SPDX-License-Identifier: Apache-2.0
// Whole frames as values, and in words.
#include "wire/frame.h"

#include <cstring>

namespace stackrig::wire {
namespace {

struct IpParts {
  Ethernet ethernet;
  Ipv4 ip;
  std::span<const std::byte> payload;  ///< without the padding of short frames
};

std::optional<IpParts> parse_ip(std::span<const std::byte> frame, std::uint8_t protocol) {
  const auto ethernet = Ethernet::parse(frame);
  if (!ethernet || ethernet->type != kEtherTypeIpv4) return std::nullopt;
  frame = frame.subspan(EthernetHeader::kSize);
  const auto ip = Ipv4::parse(frame);
  if (!ip || ip->protocol != protocol) return std::nullopt;
  return IpParts{*ethernet, *ip, frame.subspan(ip->header_length, ip->payload_length)};
}

std::vector<std::byte> copy_of(std::span<const std::byte> s) {
  return {s.begin(), s.end()};
}

// Ethernet and IPv4 headers, with room for `l4_bytes` behind them; `at` becomes the L4 header's
// place.
std::vector<std::byte> begin_frame(const Ethernet& ethernet, Ipv4 ip, std::uint8_t protocol,
                                   std::size_t l4_bytes, std::span<std::byte>& at) {
  std::vector<std::byte> out(EthernetHeader::kSize + Ipv4Header::kSize + l4_bytes);
  ethernet.emit(out);
  ip.protocol = protocol;
  ip.payload_length = static_cast<std::uint16_t>(l4_bytes);
  ip.emit(std::span(out).subspan(EthernetHeader::kSize));
  at = std::span(out).subspan(EthernetHeader::kSize + Ipv4Header::kSize);
  return out;
}

void put_payload(std::span<std::byte> at, const std::vector<std::byte>& payload) {
  if (!payload.empty()) std::memcpy(at.data(), payload.data(), payload.size());
}

std::string flags_text(std::uint8_t flags) {
  constexpr struct {
    std::uint8_t bit;
    char letter;
  } kLetters[] = {{kTcpSyn, 'S'}, {kTcpFin, 'F'}, {kTcpRst, 'R'}, {kTcpPsh, 'P'},
                  {kTcpUrg, 'U'}, {kTcpEce, 'E'}, {kTcpCwr, 'W'}, {kTcpAck, '.'}};
  std::string text;
  for (const auto& l : kLetters) {
    if ((flags & l.bit) != 0) text += l.letter;
  }
  return text.empty() ? "none" : text;
}

std::string options_text(const TcpOptions& o) {
  std::string text;
  const auto add = [&text](const std::string& s) { text += (text.empty() ? "" : ", ") + s; };
  if (o.mss) add("mss " + std::to_string(*o.mss));
  if (o.window_scale) add("wscale " + std::to_string(*o.window_scale));
  if (o.sack_permitted) add("sackOK");
  if (o.timestamps) {
    add("ts " + std::to_string(o.timestamps->value) + " " + std::to_string(o.timestamps->echo));
  }
  for (unsigned i = 0; i < o.sack_blocks; ++i) {
    add("sack " + std::to_string(o.sack[i].left) + ":" + std::to_string(o.sack[i].right));
  }
  return text.empty() ? text : " <" + text + ">";
}

std::string describe_tcp(const TcpFrame& f) {
  return to_string(Endpoint{f.ip.source, f.tcp.source_port}) + " > " +
         to_string(Endpoint{f.ip.destination, f.tcp.destination_port}) + " [" +
         flags_text(f.tcp.flags) + "] seq " + std::to_string(f.tcp.sequence) + " ack " +
         std::to_string(f.tcp.acknowledgement) + " win " + std::to_string(f.tcp.window) + " len " +
         std::to_string(f.payload.size()) + options_text(f.tcp.options);
}

}  // namespace

std::optional<TcpFrame> TcpFrame::parse(std::span<const std::byte> frame) {
  const auto parts = parse_ip(frame, kProtocolTcp);
  if (!parts) return std::nullopt;
  std::size_t header = 0;
  const auto tcp =
      Tcp::parse(parts->payload, parts->ip.source, parts->ip.destination, false, &header);
  if (!tcp) return std::nullopt;
  return TcpFrame{parts->ethernet, parts->ip, *tcp, copy_of(parts->payload.subspan(header))};
}

std::vector<std::byte> TcpFrame::emit() const {
  std::span<std::byte> at;
  const std::size_t header = tcp.header_length();
  auto out = begin_frame(ethernet, ip, kProtocolTcp, header + payload.size(), at);
  put_payload(at.subspan(header), payload);
  tcp.emit(at, ip.source, ip.destination, payload);
  return out;
}

std::optional<ArpFrame> ArpFrame::parse(std::span<const std::byte> frame) {
  const auto ethernet = Ethernet::parse(frame);
  if (!ethernet || ethernet->type != kEtherTypeArp) return std::nullopt;
  const auto arp = Arp::parse(frame.subspan(EthernetHeader::kSize));
  if (!arp) return std::nullopt;
  return ArpFrame{*ethernet, *arp};
}

std::vector<std::byte> ArpFrame::emit() const {
  std::vector<std::byte> out(EthernetHeader::kSize + ArpHeader::kSize);
  Ethernet e = ethernet;
  e.type = kEtherTypeArp;
  e.emit(out);
  arp.emit(std::span(out).subspan(EthernetHeader::kSize));
  return out;
}

std::optional<IcmpFrame> IcmpFrame::parse(std::span<const std::byte> frame) {
  const auto parts = parse_ip(frame, kProtocolIcmp);
  if (!parts) return std::nullopt;
  const auto icmp = Icmp::parse(parts->payload);
  if (!icmp) return std::nullopt;
  return IcmpFrame{parts->ethernet, parts->ip, *icmp,
                   copy_of(parts->payload.subspan(IcmpHeader::kSize))};
}

std::vector<std::byte> IcmpFrame::emit() const {
  std::span<std::byte> at;
  auto out = begin_frame(ethernet, ip, kProtocolIcmp, IcmpHeader::kSize + payload.size(), at);
  put_payload(at.subspan(IcmpHeader::kSize), payload);
  icmp.emit(at, payload);
  return out;
}

std::optional<UdpFrame> UdpFrame::parse(std::span<const std::byte> frame) {
  const auto parts = parse_ip(frame, kProtocolUdp);
  if (!parts) return std::nullopt;
  const auto udp = Udp::parse(parts->payload, parts->ip.source, parts->ip.destination);
  if (!udp) return std::nullopt;
  return UdpFrame{parts->ethernet, parts->ip, *udp,
                  copy_of(parts->payload.subspan(UdpHeader::kSize, udp->payload_length))};
}

std::vector<std::byte> UdpFrame::emit() const {
  std::span<std::byte> at;
  auto out = begin_frame(ethernet, ip, kProtocolUdp, UdpHeader::kSize + payload.size(), at);
  put_payload(at.subspan(UdpHeader::kSize), payload);
  udp.emit(at, ip.source, ip.destination, payload);
  return out;
}

std::vector<std::byte> bytes_of(std::string_view text) {
  std::vector<std::byte> out(text.size());
  if (!text.empty()) std::memcpy(out.data(), text.data(), text.size());
  return out;
}

std::string describe(std::span<const std::byte> frame) {
  if (const auto f = TcpFrame::parse(frame)) return describe_tcp(*f);
  if (const auto f = ArpFrame::parse(frame)) {
    if (f->arp.operation == kArpRequest) {
      return "arp who-has " + to_string(f->arp.target_ip) + " tell " + to_string(f->arp.sender_ip);
    }
    return "arp reply " + to_string(f->arp.sender_ip) + " is-at " + to_string(f->arp.sender_mac);
  }
  if (const auto f = IcmpFrame::parse(frame)) {
    return to_string(f->ip.source) + " > " + to_string(f->ip.destination) + " icmp type " +
           std::to_string(f->icmp.type) + " code " + std::to_string(f->icmp.code) + " len " +
           std::to_string(f->payload.size());
  }
  if (const auto f = UdpFrame::parse(frame)) {
    return to_string(Endpoint{f->ip.source, f->udp.source_port}) + " > " +
           to_string(Endpoint{f->ip.destination, f->udp.destination_port}) + " udp len " +
           std::to_string(f->payload.size());
  }
  return "unreadable frame of " + std::to_string(frame.size()) + " bytes";
}

}  // namespace stackrig::wire
