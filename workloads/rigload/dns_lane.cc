// SPDX-License-Identifier: Apache-2.0
// Datagrams in, frames out.
#include "rigload/dns_lane.h"

#include <algorithm>

#include "wire/icmp.h"

namespace stackrig::rigload {
namespace {

/// The neighbour table is asked again so often: it ages by the second.
constexpr Time kResolveEvery = 100 * nmio::kMillisecond;
constexpr Time kResolvePoll = nmio::kMillisecond;

}  // namespace

DnsApp::DnsApp(const DnsLaneConfig& config, const DnsConfig& dns, std::size_t query_stride,
               nmio::TxBatch& batch, DnsClient& client)
    : memory_(config.queue->memory()),
      batch_(batch),
      client_(client),
      interface_(config.interface, memory_, batch),
      flows_(config.sources, dns.flows),
      query_stride_(query_stride),
      offload_(config.queue->offload().tx_checksum),
      relay_(config.relay),
      queue_(config.sources.queue) {
  interface_.on_icmp_error(on_icmp_error, this);
}

void DnsApp::on_burst(std::span<const nmio::RxPacket> burst, Time now) {
  now_ = now;
  client_.tick(now);
  if (relay_ != nullptr) relay_->pass_on(queue_, burst);
  for (const nmio::RxPacket& packet : burst) {
    ip::Datagram datagram;
    if (interface_.input(packet, now, datagram) == ip::Input::taken) continue;
    receive(datagram, (packet.flags & nmio::RxPacket::kChecksumGood) != 0, now);
    memory_.give_back(packet.chunk);
  }
}

void DnsApp::receive(const ip::Datagram& d, bool checksum_is_good, Time now) {
  constexpr std::size_t kHeader = wire::UdpHeader::kSize;
  if (d.protocol != wire::kProtocolUdp || d.l4_bytes < kHeader) return;
  const auto& udp = wire::UdpHeader::at(static_cast<const std::byte*>(d.l4));
  const std::uint32_t length = udp.length.get();
  const std::uint32_t flow = flows_.find({d.destination, udp.destination_port.get()});
  if (flow == DnsFlows::kNone || length < kHeader || length > d.l4_bytes) return;
  if (wire::Endpoint{d.source, udp.source_port.get()} != flows_[flow].target()) return;
  if (!checksum_is_good && udp.checksum.raw() != 0 &&
      wire::fold(wire::pseudo_header_sum(d.source, d.destination, wire::kProtocolUdp, length) +
                 wire::sum(d.l4, length)) != 0xffff) {
    return;
  }
  client_.answer(flow, {reinterpret_cast<const std::uint8_t*>(d.l4 + kHeader), length - kHeader},
                 now);
}

void DnsApp::on_idle(Time now) {
  now_ = now;
  if (relay_ != nullptr) {
    const auto packets = relay_->take(queue_, memory_);
    if (!packets.empty()) on_burst(packets, now);
  }
  interface_.run_timers(now);
  client_.turn(now);
  if (now >= resolve_at_) find_server(now);
  if (resolved_) send(now);
}

void DnsApp::find_server(Time now) {
  wire::MacAddress server;
  resolved_ = interface_.resolve(flows_[0].target().address, now, server) == ip::Resolved::yes;
  resolve_at_ = now + (resolved_ ? kResolveEvery : kResolvePoll);
  if (!resolved_) return;
  for (std::uint32_t i = 0; i < flows_.size(); ++i) {
    flows_[i].set_macs(interface_.config().mac, server);
  }
}

void DnsApp::send(Time now) {
  const unsigned room = std::min({batch_.room, memory_.free_count(), kMostPerTurn});
  const unsigned n = client_.take({out_.data(), room}, now);
  for (unsigned i = 0; i < n; ++i) {
    const DnsOutgoing& o = out_[i];
    const nmio::ChunkId chunk = memory_.take();
    std::byte* frame = memory_.data(chunk) + ip::Interface::kHeadroom;
    const std::uint32_t len = flows_[o.flow].write(*o.query, o.id, offload_, query_stride_, frame);
    batch_.push({.data = frame,
                 .len = len,
                 .chunk = chunk,
                 .flags = offload_ ? std::uint16_t{nmio::TxPacket::kChecksum} : std::uint16_t{0},
                 .segment_size = 0,
                 .l4_offset = DnsFlow::kUdp,
                 .header_len = DnsFlow::kPayload});
  }
}

void DnsApp::on_icmp_error(void* self, const ip::IcmpError& error) {
  auto& app = *static_cast<DnsApp*>(self);
  if (error.protocol == wire::kProtocolUdp) app.client_.refused(app.now_);
}

}  // namespace stackrig::rigload
