// SPDX-License-Identifier: Apache-2.0
// ARP for IPv4 over Ethernet (RFC 826): in place, and as a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.h"
#include "wire/byte_order.h"

namespace stackrig::wire {

inline constexpr std::uint16_t kArpRequest = 1;
inline constexpr std::uint16_t kArpReply = 2;

/// In place, over the byte after the Ethernet header.
struct ArpHeader {
  static constexpr std::size_t kSize = 28;
  Be16 hardware_type;
  Be16 protocol_type;
  std::uint8_t hardware_length;
  std::uint8_t protocol_length;
  Be16 operation;
  MacField sender_mac;
  Ipv4Field sender_ip;
  MacField target_mac;
  Ipv4Field target_ip;

  static ArpHeader& at(std::byte* p) { return *reinterpret_cast<ArpHeader*>(p); }
  static const ArpHeader& at(const std::byte* p) { return *reinterpret_cast<const ArpHeader*>(p); }
};
static_assert(sizeof(ArpHeader) == ArpHeader::kSize && alignof(ArpHeader) == 1);

/// As a value. parse() answers nothing for what is not ARP for IPv4 over Ethernet.
struct Arp {
  std::uint16_t operation = kArpRequest;
  MacAddress sender_mac;
  Ipv4Address sender_ip;
  MacAddress target_mac;
  Ipv4Address target_ip;

  static std::optional<Arp> parse(std::span<const std::byte> payload);
  std::size_t emit(std::span<std::byte> out) const;
  bool operator==(const Arp&) const = default;
};

}  // namespace stackrig::wire
