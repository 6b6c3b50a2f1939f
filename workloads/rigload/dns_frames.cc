// SPDX-License-Identifier: Apache-2.0
// The headers of flows, and the table that finds them again.
#include "rigload/dns_frames.h"

#include <algorithm>

namespace stackrig::rigload {

DnsFlow::DnsFlow(wire::Endpoint source, wire::Endpoint target) : source_(source), target_(target) {
  wire::EthernetHeader::at(headers_.data()).type.set(wire::kEtherTypeIpv4);
  auto& ip = wire::Ipv4Header::at(headers_.data() + kIp);
  ip.version_ihl = 0x45;
  ip.flags_offset.set(wire::Ipv4Header::kDontFragment);  // so the identification may be 0: RFC 6864
  ip.ttl = wire::kDefaultTtl;
  ip.protocol = wire::kProtocolUdp;
  ip.source.set(source.address);
  ip.destination.set(target.address);
  auto& udp = wire::UdpHeader::at(headers_.data() + kUdp);
  udp.source_port.set(source.port);
  udp.destination_port.set(target.port);
  ip_sum_ = wire::sum(&ip, wire::Ipv4Header::kSize);
  ports_sum_ = wire::sum(&udp, wire::UdpHeader::kSize);
  pseudo_sum_ = wire::pseudo_header_sum(source.address, target.address, wire::kProtocolUdp, 0);
}

void DnsFlow::set_macs(const wire::MacAddress& source, const wire::MacAddress& destination) {
  auto& ethernet = wire::EthernetHeader::at(headers_.data());
  ethernet.source.set(source);
  ethernet.destination.set(destination);
}

DnsFlows::DnsFlows(const SourcePorts::Config& sources, std::uint32_t count)
    : first_address_(sources.first.value), addresses_(sources.addresses) {
  SourcePorts pairs(sources);
  std::uint32_t least = 65535, most = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const wire::Endpoint source = pairs.next();
    flows_.emplace_back(source, sources.target);
    least = std::min<std::uint32_t>(least, source.port);
    most = std::max<std::uint32_t>(most, source.port);
  }
  first_port_ = least;
  ports_ = most - least + 1;
  by_source_.assign(std::size_t{ports_} * addresses_, kNone);
  for (std::uint32_t i = 0; i < count; ++i) {
    const wire::Endpoint source = flows_[i].source();
    by_source_[(source.port - first_port_) * addresses_ + (source.address.value - first_address_)] =
        i;
  }
}

}  // namespace stackrig::rigload
