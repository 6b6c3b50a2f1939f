// SPDX-License-Identifier: Apache-2.0
// UDP over IPv4 for servers that answer each datagram with one (thesis 3.2.3: libudpip).
//
//   udpip::Stack udp(interface, memory, batch, queue.offload());
//   udp.bind(53);
//   udpip::Datagram d;
//   switch (udp.input(packet, now, d)) {
//     case udpip::Input::datagram: ...  udp.reply(d, bytes);   // its own frame carries the answer
//     case udpip::Input::other: ...                            // TCP: the packet is the caller's
//     case udpip::Input::taken: break;                         // answered or dropped
//   }
//
// Stateless: an answer goes back to the Ethernet and IP address that its question came from, so no
// neighbour is looked up. ARP and ICMP are the interface's; a port that nobody bound is answered
// with ICMP "port unreachable", at the interface's rate. Answers never are fragments: they are DF,
// and what is longer than the MTU is the caller's error.
//
// A function of (packet, now): no clock, device, allocation or lock. Thread: one.
// Source: RFC 768, RFC 1122 4.1.
#pragma once

#include <algorithm>
#include <bit>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "ip/interface.h"
#include "nmio/packet.h"
#include "nmio/packet_memory.h"
#include "nmio/port.h"
#include "wire/checksum.h"
#include "wire/udp.h"

namespace stackrig::udpip {

using nmio::Time;

/// Bytes of Ethernet, IPv4 and UDP header before an answer's payload.
inline constexpr std::uint32_t kHeaders =
    wire::EthernetHeader::kSize + wire::Ipv4Header::kSize + wire::UdpHeader::kSize;

enum class Input : std::uint8_t {
  datagram,  ///< for a bound port, all of it checked; its chunk is the caller's
  other,     ///< a checked TCP packet for our address; its chunk is the caller's
  taken,     ///< answered or dropped; the chunk is gone
};

/// A received datagram. Points into its packet's chunk.
struct Datagram {
  const nmio::RxPacket* packet;
  std::byte* payload;
  std::uint32_t payload_len;
  wire::Ipv4Address source, destination;
  std::uint16_t source_port, destination_port;
};

/// What one stack has seen. Plain counters with one writer; may lie in a telemetry page.
struct Counters {
  std::uint64_t datagrams_in = 0;  ///< that input() handed over
  std::uint64_t datagrams_out = 0;
  std::uint64_t bad_header = 0;  ///< cut short, or from port 0, which nobody can answer
  std::uint64_t bad_checksum = 0;
  std::uint64_t no_port = 0;     ///< to a port that nobody bound
  std::uint64_t no_tx_room = 0;  ///< answers dropped: the transmit ring was full
};
struct CounterInfo {
  const char* name;  ///< "udp.datagrams_in"
  const char* unit;
  std::uint64_t Counters::*field;
};
std::span<const CounterInfo> counter_table();

class Stack {
 public:
  /// All are the queue's and outlive the stack.
  Stack(ip::Interface& interface, nmio::PacketMemory& memory, nmio::TxBatch& out,
        const nmio::Offload& offload);
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  void bind(std::uint16_t port) { bound_.set(port); }

  /// `packet` must stay as long as the datagram is used.
  Input input(const nmio::RxPacket& packet, Time now, Datagram& out) {
    ip::Datagram d;
    if (ip_.input(packet, now, d) == ip::Input::taken) return Input::taken;
    if (d.protocol != wire::kProtocolUdp) return Input::other;
    if (!is_good(packet, d, out)) return drop(packet, d, now);
    ++counters_->datagrams_in;
    return Input::datagram;
  }

  /// Bytes from d's payload to the end of its chunk; max_payload() holds besides.
  [[nodiscard]] std::uint32_t room(const Datagram& d) const {
    const std::byte* end = memory_.data(d.packet->chunk) + memory_.chunk_size();
    return static_cast<std::uint32_t>(end - d.payload);
  }
  /// Payload bytes of the longest datagram.
  [[nodiscard]] std::uint32_t max_payload() const { return max_payload_; }
  [[nodiscard]] bool checksum_is_offloaded() const { return tx_flags_ != 0; }

  /// Sends d's frame back to where it came from, with the `bytes` at d.payload as its payload.
  /// Takes the chunk.
  void reply(const Datagram& d, std::uint32_t bytes) {
    const wire::PartialSum sum = tx_flags_ != 0 ? 0 : wire::sum(d.payload, bytes);
    send(d, d.payload, bytes, sum, d.packet->chunk);
  }
  /// The same with another frame: `payload` lies in `chunk`, at least kHeaders from its start, and
  /// `payload_sum` is its sum (not looked at where the device computes checksums). Takes `chunk`;
  /// d's own remains the caller's.
  void reply_with(const Datagram& d, std::byte* payload, std::uint32_t bytes,
                  wire::PartialSum payload_sum, nmio::ChunkId chunk) {
    send(d, payload, bytes, payload_sum, chunk);
  }
  /// No answer: gives d's chunk back.
  void release(const Datagram& d) { memory_.give_back(d.packet->chunk); }

  [[nodiscard]] ip::Interface& interface() const { return ip_; }
  [[nodiscard]] const Counters& counters() const { return *counters_; }
  void place_counters(Counters* where);

 private:
  bool is_good(const nmio::RxPacket& packet, const ip::Datagram& d, Datagram& out) const {
    if (d.l4_bytes < wire::UdpHeader::kSize) return false;
    const auto& h = wire::UdpHeader::at(static_cast<const std::byte*>(d.l4));
    const std::uint32_t length = h.length.get();
    out = {.packet = &packet,
           .payload = d.l4 + wire::UdpHeader::kSize,
           .payload_len = length - static_cast<std::uint32_t>(wire::UdpHeader::kSize),
           .source = d.source,
           .destination = d.destination,
           .source_port = h.source_port.get(),
           .destination_port = h.destination_port.get()};
    return length >= wire::UdpHeader::kSize && length <= d.l4_bytes && out.source_port != 0 &&
           bound_.test(out.destination_port) &&
           ((packet.flags & nmio::RxPacket::kChecksumGood) != 0 || sum_is_good(d, length));
  }
  static bool sum_is_good(const ip::Datagram& d, std::uint32_t length);
  Input drop(const nmio::RxPacket& packet, const ip::Datagram& d, Time now);

  void send(const Datagram& d, std::byte* payload, std::uint32_t bytes,
            wire::PartialSum payload_sum, nmio::ChunkId chunk) {
    if (!out_.has_room()) [[unlikely]] {
      ++counters_->no_tx_room;
      memory_.give_back(chunk);
      return;
    }
    std::byte* frame = payload - kHeaders;
    write_headers(d, frame, bytes, payload_sum);
    out_.push({.data = frame,
               .len = kHeaders + bytes,
               .chunk = chunk,
               .flags = tx_flags_,
               .segment_size = 0,
               .l4_offset = wire::EthernetHeader::kSize + wire::Ipv4Header::kSize,
               .header_len = 0});
    ++counters_->datagrams_out;
  }

  // Headers from nothing: what came may have had options, and lies where this is written, so all
  // that is taken from it is read first. Eight bytes at a time, as they lie in memory.
  void write_headers(const Datagram& d, std::byte* frame, std::uint32_t bytes,
                     wire::PartialSum payload_sum) const {
    const auto back = load<std::uint64_t>(d.packet->data + 6) & kMacMask;
    const auto addresses = std::rotl(load<std::uint64_t>(d.packet->data + kAddressesAt), 32);
    const auto ports = std::rotl(load<std::uint32_t>(d.payload - wire::UdpHeader::kSize), 16);
    const std::uint64_t udp_bytes =
        __builtin_bswap16(static_cast<std::uint16_t>(wire::UdpHeader::kSize + bytes));
    const std::uint64_t total = __builtin_bswap16(
        static_cast<std::uint16_t>(wire::Ipv4Header::kSize + wire::UdpHeader::kSize + bytes));
    const wire::PartialSum address_sum = (addresses & 0xffffffff) + (addresses >> 32);

    store(frame, back | mac_ << 48);
    store(frame + 8, mac_ >> 16 | kTypeAndVersion);
    store(frame + 16, total | kFlagsToProtocol);
    store(frame + 24, wire::finish(kConstantSum + total + address_sum));
    store(frame + kAddressesAt, addresses);
    const wire::PartialSum pseudo = address_sum + __builtin_bswap16(wire::kProtocolUdp) + udp_bytes;
    const std::uint64_t checksum =
        tx_flags_ != 0 ? wire::fold(pseudo) : whole_sum(pseudo + udp_bytes + ports, payload_sum);
    store(frame + 34, std::uint64_t{ports} | udp_bytes << 32 | checksum << 48);
  }
  static std::uint16_t whole_sum(wire::PartialSum headers, wire::PartialSum payload_sum) {
    const std::uint16_t sum = wire::finish(headers + payload_sum);
    return sum == 0 ? 0xffff : sum;  // 0 would say that there is none (RFC 768)
  }
  template <class T>
  static T load(const std::byte* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  template <class T>
  static void store(std::byte* p, T v) {
    std::memcpy(p, &v, sizeof v);
  }

  static constexpr std::uint64_t kMacMask = (std::uint64_t{1} << 48) - 1;
  static constexpr std::size_t kAddressesAt = 26;  ///< source and destination, in the frame
  /// EtherType, version and header length, type of service: bytes 12 to 15 of the frame.
  static constexpr std::uint64_t kTypeAndVersion = std::uint64_t{0x00450008} << 32;
  /// No identification (DF: no fragments, RFC 6864 4.1), flags, TTL, protocol: bytes 18 to 23.
  static constexpr std::uint64_t kFlagsToProtocol =
      std::uint64_t{__builtin_bswap16(wire::Ipv4Header::kDontFragment)} << 32 |
      std::uint64_t{wire::kDefaultTtl} << 48 | std::uint64_t{wire::kProtocolUdp} << 56;
  /// Of the fields of an answer's IP header that never change, in memory order.
  static constexpr wire::PartialSum kConstantSum =
      wire::PartialSum{__builtin_bswap16(0x4500)} +
      __builtin_bswap16(wire::Ipv4Header::kDontFragment) +
      __builtin_bswap16(wire::kDefaultTtl << 8 | wire::kProtocolUdp);

  ip::Interface& ip_;
  nmio::PacketMemory& memory_;
  nmio::TxBatch& out_;
  std::uint64_t mac_ = 0;  ///< ours, as it lies in memory
  std::uint16_t tx_flags_;
  std::uint32_t max_payload_;
  Counters own_counters_;
  Counters* counters_ = &own_counters_;
  std::bitset<65536> bound_;
};

}  // namespace stackrig::udpip
