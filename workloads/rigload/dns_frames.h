// SPDX-License-Identifier: Apache-2.0
// Queries as whole frames: headers of a flow, ready made, before a query, ready made; what is left
// to do per query is to copy both and to patch ports' and lengths' checksums and the id.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "rigload/dns_client.h"
#include "rigload/transport_nmio.h"
#include "wire/address.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace stackrig::rigload {

/// One source address and port towards one server.
class DnsFlow {
 public:
  static constexpr std::size_t kIp = wire::EthernetHeader::kSize;
  static constexpr std::size_t kUdp = kIp + wire::Ipv4Header::kSize;
  static constexpr std::size_t kPayload = kUdp + wire::UdpHeader::kSize;

  /// The Ethernet addresses are set by set_macs().
  DnsFlow(wire::Endpoint source, wire::Endpoint target);
  void set_macs(const wire::MacAddress& source, const wire::MacAddress& destination);

  [[nodiscard]] wire::Endpoint source() const { return source_; }
  [[nodiscard]] wire::Endpoint target() const { return target_; }

  /// Writes the frame and returns its bytes. `out` has room for kPayload + `stride`, the queries'
  /// stride. `offload`: the device fills in the UDP checksum.
  std::uint32_t write(const DnsQuery& query, std::uint16_t id, bool offload, std::size_t stride,
                      std::byte* out) const {
    std::memcpy(out, headers_.data(), headers_.size());
    std::memcpy(out + kPayload, query.payload(), 48);  // what a usual query takes, in one go
    if (query.len > 48) [[unlikely]]
      std::memcpy(out + kPayload + 48, query.payload() + 48, stride - sizeof(DnsQuery) - 48);
    const std::uint16_t udp_len =
        raw(static_cast<std::uint16_t>(wire::UdpHeader::kSize + query.len));
    const std::uint16_t ip_len = raw(static_cast<std::uint16_t>(kPayload - kIp + query.len));
    auto& ip = wire::Ipv4Header::at(out + kIp);
    ip.total_length.set_raw(ip_len);
    ip.checksum.set_raw(wire::finish(ip_sum_ + ip_len));
    auto& udp = wire::UdpHeader::at(out + kUdp);
    udp.length.set_raw(udp_len);
    const std::uint16_t id_raw = raw(id);
    std::memcpy(out + kPayload, &id_raw, sizeof id_raw);
    if (offload) {
      udp.checksum.set_raw(wire::fold(pseudo_sum_ + udp_len));
    } else {
      // The length stands in the header and in the pseudo header. 0 would say: no checksum.
      const std::uint16_t sum =
          wire::finish(pseudo_sum_ + ports_sum_ + udp_len + udp_len + query.sum + id_raw);
      udp.checksum.set_raw(sum == 0 ? 0xffff : sum);
    }
    return static_cast<std::uint32_t>(kPayload + query.len);
  }

 private:
  static constexpr std::uint16_t raw(std::uint16_t v) { return __builtin_bswap16(v); }

  wire::Endpoint source_, target_;
  std::array<std::byte, kPayload> headers_{};
  wire::PartialSum ip_sum_ = 0;      ///< of the IP header, its length and checksum 0
  wire::PartialSum pseudo_sum_ = 0;  ///< of the pseudo header, its length 0
  wire::PartialSum ports_sum_ = 0;
};

/// The flows of a lane, and which of them an answer belongs to.
class DnsFlows {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  /// `count` of the pairs that `sources` gives, in turn.
  DnsFlows(const SourcePorts::Config& sources, std::uint32_t count);

  [[nodiscard]] const DnsFlow& operator[](std::uint32_t i) const { return flows_[i]; }
  [[nodiscard]] DnsFlow& operator[](std::uint32_t i) { return flows_[i]; }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(flows_.size()); }
  /// The flow that has this source; kNone where none has.
  [[nodiscard]] std::uint32_t find(wire::Endpoint source) const {
    const std::uint32_t address = source.address.value - first_address_;
    const std::uint32_t port = source.port - first_port_;
    if (address >= addresses_ || port >= ports_) return kNone;
    return by_source_[port * addresses_ + address];
  }

 private:
  std::vector<DnsFlow> flows_;
  std::uint32_t first_address_, addresses_;
  std::uint32_t first_port_ = 0, ports_ = 0;
  std::vector<std::uint32_t> by_source_;
};

}  // namespace stackrig::rigload
