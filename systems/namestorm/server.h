// SPDX-License-Identifier: Apache-2.0
// Namestorm on one queue: UDP, its TCP fallback, and the edition of the zones that both answer
// from. What a loop runs.
//
// A newer edition is gone over to between two bursts: no answer is under way then but what TCP has
// copied, so no query is lost and none is answered from two editions.
//
// Thread: the queue's. Time is an argument.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "edition.h"
#include "nmio/packet.h"
#include "nmio/port.h"
#include "tcp_service.h"
#include "tcpip/stack.h"
#include "telemetry.h"
#include "udp_service.h"
#include "udpip/stack.h"

namespace stackrig::namestorm {

struct ServerConfig {
  std::uint16_t dns_port = 53;  ///< UDP and TCP
  UdpConfig udp;
  TcpConfig tcp;
};

template <class Key>
class Server {
 public:
  /// `tcp` has room for `max_connections`; UDP goes by the same interface. Everything but `config`
  /// outlives the server. Throws nmio::SetupError, std::invalid_argument, std::bad_alloc.
  Server(const ServerConfig& config, const Publisher<Key>& publisher, tcpip::Stack& tcp,
         std::uint32_t max_connections, nmio::TxBatch& out, const nmio::Offload& offload, Time now)
      : edition_(publisher),
        udp_stack_(checked(tcp.interface()), tcp.memory(), out, offload),
        udp_(config.udp, udp_stack_, tcp.memory(), *edition_, *counters_),
        tcp_(config.tcp, config.dns_port, tcp, max_connections, *edition_->zones, *counters_, now) {
    udp_stack_.bind(config.dns_port);
  }

  void on_burst(std::span<const nmio::RxPacket> burst, Time now) {
    refresh();
    udp_.on_burst(burst, now);
    if (!udp_.others().empty()) tcp_.input(udp_.others(), now);
  }
  void on_idle(Time now) {
    refresh();
    tcp_.on_idle(now);
  }
  [[nodiscard]] Time next_deadline() const { return tcp_.next_deadline(); }

  void place_counters(DnsCounters* where) {
    *where = *counters_;
    counters_ = where;
    udp_.place_counters(*where);
    tcp_.place_counters(*where);
  }
  [[nodiscard]] const DnsCounters& counters() const { return *counters_; }
  [[nodiscard]] udpip::Stack& udp_stack() { return udp_stack_; }
  [[nodiscard]] const TcpService& tcp() const { return tcp_; }

 private:
  /// Answers are never cut into fragments: the longest must fit a frame.
  static ip::Interface& checked(ip::Interface& interface) {
    const std::uint32_t least = dns::kUdpPayload + udpip::kHeaders - wire::EthernetHeader::kSize;
    if (interface.config().mtu >= least) return interface;
    throw nmio::SetupError("an MTU of " + std::to_string(interface.config().mtu) +
                           " is too short for answers of " + std::to_string(dns::kUdpPayload) +
                           " bytes; set it to " + std::to_string(least) + " or more");
  }
  void refresh() {
    if (!edition_.refresh()) [[likely]]
      return;
    udp_.start_edition(*edition_);
    tcp_.start_edition(*edition_->zones);
  }

  DnsCounters own_counters_{};
  DnsCounters* counters_ = &own_counters_;
  EditionReader<Key> edition_;
  udpip::Stack udp_stack_;
  UdpService<Key> udp_;
  TcpService tcp_;
};

}  // namespace stackrig::namestorm
