// SPDX-License-Identifier: Apache-2.0
// ICMP (RFC 792, 1191): in place, and as a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/byte_order.h"

namespace stackrig::wire {

inline constexpr std::uint8_t kIcmpEchoReply = 0;
inline constexpr std::uint8_t kIcmpUnreachable = 3;
inline constexpr std::uint8_t kIcmpSourceQuench = 4;
inline constexpr std::uint8_t kIcmpRedirect = 5;
inline constexpr std::uint8_t kIcmpEchoRequest = 8;
inline constexpr std::uint8_t kIcmpTimeExceeded = 11;
inline constexpr std::uint8_t kIcmpParameterProblem = 12;

// Codes of kIcmpUnreachable.
inline constexpr std::uint8_t kIcmpNetUnreachable = 0;
inline constexpr std::uint8_t kIcmpHostUnreachable = 1;
inline constexpr std::uint8_t kIcmpProtocolUnreachable = 2;
inline constexpr std::uint8_t kIcmpPortUnreachable = 3;
inline constexpr std::uint8_t kIcmpFragmentationNeeded = 4;

/// In place.
struct IcmpHeader {
  static constexpr std::size_t kSize = 8;
  std::uint8_t type;
  std::uint8_t code;
  Be16 checksum;
  Be16 identifier;  ///< echo
  Be16 sequence;    ///< echo; the next hop's MTU in "fragmentation needed" (RFC 1191)

  /// Error messages, which are never answered with another (RFC 1122 3.2.2).
  [[nodiscard]] bool is_error() const {
    return type == kIcmpUnreachable || type == kIcmpSourceQuench || type == kIcmpRedirect ||
           type == kIcmpTimeExceeded || type == kIcmpParameterProblem;
  }
  static IcmpHeader& at(std::byte* p) { return *reinterpret_cast<IcmpHeader*>(p); }
  static const IcmpHeader& at(const std::byte* p) {
    return *reinterpret_cast<const IcmpHeader*>(p);
  }
};
static_assert(sizeof(IcmpHeader) == IcmpHeader::kSize && alignof(IcmpHeader) == 1);

/// As a value. parse() answers nothing where it is too short or the checksum is wrong.
struct Icmp {
  std::uint8_t type = kIcmpEchoRequest;
  std::uint8_t code = 0;
  std::uint16_t identifier = 0;
  std::uint16_t sequence = 0;

  static std::optional<Icmp> parse(std::span<const std::byte> message);
  /// Writes the header; the checksum covers it and `payload`, which the caller puts behind it.
  std::size_t emit(std::span<std::byte> out, std::span<const std::byte> payload) const;
  bool operator==(const Icmp&) const = default;
};

}  // namespace stackrig::wire
