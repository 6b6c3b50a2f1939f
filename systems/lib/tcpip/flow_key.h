// SPDX-License-Identifier: Apache-2.0
// A connection's name: addresses and ports of both ends, in the byte order and the places that they
// have in a header that we send. So it is compared with the pre-filled header of a connection by
// two loads, and made from a received header by two loads and two rotations.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "wire/address.h"

namespace stackrig::tcpip {

struct FlowKey {
  std::uint64_t addresses =
      0;                    ///< local (low half), remote (high half), as they lie in an IPv4 header
  std::uint32_t ports = 0;  ///< local (low half), remote (high half), as they lie in a TCP header

  bool operator==(const FlowKey&) const = default;

  static FlowKey of(wire::Endpoint local, wire::Endpoint remote) {
    return {__builtin_bswap32(local.address.value) |
                std::uint64_t{__builtin_bswap32(remote.address.value)} << 32,
            static_cast<std::uint32_t>(__builtin_bswap16(local.port)) |
                std::uint32_t{__builtin_bswap16(remote.port)} << 16};
  }
  /// From a header that we send: `addresses` points to its source address, `ports` to its source
  /// port.
  static FlowKey sent(const std::byte* addresses_at, const std::byte* ports_at) {
    FlowKey k;
    std::memcpy(&k.addresses, addresses_at, sizeof k.addresses);
    std::memcpy(&k.ports, ports_at, sizeof k.ports);
    return k;
  }
  /// From a header that we received: what is its source is our remote end.
  static FlowKey received(const std::byte* addresses_at, const std::byte* ports_at) {
    FlowKey k = sent(addresses_at, ports_at);
    k.addresses = std::rotl(k.addresses, 32);
    k.ports = std::rotl(k.ports, 16);
    return k;
  }
  [[nodiscard]] wire::Endpoint local() const {
    return {{__builtin_bswap32(static_cast<std::uint32_t>(addresses))},
            __builtin_bswap16(static_cast<std::uint16_t>(ports))};
  }
  [[nodiscard]] wire::Endpoint remote() const {
    return {{__builtin_bswap32(static_cast<std::uint32_t>(addresses >> 32))},
            __builtin_bswap16(static_cast<std::uint16_t>(ports >> 16))};
  }
};

/// Keyed hash of a flow for the connection table: two 64 x 64 multiplications. Without the key
/// nobody can aim connections at one bucket; unlike SipHash (isn.h) its output is never shown to a
/// peer.
inline std::uint32_t hash_flow(const FlowKey& k, const std::uint64_t (&key)[2]) {
  using U128 = unsigned __int128;
  const U128 a = U128{k.addresses ^ key[0]} * (k.ports ^ key[1] ^ (std::uint64_t{k.ports} << 32));
  const std::uint64_t m = static_cast<std::uint64_t>(a) ^ static_cast<std::uint64_t>(a >> 64);
  const U128 b = U128{m ^ key[1]} * 0x9e3779b97f4a7c15U;
  return static_cast<std::uint32_t>(b) ^ static_cast<std::uint32_t>(b >> 64) ^
         static_cast<std::uint32_t>(b >> 32);
}

}  // namespace stackrig::tcpip
