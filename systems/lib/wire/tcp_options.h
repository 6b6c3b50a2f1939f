// SPDX-License-Identifier: Apache-2.0
// TCP options: MSS (RFC 9293), window scale and timestamps (RFC 7323), SACK (RFC 2018).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace stackrig::wire {

inline constexpr std::uint8_t kTcpOptionEnd = 0;
inline constexpr std::uint8_t kTcpOptionNop = 1;
inline constexpr std::uint8_t kTcpOptionMss = 2;
inline constexpr std::uint8_t kTcpOptionWindowScale = 3;
inline constexpr std::uint8_t kTcpOptionSackPermitted = 4;
inline constexpr std::uint8_t kTcpOptionSack = 5;
inline constexpr std::uint8_t kTcpOptionTimestamps = 8;
inline constexpr std::uint8_t kTcpOptionUserTimeout = 28;
inline constexpr std::size_t kTcpOptionsMax = 40;
inline constexpr unsigned kMaxWindowScale = 14;  ///< RFC 7323 2.3
/// Bytes of the timestamps option with the two NOPs that align it (RFC 7323 appendix A).
inline constexpr std::size_t kTimestampsAligned = 12;

struct Timestamps {
  std::uint32_t value = 0;  ///< TSval
  std::uint32_t echo = 0;   ///< TSecr
  bool operator==(const Timestamps&) const = default;
};

struct SackBlock {
  std::uint32_t left = 0;   ///< first sequence number of the block
  std::uint32_t right = 0;  ///< the one after its last
  bool operator==(const SackBlock&) const = default;
};

struct TcpOptions {
  static constexpr unsigned kMaxSackBlocks = 4;

  std::optional<std::uint16_t> mss;
  std::optional<std::uint8_t> window_scale;  ///< as received: above 14 means 14 (RFC 7323 2.3)
  bool sack_permitted = false;
  std::optional<Timestamps> timestamps;
  unsigned sack_blocks = 0;
  std::array<SackBlock, kMaxSackBlocks> sack{};

  /// Reads what stands between the fixed header and the payload. A known option of a wrong length
  /// is passed over; an unknown one too; one whose length is 0, 1 or reaches past the end stops the
  /// walk (RFC 9293 3.1). The second of two equal options wins. False where the walk was stopped.
  bool parse(std::span<const std::byte> bytes);
  /// Writes the options, padded to a multiple of four; returns the length. What finds no room in
  /// the 40 bytes any more is left out (SACK blocks, from the last).
  std::size_t emit(std::span<std::byte> out) const;
  [[nodiscard]] std::size_t size() const;
  bool operator==(const TcpOptions&) const;
};

/// The options of nearly every segment of an established connection: NOP, NOP, timestamps and
/// nothing else (RFC 7323 appendix A). Nothing where they are anything else: use
/// TcpOptions::parse().
[[nodiscard]] inline std::optional<Timestamps> only_timestamps(const std::byte* options,
                                                               std::size_t bytes) {
  std::uint32_t head, value, echo;
  if (bytes != kTimestampsAligned) return std::nullopt;
  __builtin_memcpy(&head, options, 4);
  if (head != __builtin_bswap32(0x0101080aU)) return std::nullopt;
  __builtin_memcpy(&value, options + 4, 4);
  __builtin_memcpy(&echo, options + 8, 4);
  return Timestamps{__builtin_bswap32(value), __builtin_bswap32(echo)};
}

}  // namespace stackrig::wire
