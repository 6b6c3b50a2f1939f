// SPDX-License-Identifier: Apache-2.0
// The IPv4 header (RFC 791): in place, and as a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.h"
#include "wire/byte_order.h"

namespace stackrig::wire {

inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kDefaultTtl = 64;

/// In place. The accessors trust that header_length() bytes are there: see Ipv4::parse().
struct Ipv4Header {
  static constexpr std::size_t kSize = 20;  ///< without options
  static constexpr std::uint16_t kDontFragment = 0x4000;
  static constexpr std::uint16_t kMoreFragments = 0x2000;
  static constexpr std::uint16_t kOffsetMask = 0x1fff;  ///< in units of 8 bytes

  std::uint8_t version_ihl;
  std::uint8_t tos;  ///< DSCP and ECN
  Be16 total_length;
  Be16 identification;
  Be16 flags_offset;
  std::uint8_t ttl;
  std::uint8_t protocol;
  Be16 checksum;
  Ipv4Field source;
  Ipv4Field destination;

  [[nodiscard]] std::size_t header_length() const { return std::size_t{version_ihl & 0x0fU} * 4; }
  [[nodiscard]] bool is_fragment() const {
    return (flags_offset.get() & (kMoreFragments | kOffsetMask)) != 0;
  }

  static Ipv4Header& at(std::byte* p) { return *reinterpret_cast<Ipv4Header*>(p); }
  static const Ipv4Header& at(const std::byte* p) {
    return *reinterpret_cast<const Ipv4Header*>(p);
  }
};
static_assert(sizeof(Ipv4Header) == Ipv4Header::kSize && alignof(Ipv4Header) == 1);

/// As a value. parse() answers nothing for a wrong version, length or checksum.
struct Ipv4 {
  Ipv4Address source;
  Ipv4Address destination;
  std::uint8_t protocol = kProtocolTcp;
  std::uint8_t ttl = kDefaultTtl;
  std::uint8_t tos = 0;
  std::uint16_t identification = 0;
  bool dont_fragment = true;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;                ///< bytes, a multiple of 8
  std::uint16_t header_length = Ipv4Header::kSize;  ///< parse(): with options; emit() writes none
  std::uint16_t payload_length = 0;

  static std::optional<Ipv4> parse(std::span<const std::byte> packet);
  /// Writes a header without options, with its checksum; returns its length.
  std::size_t emit(std::span<std::byte> out) const;
  bool operator==(const Ipv4&) const = default;
};

}  // namespace stackrig::wire
