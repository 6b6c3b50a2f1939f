// SPDX-License-Identifier: Apache-2.0
// Addresses to text and back. Text forms are strict: no leading zeros, no blanks, nothing behind.
#include "wire/address.h"

#include <charconv>
#include <cstdio>

namespace stackrig::wire {
namespace {

// A decimal number without leading zeros, at most `limit`, taken off the front of `text`.
std::optional<std::uint32_t> take_number(std::string_view& text, std::uint32_t limit) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto digits = static_cast<std::size_t>(end - text.data());
  if (error != std::errc{} || value > limit || (digits > 1 && text[0] == '0')) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<Ipv4Address> take_ipv4(std::string_view& text) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && !take(text, '.')) return std::nullopt;
    const auto part = take_number(text, 255);
    if (!part) return std::nullopt;
    value = value << 8 | *part;
  }
  return Ipv4Address{value};
}

}  // namespace

std::string to_string(MacAddress a) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", a.bytes[0], a.bytes[1],
                a.bytes[2], a.bytes[3], a.bytes[4], a.bytes[5]);
  return text;
}

std::string to_string(Ipv4Address a) {
  char text[16];
  std::snprintf(text, sizeof text, "%u.%u.%u.%u", a.value >> 24, a.value >> 16 & 255U,
                a.value >> 8 & 255U, a.value & 255U);
  return text;
}

std::string to_string(Endpoint e) {
  return to_string(e.address) + ":" + std::to_string(e.port);
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  MacAddress a;
  for (std::size_t i = 0; i < 6; ++i) {
    const char* at = text.data() + i * 3;
    const auto [end, error] = std::from_chars(at, at + 2, a.bytes[i], 16);
    if (error != std::errc{} || end != at + 2) return std::nullopt;
    if (i < 5 && at[2] != ':') return std::nullopt;
  }
  return a;
}

std::optional<Ipv4Address> parse_ipv4(std::string_view text) {
  const auto a = take_ipv4(text);
  return text.empty() ? a : std::nullopt;
}

std::optional<Ipv4Cidr> parse_cidr(std::string_view text) {
  const auto a = take_ipv4(text);
  if (!a) return std::nullopt;
  if (text.empty()) return Ipv4Cidr{*a, 32};
  if (!take(text, '/')) return std::nullopt;
  const auto prefix = take_number(text, 32);
  if (!prefix || !text.empty()) return std::nullopt;
  return Ipv4Cidr{*a, static_cast<std::uint8_t>(*prefix)};
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const auto a = take_ipv4(text);
  if (!a || !take(text, ':')) return std::nullopt;
  const auto port = take_number(text, 65535);
  if (!port || !text.empty()) return std::nullopt;
  return Endpoint{*a, static_cast<std::uint16_t>(*port)};
}

}  // namespace stackrig::wire
