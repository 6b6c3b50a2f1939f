// SPDX-License-Identifier: Apache-2.0
#include "nmio/rss.h"

#include <array>

namespace stackrig::nmio {
namespace {

/// The key of Microsoft's RSS specification.
constexpr std::array<std::uint8_t, 40> kKey = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

constexpr unsigned kInputBytes = 12;  // two addresses, two ports

/// The hash is linear over its input bits: each byte value at each place has a fixed share.
using Shares = std::array<std::array<std::uint32_t, 256>, kInputBytes>;

constexpr std::uint32_t key_window(unsigned bit) {
  std::uint64_t five = 0;
  for (unsigned i = 0; i < 5; ++i) five = five << 8 | kKey[bit / 8 + i];
  return static_cast<std::uint32_t>(five >> (8 - bit % 8));
}

Shares make_shares() {
  Shares shares{};
  for (unsigned place = 0; place < kInputBytes; ++place) {
    for (unsigned value = 0; value < 256; ++value) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        if ((value & 0x80U >> bit) != 0) shares[place][value] ^= key_window(place * 8 + bit);
      }
    }
  }
  return shares;
}

const Shares kShares = make_shares();

std::uint32_t hash_word(unsigned place, std::uint32_t word) {
  return kShares[place][word >> 24] ^ kShares[place + 1][word >> 16 & 0xff] ^
         kShares[place + 2][word >> 8 & 0xff] ^ kShares[place + 3][word & 0xff];
}

std::uint32_t be16(const std::byte* p) {
  return std::to_integer<std::uint32_t>(p[0]) << 8 | std::to_integer<std::uint32_t>(p[1]);
}

std::uint32_t be32(const std::byte* p) {
  return be16(p) << 16 | be16(p + 2);
}

}  // namespace

std::uint32_t rss_hash_ipv4(std::uint32_t source, std::uint32_t destination) {
  return hash_word(0, source) ^ hash_word(4, destination);
}

std::uint32_t rss_hash_tcp_ipv4(std::uint32_t source, std::uint32_t destination,
                                std::uint16_t source_port, std::uint16_t destination_port) {
  return rss_hash_ipv4(source, destination) ^
         hash_word(8, std::uint32_t{source_port} << 16 | destination_port);
}

std::uint32_t rss_hash_frame(std::span<const std::byte> frame) {
  constexpr std::size_t kEthernet = 14;
  if (frame.size() < kEthernet + 20 || be16(&frame[12]) != 0x0800) return 0;
  const std::byte* ip = &frame[kEthernet];
  const std::uint32_t hash = rss_hash_ipv4(be32(ip + 12), be32(ip + 16));
  const std::size_t header = (std::to_integer<std::size_t>(ip[0]) & 0xf) * 4;
  const bool fragment = (be16(ip + 6) & 0x3fff) != 0;
  const bool has_ports = ip[9] == std::byte{6} || ip[9] == std::byte{17};
  if (fragment || !has_ports || header < 20 || frame.size() < kEthernet + header + 4) return hash;
  return hash ^ hash_word(8, be32(ip + header));
}

}  // namespace stackrig::nmio
