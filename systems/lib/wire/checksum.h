// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//
// Sums are kept in memory order: 16-bit words as they lie in the packet, so nothing is swapped on
// this machine and a checksum goes in with Be16::set_raw(). A partial sum is a 64-bit number below
// 2^34: billions of them may be added before fold(). A part that begins at an odd offset of the
// whole has its bytes in the other halves: swap_bytes() before adding it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/address.h"

namespace stackrig::wire {

using PartialSum = std::uint64_t;

/// Ones'-complement sum of the bytes; an odd last byte is padded with zero.
[[nodiscard]] PartialSum sum(const void* data, std::size_t bytes);
[[nodiscard]] inline PartialSum sum(std::span<const std::byte> data) {
  return sum(data.data(), data.size());
}

/// Copies and sums in one pass over the source. The ranges do not overlap.
PartialSum copy_and_sum(void* to, const void* from, std::size_t bytes);

[[nodiscard]] constexpr std::uint16_t fold(PartialSum s) {
  s = (s & 0xffffffff) + (s >> 32);
  s = (s & 0xffff) + (s >> 16 & 0xffff) + (s >> 32);
  s = (s & 0xffff) + (s >> 16);
  s = (s & 0xffff) + (s >> 16);
  return static_cast<std::uint16_t>(s);
}

/// The checksum field's value for a sum.
[[nodiscard]] constexpr std::uint16_t finish(PartialSum s) {
  return static_cast<std::uint16_t>(~fold(s));
}

/// The sum of a part that begins at an odd offset, for adding to the rest (RFC 1071 section 2 (B)).
[[nodiscard]] constexpr PartialSum swap_bytes(PartialSum s) {
  return __builtin_bswap16(fold(s));
}

/// Sum of the pseudo header (RFC 9293 3.1, RFC 768). `l4_bytes` counts the L4 header and payload.
[[nodiscard]] constexpr PartialSum pseudo_header_sum(Ipv4Address source, Ipv4Address destination,
                                                     std::uint8_t protocol,
                                                     std::uint32_t l4_bytes) {
  // Summed as big-endian numbers and turned round once: the ones'-complement sum allows it.
  const PartialSum s = (source.value >> 16) + (source.value & 0xffff) + (destination.value >> 16) +
                       (destination.value & 0xffff) + protocol + (l4_bytes >> 16) +
                       (l4_bytes & 0xffff);
  return __builtin_bswap16(fold(s));
}

/// The checksum after a 16-bit field of the sum changed (RFC 1624 equation 3). All in memory order.
[[nodiscard]] constexpr std::uint16_t update16(std::uint16_t checksum, std::uint16_t from,
                                               std::uint16_t to) {
  return finish(PartialSum{static_cast<std::uint16_t>(~checksum)} +
                static_cast<std::uint16_t>(~from) + to);
}

/// The same for a 32-bit field that begins at an even offset.
[[nodiscard]] constexpr std::uint16_t update32(std::uint16_t checksum, std::uint32_t from,
                                               std::uint32_t to) {
  const std::uint32_t gone = ~from;
  return finish(PartialSum{static_cast<std::uint16_t>(~checksum)} + (gone & 0xffff) + (gone >> 16) +
                (to & 0xffff) + (to >> 16));
}

/// Sum of a 20-byte IPv4 header without options; 0xffff in a good one.
[[nodiscard]] inline std::uint16_t sum20(const void* header) {
  std::uint64_t a, b;
  std::uint32_t c;
  __builtin_memcpy(&a, header, 8);
  __builtin_memcpy(&b, static_cast<const char*>(header) + 8, 8);
  __builtin_memcpy(&c, static_cast<const char*>(header) + 16, 4);
  // With the carry brought round at each width (RFC 1071 section 2 (A)): half of what fold() takes.
  std::uint64_t s = a + b;
  s += s < a ? 1 : 0;
  std::uint64_t w = s + c;
  w += w < s ? 1 : 0;
  const auto low = static_cast<std::uint32_t>(w);
  std::uint32_t t = low + static_cast<std::uint32_t>(w >> 32);
  t += t < low ? 1 : 0;
  const std::uint32_t u = (t & 0xffff) + (t >> 16);
  return static_cast<std::uint16_t>((u & 0xffff) + (u >> 16));
}

}  // namespace stackrig::wire
