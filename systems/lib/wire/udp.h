// SPDX-License-Identifier: Apache-2.0
// The UDP header (RFC 768): in place, and as a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.h"
#include "wire/byte_order.h"

namespace stackrig::wire {

/// In place.
struct UdpHeader {
  static constexpr std::size_t kSize = 8;
  Be16 source_port;
  Be16 destination_port;
  Be16 length;    ///< header and payload
  Be16 checksum;  ///< 0: none

  static UdpHeader& at(std::byte* p) { return *reinterpret_cast<UdpHeader*>(p); }
  static const UdpHeader& at(const std::byte* p) { return *reinterpret_cast<const UdpHeader*>(p); }
};
static_assert(sizeof(UdpHeader) == UdpHeader::kSize && alignof(UdpHeader) == 1);

/// As a value. parse() answers nothing for a wrong length or checksum.
struct Udp {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t payload_length = 0;

  static std::optional<Udp> parse(std::span<const std::byte> datagram, Ipv4Address source,
                                  Ipv4Address destination);
  /// Writes the header; the checksum covers `payload`, which the caller puts behind it.
  std::size_t emit(std::span<std::byte> out, Ipv4Address source, Ipv4Address destination,
                   std::span<const std::byte> payload) const;
  bool operator==(const Udp&) const = default;
};

}  // namespace stackrig::wire
