// SPDX-License-Identifier: Apache-2.0
// Turns a UDP frame round: both echoes do the same to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace stackrig::nmio::bench {

/// Swaps MACs, addresses and ports in place (no checksum changes by it); false where it is no UDP.
inline bool turn_round(std::byte* f, std::uint32_t len) {
  if (len < 42 || f[12] != std::byte{0x08} || f[13] != std::byte{0} || f[23] != std::byte{17})
    return false;
  std::byte mac[6];
  std::memcpy(mac, f, 6);
  std::memcpy(f, f + 6, 6);
  std::memcpy(f + 6, mac, 6);
  std::uint32_t source = 0;
  std::uint32_t destination = 0;
  std::memcpy(&source, f + 26, 4);
  std::memcpy(&destination, f + 30, 4);
  std::memcpy(f + 26, &destination, 4);
  std::memcpy(f + 30, &source, 4);
  std::uint16_t from = 0;
  std::uint16_t to = 0;
  std::memcpy(&from, f + 34, 2);
  std::memcpy(&to, f + 36, 2);
  std::memcpy(f + 34, &to, 2);
  std::memcpy(f + 36, &from, 2);
  return true;
}

}  // namespace stackrig::nmio::bench
