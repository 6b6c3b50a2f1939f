// SPDX-License-Identifier: Apache-2.0
// The TCP header (RFC 9293 3.1): in place, and as a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.h"
#include "wire/byte_order.h"
#include "wire/tcp_options.h"

namespace stackrig::wire {

/// Flags, as they lie in the header's fourteenth byte.
inline constexpr std::uint8_t kTcpFin = 0x01;
inline constexpr std::uint8_t kTcpSyn = 0x02;
inline constexpr std::uint8_t kTcpRst = 0x04;
inline constexpr std::uint8_t kTcpPsh = 0x08;
inline constexpr std::uint8_t kTcpAck = 0x10;
inline constexpr std::uint8_t kTcpUrg = 0x20;
inline constexpr std::uint8_t kTcpEce = 0x40;
inline constexpr std::uint8_t kTcpCwr = 0x80;

/// In place.
struct TcpHeader {
  static constexpr std::size_t kSize = 20;  ///< without options
  static constexpr std::size_t kChecksumOffset = 16;

  Be16 source_port;
  Be16 destination_port;
  Be32 sequence;
  Be32 acknowledgement;
  std::uint8_t data_offset;  ///< upper half: header length in 32-bit words
  std::uint8_t flags;
  Be16 window;
  Be16 checksum;
  Be16 urgent;

  [[nodiscard]] std::size_t header_length() const { return std::size_t{data_offset} >> 4 << 2; }
  void set_header_length(std::size_t bytes) { data_offset = static_cast<std::uint8_t>(bytes << 2); }
  [[nodiscard]] const std::byte* options() const {
    return reinterpret_cast<const std::byte*>(this) + kSize;
  }
  [[nodiscard]] std::byte* options() { return reinterpret_cast<std::byte*>(this) + kSize; }

  static TcpHeader& at(std::byte* p) { return *reinterpret_cast<TcpHeader*>(p); }
  static const TcpHeader& at(const std::byte* p) { return *reinterpret_cast<const TcpHeader*>(p); }
};
static_assert(sizeof(TcpHeader) == TcpHeader::kSize && alignof(TcpHeader) == 1);

/// As a value.
struct Tcp {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 65535;
  std::uint16_t urgent = 0;
  TcpOptions options;

  [[nodiscard]] std::size_t header_length() const { return TcpHeader::kSize + options.size(); }

  /// Nothing for a wrong length. The checksum is checked too unless `checksum_good` says that a
  /// device did it. `header_bytes`, where given, gets the header's length: the payload begins
  /// there.
  static std::optional<Tcp> parse(std::span<const std::byte> segment, Ipv4Address source,
                                  Ipv4Address destination, bool checksum_good = false,
                                  std::size_t* header_bytes = nullptr);
  /// Writes header and options; the checksum covers `payload`, which the caller puts behind them.
  std::size_t emit(std::span<std::byte> out, Ipv4Address source, Ipv4Address destination,
                   std::span<const std::byte> payload) const;
  bool operator==(const Tcp&) const = default;
};

/// True where the checksum of a whole segment (header and payload) is right.
[[nodiscard]] bool tcp_checksum_good(std::span<const std::byte> segment, Ipv4Address source,
                                     Ipv4Address destination);

}  // namespace stackrig::wire
