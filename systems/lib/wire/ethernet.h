// SPDX-License-Identifier: Apache-2.0
// The Ethernet header (IEEE 802.3, DIX): in place, and as a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.h"
#include "wire/byte_order.h"

namespace stackrig::wire {

inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeArp = 0x0806;

/// In place, over the first byte of a frame.
struct EthernetHeader {
  static constexpr std::size_t kSize = 14;
  MacField destination;
  MacField source;
  Be16 type;

  static EthernetHeader& at(std::byte* p) { return *reinterpret_cast<EthernetHeader*>(p); }
  static const EthernetHeader& at(const std::byte* p) {
    return *reinterpret_cast<const EthernetHeader*>(p);
  }
};
static_assert(sizeof(EthernetHeader) == EthernetHeader::kSize && alignof(EthernetHeader) == 1);

/// As a value. parse() answers nothing for a frame that is too short.
struct Ethernet {
  MacAddress destination;
  MacAddress source;
  std::uint16_t type = kEtherTypeIpv4;

  static std::optional<Ethernet> parse(std::span<const std::byte> frame);
  /// Writes the header; returns its length. `out` has room for it.
  std::size_t emit(std::span<std::byte> out) const;
  bool operator==(const Ethernet&) const = default;
};

}  // namespace stackrig::wire
