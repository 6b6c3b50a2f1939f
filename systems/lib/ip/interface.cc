// SPDX-License-Identifier: Apache-2.0
// The slow path of an interface: ARP, ICMP, and whatever is not a plain datagram for us.
#include "ip/interface.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "wire/arp.h"

namespace stackrig::ip {
namespace {

using wire::ArpHeader;
using wire::EthernetHeader;
using wire::IcmpHeader;
using wire::Ipv4Header;

constexpr std::uint32_t kIpOffset = EthernetHeader::kSize;
constexpr std::uint32_t kLeastMtu = 576;    // RFC 1122 3.3.3: what every host can take
constexpr std::uint32_t kMostQuoted = 548;  // RFC 1812 4.3.2.3: the error is at most 576 bytes long

std::span<const std::byte> bytes(const nmio::RxPacket& p) {
  return {p.data, p.len};
}

wire::Ipv4Address broadcast_of(const wire::Ipv4Cidr& c) {
  return c.prefix >= 31 ? wire::Ipv4Address{} : wire::Ipv4Address{c.address.value | ~c.mask()};
}

InterfaceConfig checked(const InterfaceConfig& c) {
  const auto complain = [&](const std::string& cause) {
    throw std::invalid_argument("address " + wire::to_string(c.address.address) + "/" +
                                std::to_string(c.address.prefix) + ": " + cause);
  };
  const wire::Ipv4Address a = c.address.address;
  if (a.value >> 28 >= 0xe || a.value >> 24 == 0) complain("is not a host's address");
  if (a == broadcast_of(c.address)) complain("is the broadcast address of its subnet");
  if (c.addresses == 0 || a.value > ~std::uint32_t{0} - c.addresses) {
    complain(std::to_string(c.addresses) + " addresses from here on do not exist");
  }
  if (!c.gateway.is_unspecified() && !c.address.contains(c.gateway)) {
    complain("the gateway " + wire::to_string(c.gateway) + " is not in its subnet");
  }
  if (c.mtu < kLeastMtu) complain("an MTU of " + std::to_string(c.mtu) + " is below 576");
  if (c.mac.is_multicast()) complain("the Ethernet address is a group's");
  return c;
}

constexpr CounterInfo kCounterTable[] = {
    {"ip.arp_in", "packets", &Counters::arp_in},
    {"ip.arp_out", "packets", &Counters::arp_out},
    {"ip.arp_conflicts", "packets", &Counters::arp_conflicts},
    {"ip.arp_unresolved", "neighbours", &Counters::arp_unresolved},
    {"ip.icmp_in", "packets", &Counters::icmp_in},
    {"ip.icmp_out", "packets", &Counters::icmp_out},
    {"ip.icmp_limited", "packets", &Counters::icmp_limited},
    {"ip.not_for_us", "packets", &Counters::not_for_us},
    {"ip.bad_header", "packets", &Counters::bad_header},
    {"ip.bad_checksum", "packets", &Counters::bad_checksum},
    {"ip.fragments_dropped", "packets", &Counters::fragments_dropped},
    {"ip.held_dropped", "packets", &Counters::held_dropped},
    {"ip.no_chunk", "packets", &Counters::no_chunk},
    {"ip.no_tx_room", "packets", &Counters::no_tx_room},
};

}  // namespace

std::span<const CounterInfo> counter_table() {
  return kCounterTable;
}

Interface::Interface(const InterfaceConfig& config, nmio::PacketMemory& memory, nmio::TxBatch& out)
    : config_(checked(config)),
      memory_(memory),
      out_(out),
      broadcast_(broadcast_of(config.address)),
      arp_(config.arp, arp_events()),
      echo_limit_(config.echo_per_second, config.echo_burst),
      error_limit_(config.errors_per_second, config.errors_burst) {
}

ArpTable::Events Interface::arp_events() {
  ArpTable::Events e;
  e.send_request = [this](const ArpTable::Request& r) {
    return send_arp(r, config_.address.address);
  };
  e.settled = [this](wire::Ipv4Address ip, const wire::MacAddress* mac, nmio::TxPacket held) {
    if (mac == nullptr) ++counters_->arp_unresolved;
    if (held.chunk != nmio::kNoChunk) {
      if (mac != nullptr) {
        EthernetHeader::at(const_cast<std::byte*>(held.data)).destination.set(*mac);
        push(held.data, held.len, held.chunk);
      } else {
        ++counters_->held_dropped;
        memory_.give_back(held.chunk);
      }
    }
    if (resolved_ != nullptr) resolved_(resolved_context_, ip, mac);
  };
  e.drop = [this](nmio::TxPacket held) {
    ++counters_->held_dropped;
    memory_.give_back(held.chunk);
  };
  return e;
}

void Interface::place_counters(Counters* where) {
  *where = *counters_;
  counters_ = where;
}

void Interface::on_resolved(ResolvedFn fn, void* context) {
  resolved_ = fn;
  resolved_context_ = context;
}

void Interface::on_icmp_error(ErrorFn fn, void* context) {
  error_ = fn;
  error_context_ = context;
}

void Interface::run_timers(Time now) {
  arp_.run_timers(now);
}

// --- output
// ---------------------------------------------------------------------------------------

bool Interface::push(const std::byte* frame, std::uint32_t len, nmio::ChunkId chunk) {
  if (!out_.has_room()) {
    ++counters_->no_tx_room;
    memory_.give_back(chunk);
    return false;
  }
  out_.push({.data = frame,
             .len = len,
             .chunk = chunk,
             .flags = 0,
             .segment_size = 0,
             .l4_offset = 0,
             .header_len = 0});
  return true;
}

wire::Ipv4Address Interface::next_hop(wire::Ipv4Address destination) const {
  return config_.address.contains(destination) ? destination : config_.gateway;
}

Resolved Interface::resolve(wire::Ipv4Address destination, Time now, wire::MacAddress& out) {
  const wire::Ipv4Address hop = next_hop(destination);
  if (hop.is_unspecified() || is_ours(hop)) return Resolved::unreachable;
  return arp_.resolve(hop, now, out);
}

void Interface::confirm(wire::Ipv4Address destination, Time now) {
  arp_.confirm(next_hop(destination), now);
}

void Interface::send(std::byte* frame, std::uint32_t len, nmio::ChunkId chunk,
                     wire::Ipv4Address destination, Time now) {
  wire::Ethernet ethernet{.destination = {}, .source = config_.mac, .type = wire::kEtherTypeIpv4};
  const Resolved r = resolve(destination, now, ethernet.destination);
  ethernet.emit({frame, len});
  if (r == Resolved::yes) {
    push(frame, len, chunk);
  } else if (r == Resolved::pending) {
    arp_.hold(next_hop(destination), {.data = frame,
                                      .len = len,
                                      .chunk = chunk,
                                      .flags = 0,
                                      .segment_size = 0,
                                      .l4_offset = 0,
                                      .header_len = 0});
  } else {
    ++counters_->held_dropped;
    memory_.give_back(chunk);
  }
}

bool Interface::send_arp(const ArpTable::Request& request, wire::Ipv4Address sender) {
  const nmio::ChunkId chunk = memory_.take();
  if (chunk == nmio::kNoChunk) {
    ++counters_->no_chunk;
    return false;
  }
  std::byte* frame = memory_.data(chunk) + kHeadroom;
  const std::span<std::byte> room(frame, kIpOffset + ArpHeader::kSize);
  wire::Ethernet{request.to, config_.mac, wire::kEtherTypeArp}.emit(room);
  wire::Arp{wire::kArpRequest, config_.mac, sender, {}, request.target}.emit(
      room.subspan(kIpOffset));
  if (!push(frame, static_cast<std::uint32_t>(room.size()), chunk)) return false;
  ++counters_->arp_out;
  return true;
}

void Interface::announce(Time /*now*/) {
  for (std::uint32_t i = 0; i < config_.addresses; ++i) {
    const wire::Ipv4Address a{config_.address.address.value + i};
    send_arp({a, wire::MacAddress::broadcast()}, a);
  }
}

// --- input
// ----------------------------------------------------------------------------------------

Input Interface::input_slow(const nmio::RxPacket& packet, Time now, Datagram& out) {
  const auto ethernet = wire::Ethernet::parse(bytes(packet));
  bool answered = false;
  if (!ethernet) {
    ++counters_->bad_header;
  } else if (ethernet->destination != config_.mac && !ethernet->destination.is_multicast()) {
    ++counters_->not_for_us;
  } else if (ethernet->type == wire::kEtherTypeIpv4) {
    return input_ipv4(packet, now, out);
  } else if (ethernet->type == wire::kEtherTypeArp) {
    answered = input_arp(packet, now);
  } else {
    ++counters_->not_for_us;
  }
  if (!answered) memory_.give_back(packet.chunk);
  return Input::taken;
}

// RFC 826, "Packet Reception". An answer goes out in the chunk that the request came in.
bool Interface::input_arp(const nmio::RxPacket& packet, Time now) {
  ++counters_->arp_in;
  const auto arp = wire::Arp::parse(bytes(packet).subspan(kIpOffset));
  if (!arp || arp->sender_mac.is_multicast()) {
    ++counters_->bad_header;
    return false;
  }
  const bool is_probe = arp->sender_ip.is_unspecified();  // RFC 5227 2.1.1: nothing to learn
  if (!is_probe && is_ours(arp->sender_ip)) {
    if (arp->sender_mac != config_.mac) ++counters_->arp_conflicts;
    return false;
  }
  const bool for_us = is_ours(arp->target_ip);
  const bool on_link = config_.address.contains(arp->sender_ip) && !is_broadcast(arp->sender_ip);
  if (!is_probe && on_link) arp_.learn(arp->sender_ip, arp->sender_mac, now, for_us);
  if (!for_us || arp->operation != wire::kArpRequest) return false;

  const std::span<std::byte> frame(packet.data, kIpOffset + ArpHeader::kSize);
  wire::Ethernet{arp->sender_mac, config_.mac, wire::kEtherTypeArp}.emit(frame);
  wire::Arp{wire::kArpReply, config_.mac, arp->target_ip, arp->sender_mac, arp->sender_ip}.emit(
      frame.subspan(kIpOffset));
  if (push(packet.data, static_cast<std::uint32_t>(frame.size()), packet.chunk))
    ++counters_->arp_out;
  return true;
}

Input Interface::input_ipv4(const nmio::RxPacket& packet, Time now, Datagram& out) {
  const auto datagram = bytes(packet).subspan(kIpOffset);
  const auto ip = wire::Ipv4::parse(datagram);
  bool answered = false;
  if (!ip) {
    const bool whole = datagram.size() >= Ipv4Header::kSize && datagram[0] == std::byte{0x45};
    ++(whole && wire::sum20(datagram.data()) != 0xffff ? counters_->bad_checksum
                                                       : counters_->bad_header);
  } else if (!is_ours(ip->destination)) {
    ++counters_->not_for_us;  // broadcasts too: no service here listens to them
  } else if (!is_unicast_source(ip->source)) {
    ++counters_->bad_header;
  } else if (ip->more_fragments || ip->fragment_offset != 0) {
    ++counters_->fragments_dropped;
  } else if (EthernetHeader::at(packet.data).destination.get() != config_.mac) {
    ++counters_->not_for_us;  // RFC 1122 3.3.6: unicast IP in a link-layer broadcast
  } else if (ip->protocol == wire::kProtocolTcp || ip->protocol == wire::kProtocolUdp) {
    out = {ip->source, ip->destination, ip->protocol, packet.data + kIpOffset + ip->header_length,
           ip->payload_length};
    return Input::transport;
  } else if (ip->protocol == wire::kProtocolIcmp) {
    answered = input_icmp(packet, *ip, now);
  } else {
    unreachable(packet, wire::kIcmpProtocolUnreachable, now);
    answered = true;
  }
  if (!answered) memory_.give_back(packet.chunk);
  return Input::taken;
}

// --- ICMP
// -----------------------------------------------------------------------------------------

bool Interface::input_icmp(const nmio::RxPacket& packet, const wire::Ipv4& ip, Time now) {
  ++counters_->icmp_in;
  const auto message = bytes(packet).subspan(kIpOffset + ip.header_length, ip.payload_length);
  const auto icmp = wire::Icmp::parse(message);
  if (!icmp) {
    ++counters_->bad_checksum;
    return false;
  }
  if (icmp->type == wire::kIcmpEchoRequest && icmp->code == 0) return echo_reply(packet, ip, now);
  if (IcmpHeader::at(message.data()).is_error()) icmp_error(message);
  return false;
}

// The request becomes the reply where it lies (RFC 1122 3.2.2.6).
bool Interface::echo_reply(const nmio::RxPacket& packet, const wire::Ipv4& ip, Time now) {
  if (!echo_limit_.allow(now)) {
    ++counters_->icmp_limited;
    return false;
  }
  auto& ethernet = EthernetHeader::at(packet.data);
  ethernet.destination.set(ethernet.source.get());
  ethernet.source.set(config_.mac);

  auto& header = Ipv4Header::at(packet.data + kIpOffset);
  const std::span<const std::byte> ip_header(packet.data + kIpOffset, ip.header_length);
  header.source.set(ip.destination);
  header.destination.set(ip.source);
  header.ttl = wire::kDefaultTtl;
  header.checksum.set_raw(0);
  header.checksum.set_raw(wire::finish(wire::sum(ip_header)));

  auto& icmp = IcmpHeader::at(packet.data + kIpOffset + ip.header_length);
  icmp.type = wire::kIcmpEchoReply;
  icmp.checksum.set_raw(wire::update16(icmp.checksum.raw(), wire::kIcmpEchoRequest, 0));
  if (push(packet.data, kIpOffset + ip.header_length + ip.payload_length, packet.chunk)) {
    ++counters_->icmp_out;
  }
  return true;
}

// Hands an error about one of our own datagrams to the transport. The quoted header is short and
// unchecked: only its addresses, protocol and first eight bytes are looked at.
void Interface::icmp_error(std::span<const std::byte> message) {
  const auto quoted = message.subspan(IcmpHeader::kSize);
  if (error_ == nullptr || quoted.size() < Ipv4Header::kSize) return;
  const auto& h = Ipv4Header::at(quoted.data());
  const std::size_t header = h.header_length();
  if (h.version_ihl >> 4 != 4 || header < Ipv4Header::kSize || quoted.size() < header + 8 ||
      !is_ours(h.source.get()) || (h.flags_offset.get() & Ipv4Header::kOffsetMask) != 0) {
    return;
  }
  const auto& icmp = IcmpHeader::at(message.data());
  error_(error_context_, {icmp.type, icmp.code, h.protocol, icmp.sequence.get(), h.source.get(),
                          h.destination.get(), quoted.subspan(header)});
}

// RFC 1122 3.2.2: never about an ICMP error, a broadcast, a fragment other than the first, or a
// source that is no single host. input() has refused the last three already.
bool Interface::may_answer_with_error(const nmio::RxPacket& packet, const wire::Ipv4& ip) const {
  if (ip.protocol != wire::kProtocolIcmp) return true;
  const auto message = bytes(packet).subspan(kIpOffset + ip.header_length);
  return message.size() >= IcmpHeader::kSize && !IcmpHeader::at(message.data()).is_error();
}

void Interface::unreachable(const nmio::RxPacket& packet, std::uint8_t code, Time now) {
  const auto ip = wire::Ipv4::parse(bytes(packet).subspan(kIpOffset));
  if (!ip || !may_answer_with_error(packet, *ip)) {
    memory_.give_back(packet.chunk);
    return;
  }
  const nmio::ChunkId chunk = error_limit_.allow(now) ? memory_.take() : nmio::kNoChunk;
  if (chunk == nmio::kNoChunk) {
    ++counters_->icmp_limited;
    memory_.give_back(packet.chunk);
    return;
  }
  const auto quoted = bytes(packet).subspan(kIpOffset).first(
      std::min<std::size_t>(std::size_t{ip->header_length} + ip->payload_length, kMostQuoted));
  std::byte* frame = memory_.data(chunk) + kHeadroom;
  const std::uint32_t len =
      kIpOffset + Ipv4Header::kSize + IcmpHeader::kSize + static_cast<std::uint32_t>(quoted.size());
  const std::span<std::byte> room(frame, len);
  const wire::MacAddress back = EthernetHeader::at(packet.data).source.get();
  wire::Ethernet{back, config_.mac, wire::kEtherTypeIpv4}.emit(room);
  wire::Ipv4 header;
  header.source = ip->destination;
  header.destination = ip->source;
  header.protocol = wire::kProtocolIcmp;
  header.identification = identification_++;
  header.payload_length = static_cast<std::uint16_t>(IcmpHeader::kSize + quoted.size());
  header.emit(room.subspan(kIpOffset));
  const auto icmp_at = room.subspan(kIpOffset + Ipv4Header::kSize);
  std::memcpy(icmp_at.data() + IcmpHeader::kSize, quoted.data(), quoted.size());
  wire::Icmp{.type = wire::kIcmpUnreachable, .code = code}.emit(icmp_at, quoted);
  if (push(frame, len, chunk)) ++counters_->icmp_out;
  memory_.give_back(packet.chunk);
}

}  // namespace stackrig::ip
