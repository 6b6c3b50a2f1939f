// SPDX-License-Identifier: Apache-2.0
// A queue with a DNS server behind it that answers at once, as it is told to: for tests and for
// measuring what the client itself costs.
#pragma once

#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "dns/message.h"
#include "nmio/port.h"
#include "rigload/dns_frames.h"
#include "wire/arp.h"
#include "wire/frame.h"

namespace stackrig::rigload::fake {

inline constexpr wire::MacAddress kServerMac{{2, 0, 0, 0, 0, 1}};
inline constexpr wire::MacAddress kClientMac{{2, 0, 0, 0, 0, 2}};
inline const wire::Endpoint kDnsServer{*wire::parse_ipv4("10.99.0.1"), 53};

/// Turns a query's frame into its answer in place: the question and one A record behind it (owner
/// by pointer, TTL 3600, 192.0.2.1). Returns the answer's bytes. The UDP checksum is left out (0).
inline std::uint32_t answer_in_place(std::byte* frame, std::uint32_t len) {
  auto& ethernet = wire::EthernetHeader::at(frame);
  const wire::MacAddress client = ethernet.source.get();
  ethernet.source.set(ethernet.destination.get());
  ethernet.destination.set(client);
  auto& ip = wire::Ipv4Header::at(frame + DnsFlow::kIp);
  const wire::Ipv4Address source = ip.source.get();
  ip.source.set(ip.destination.get());
  ip.destination.set(source);
  auto& udp = wire::UdpHeader::at(frame + DnsFlow::kUdp);
  const std::uint16_t port = udp.source_port.get();
  udp.source_port.set(udp.destination_port.get());
  udp.destination_port.set(port);
  static constexpr std::uint8_t kRecord[16] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                                               14,   16, 0, 4, 192, 0, 2, 1};
  std::memcpy(frame + len, kRecord, sizeof kRecord);
  auto& header = dns::Header::at(reinterpret_cast<std::uint8_t*>(frame + DnsFlow::kPayload));
  header.flags.set(dns::flag::kResponse | dns::flag::kAuthoritative);
  header.answers.set(1);
  const auto more = static_cast<std::uint16_t>(sizeof kRecord);
  ip.total_length.set(static_cast<std::uint16_t>(ip.total_length.get() + more));
  ip.checksum.set_raw(0);
  ip.checksum.set_raw(wire::finish(wire::sum(&ip, wire::Ipv4Header::kSize)));
  udp.length.set(static_cast<std::uint16_t>(udp.length.get() + more));
  udp.checksum.set_raw(0);
  return len + more;
}

class AnsweringQueue final : public nmio::Queue {
 public:
  explicit AnsweringQueue(bool checksum_offload = true) {
    memory_ = nmio::PacketMemory::create({.chunks = 4096});
    offload_.tx_checksum = checksum_offload;
  }

  /// What becomes of a query that was answered: bytes of the answer, 0 to lose it. May change it.
  std::function<std::uint32_t(std::byte* frame, std::uint32_t len)> change;
  std::vector<std::vector<std::byte>> sent;  ///< queries, where `keep`
  bool keep = false;
  std::uint64_t queries = 0;

  unsigned receive(std::span<nmio::RxPacket> out) override {
    const std::size_t n = std::min(out.size(), arrived_.size() - taken_);
    std::copy_n(arrived_.begin() + static_cast<std::ptrdiff_t>(taken_), n, out.begin());
    taken_ += n;
    if (taken_ == arrived_.size()) {
      arrived_.clear();
      taken_ = 0;
    }
    return static_cast<unsigned>(n);
  }
  unsigned put(std::span<const nmio::TxPacket> in) override {
    for (const nmio::TxPacket& p : in) serve(const_cast<std::byte*>(p.data), p.len, p.chunk);
    return static_cast<unsigned>(in.size());
  }
  void flush() override {}
  unsigned reap() override { return 0; }
  void wait(Time /*now*/, Time /*deadline*/) override {}
  unsigned tx_room() override { return 1024; }

 private:
  void serve(std::byte* frame, std::uint32_t len, nmio::ChunkId chunk) {
    if (wire::EthernetHeader::at(frame).type.get() == wire::kEtherTypeArp) {
      return answer_arp(frame, len, chunk);
    }
    ++queries;
    if (keep) sent.emplace_back(frame, frame + len);
    len = answer_in_place(frame, len);
    if (change) len = change(frame, len);
    if (len == 0) return memory_->give_back(chunk);
    arrive(frame, len, chunk);
  }
  void answer_arp(std::byte* frame, std::uint32_t len, nmio::ChunkId chunk) {
    auto asked = wire::ArpFrame::parse({frame, len});
    if (!asked || asked->arp.operation != wire::kArpRequest) return memory_->give_back(chunk);
    const wire::ArpFrame reply{.ethernet = {.destination = asked->arp.sender_mac,
                                            .source = kServerMac,
                                            .type = wire::kEtherTypeArp},
                               .arp = {.operation = wire::kArpReply,
                                       .sender_mac = kServerMac,
                                       .sender_ip = asked->arp.target_ip,
                                       .target_mac = asked->arp.sender_mac,
                                       .target_ip = asked->arp.sender_ip}};
    const std::vector<std::byte> bytes = reply.emit();
    std::memcpy(frame, bytes.data(), bytes.size());
    arrive(frame, static_cast<std::uint32_t>(bytes.size()), chunk);
  }
  void arrive(std::byte* frame, std::uint32_t len, nmio::ChunkId chunk) {
    arrived_.push_back({.data = frame,
                        .len = len,
                        .chunk = chunk,
                        .rss_hash = 0,
                        .flags = nmio::RxPacket::kChecksumGood});
  }

  std::vector<nmio::RxPacket> arrived_;
  std::size_t taken_ = 0;
};

}  // namespace stackrig::rigload::fake
