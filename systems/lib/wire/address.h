// SPDX-License-Identifier: Apache-2.0
// Addresses are types: an Ethernet address, an IPv4 address, and a transport endpoint.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stackrig::wire {

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};
  auto operator<=>(const MacAddress&) const = default;
  [[nodiscard]] bool is_multicast() const { return (bytes[0] & 1) != 0; }
  static constexpr MacAddress broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
};

struct Ipv4Address {
  std::uint32_t value = 0;  ///< host byte order
  auto operator<=>(const Ipv4Address&) const = default;
  [[nodiscard]] bool is_unspecified() const { return value == 0; }
};

/// An address with its prefix length, "10.77.0.2/24".
struct Ipv4Cidr {
  Ipv4Address address;
  std::uint8_t prefix = 32;
  [[nodiscard]] std::uint32_t mask() const {
    return prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix);
  }
  [[nodiscard]] bool contains(Ipv4Address a) const {
    return ((a.value ^ address.value) & mask()) == 0;
  }
};

struct Endpoint {
  Ipv4Address address;
  std::uint16_t port = 0;  ///< host byte order
  auto operator<=>(const Endpoint&) const = default;
};

std::string to_string(MacAddress a);
std::string to_string(Ipv4Address a);
std::string to_string(Endpoint e);
std::optional<MacAddress> parse_mac(std::string_view text);
std::optional<Ipv4Address> parse_ipv4(std::string_view text);
std::optional<Ipv4Cidr> parse_cidr(std::string_view text);      ///< a bare address is a /32
std::optional<Endpoint> parse_endpoint(std::string_view text);  ///< "10.77.0.2:80"

}  // namespace stackrig::wire
