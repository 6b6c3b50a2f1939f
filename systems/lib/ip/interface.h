// SPDX-License-Identifier: Apache-2.0
// An IPv4 interface on Ethernet: checks what comes in, answers ARP and ICMP, finds the next hop.
//
//   ip::Datagram d;
//   switch (interface.input(packet, now, d)) {
//     case ip::Input::transport: ...        // d is checked and for us; packet.chunk is the
//     caller's case ip::Input::taken: break;         // answered or dropped; the chunk is gone
//   }
//
// A function of (packet, now) that pushes what is to be sent into the queue's TxBatch: no clock, no
// device, no allocation per packet. Used by tcpip and by udpip; one per queue. Thread: one.
//
// Not done: reassembly of IP fragments (dropped and counted), IP options are passed over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ip/arp_table.h"
#include "ip/counters.h"
#include "ip/rate_limit.h"
#include "nmio/packet.h"
#include "nmio/packet_memory.h"
#include "wire/address.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"

namespace stackrig::ip {

struct InterfaceConfig {
  wire::Ipv4Cidr address;
  std::uint32_t addresses = 1;  ///< this many consecutive ones, from `address` on, are ours
  wire::Ipv4Address gateway;    ///< unspecified: on-link only
  wire::MacAddress mac;
  std::uint32_t mtu = 1500;
  ArpConfig arp;
  std::uint32_t echo_per_second = 1000, echo_burst = 200;    ///< ICMP echo replies
  std::uint32_t errors_per_second = 100, errors_burst = 20;  ///< ICMP errors (RFC 1812 4.3.2.8)
};

enum class Input : std::uint8_t { transport, taken };

/// A datagram for us, TCP or UDP, its header checked; the L4 checksum is not.
struct Datagram {
  wire::Ipv4Address source;
  wire::Ipv4Address destination;
  std::uint8_t protocol;
  std::byte* l4;           ///< in the packet's chunk
  std::uint32_t l4_bytes;  ///< without Ethernet padding
};

/// An ICMP error about something that we sent (RFC 1122 3.2.2): the transport decides what it
/// means.
struct IcmpError {
  std::uint8_t type;
  std::uint8_t code;
  std::uint8_t protocol;       ///< of the datagram that it is about
  std::uint16_t next_hop_mtu;  ///< with kIcmpFragmentationNeeded; 0: not told
  wire::Ipv4Address source;    ///< ours
  wire::Ipv4Address destination;
  std::span<const std::byte> l4;  ///< what is quoted of it; at least 8 bytes
};

class Interface {
 public:
  /// Bytes kept free before the frames that this interface makes (device metadata lies there).
  static constexpr std::uint32_t kHeadroom = 64;

  /// `memory` and `out` are the queue's and outlive the interface. Throws std::invalid_argument for
  /// an address, gateway or MTU that cannot be.
  Interface(const InterfaceConfig& config, nmio::PacketMemory& memory, nmio::TxBatch& out);
  Interface(const Interface&) = delete;
  Interface& operator=(const Interface&) = delete;

  /// Takes a received packet; see the top of this file.
  Input input(const nmio::RxPacket& packet, Time now, Datagram& out) {
    return is_plain(packet, out) ? Input::transport : input_slow(packet, now, out);
  }

  /// The Ethernet address that a packet to `destination` goes to: its own on-link, else the
  /// gateway's. `pending`: an ARP request is on its way and on_resolved() will be called, or poll
  /// again.
  Resolved resolve(wire::Ipv4Address destination, Time now, wire::MacAddress& out);
  /// Sends a frame whose IP header and payload are ready: fills in the Ethernet header, or holds
  /// the frame until the neighbour answers. Takes the chunk whatever becomes of it (counters tell).
  void send(std::byte* frame, std::uint32_t len, nmio::ChunkId chunk, wire::Ipv4Address destination,
            Time now);
  /// The neighbour towards `destination` is alive: something that we sent was acknowledged.
  void confirm(wire::Ipv4Address destination, Time now);

  /// Called when a next hop that was pending is known (mac) or given up (nullptr).
  using ResolvedFn = void (*)(void* context, wire::Ipv4Address next_hop,
                              const wire::MacAddress* mac);
  void on_resolved(ResolvedFn fn, void* context);
  using ErrorFn = void (*)(void* context, const IcmpError& error);
  void on_icmp_error(ErrorFn fn, void* context);

  /// Answers a datagram that input() handed over with "destination unreachable", where RFC
  /// 1122 3.2.2 allows it and the rate too. Takes the packet's chunk.
  void unreachable(const nmio::RxPacket& packet, std::uint8_t code, Time now);

  /// Says on the wire who we are (gratuitous ARP, RFC 5227 3): neighbours that knew another update.
  void announce(Time now);

  void run_timers(Time now);
  [[nodiscard]] Time next_deadline() const { return arp_.next_deadline(); }

  [[nodiscard]] bool is_ours(wire::Ipv4Address a) const {
    return a.value - config_.address.address.value < config_.addresses;
  }
  /// On-link neighbour or gateway that leads to `destination`; unspecified where no route is.
  [[nodiscard]] wire::Ipv4Address next_hop(wire::Ipv4Address destination) const;
  [[nodiscard]] const InterfaceConfig& config() const { return config_; }
  [[nodiscard]] const Counters& counters() const { return *counters_; }
  void place_counters(Counters* where);

 private:
  // Nearly every packet: Ethernet and IPv4 addresses ours, no options, no fragment, TCP or UDP.
  bool is_plain(const nmio::RxPacket& packet, Datagram& out) const {
    constexpr std::uint32_t kHeaders = wire::EthernetHeader::kSize + wire::Ipv4Header::kSize;
    if (packet.len < kHeaders) return false;
    const auto& ethernet = wire::EthernetHeader::at(static_cast<const std::byte*>(packet.data));
    std::byte* at = packet.data + wire::EthernetHeader::kSize;
    const auto& h = wire::Ipv4Header::at(static_cast<const std::byte*>(at));
    const wire::Ipv4Address source = h.source.get();
    const std::uint32_t total = h.total_length.get();
    out = {source, h.destination.get(), h.protocol, at + wire::Ipv4Header::kSize,
           total - static_cast<std::uint32_t>(wire::Ipv4Header::kSize)};
    return ethernet.type.get() == wire::kEtherTypeIpv4 &&
           ethernet.destination.get() == config_.mac && h.version_ihl == 0x45 && !h.is_fragment() &&
           is_ours(out.destination) && is_unicast_source(source) &&
           total >= wire::Ipv4Header::kSize && total <= packet.len - wire::EthernetHeader::kSize &&
           (h.protocol == wire::kProtocolTcp || h.protocol == wire::kProtocolUdp) &&
           wire::sum20(at) == 0xffff;
  }
  [[nodiscard]] bool is_unicast_source(wire::Ipv4Address a) const {
    return a.value >> 28 < 0xe && a.value >> 24 != 0 && a.value >> 24 != 127 && !is_ours(a) &&
           a.value != broadcast_.value;
  }
  [[nodiscard]] bool is_broadcast(wire::Ipv4Address a) const {
    return a.value == ~std::uint32_t{0} || a.value == broadcast_.value;
  }

  Input input_slow(const nmio::RxPacket& packet, Time now, Datagram& out);
  Input input_ipv4(const nmio::RxPacket& packet, Time now, Datagram& out);
  bool input_arp(const nmio::RxPacket& packet, Time now);
  bool input_icmp(const nmio::RxPacket& packet, const wire::Ipv4& ip, Time now);
  bool echo_reply(const nmio::RxPacket& packet, const wire::Ipv4& ip, Time now);
  void icmp_error(std::span<const std::byte> message);
  bool may_answer_with_error(const nmio::RxPacket& packet, const wire::Ipv4& ip) const;
  bool send_arp(const ArpTable::Request& request, wire::Ipv4Address sender);
  bool push(const std::byte* frame, std::uint32_t len, nmio::ChunkId chunk);
  ArpTable::Events arp_events();

  InterfaceConfig config_;
  nmio::PacketMemory& memory_;
  nmio::TxBatch& out_;
  wire::Ipv4Address broadcast_;  ///< of the subnet; 0 where it has none (/31, /32)
  ArpTable arp_;
  RateLimit echo_limit_;
  RateLimit error_limit_;
  std::uint16_t identification_ = 1;
  ResolvedFn resolved_ = nullptr;
  void* resolved_context_ = nullptr;
  ErrorFn error_ = nullptr;
  void* error_context_ = nullptr;
  Counters own_counters_;
  Counters* counters_ = &own_counters_;
};

}  // namespace stackrig::ip
