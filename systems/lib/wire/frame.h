// SPDX-License-Identifier: Apache-2.0
// Whole frames as values, for tests, logs and failure messages: "send this, expect that".
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace stackrig::wire {

/// A TCP segment with all that is around it. emit() fills in lengths and checksums.
struct TcpFrame {
  Ethernet ethernet;
  Ipv4 ip;
  Tcp tcp;
  std::vector<std::byte> payload;

  static std::optional<TcpFrame> parse(std::span<const std::byte> frame);
  [[nodiscard]] std::vector<std::byte> emit() const;
};

struct ArpFrame {
  Ethernet ethernet;
  Arp arp;

  static std::optional<ArpFrame> parse(std::span<const std::byte> frame);
  [[nodiscard]] std::vector<std::byte> emit() const;
};

struct IcmpFrame {
  Ethernet ethernet;
  Ipv4 ip;
  Icmp icmp;
  std::vector<std::byte> payload;

  static std::optional<IcmpFrame> parse(std::span<const std::byte> frame);
  [[nodiscard]] std::vector<std::byte> emit() const;
};

struct UdpFrame {
  Ethernet ethernet;
  Ipv4 ip;
  Udp udp;
  std::vector<std::byte> payload;

  static std::optional<UdpFrame> parse(std::span<const std::byte> frame);
  [[nodiscard]] std::vector<std::byte> emit() const;
};

std::vector<std::byte> bytes_of(std::string_view text);
/// "10.0.0.1:80 > 10.0.0.2:4242 [S.] seq 1 ack 2 win 65535 len 0 <mss 1460, ts 1 0>", as tcpdump
/// does; what cannot be parsed is said so.
std::string describe(std::span<const std::byte> frame);

}  // namespace stackrig::wire
