// SPDX-License-Identifier: Apache-2.0
#include "tcpip/options.h"

#include <algorithm>

#include "wire/byte_order.h"

namespace stackrig::tcpip {
namespace {

std::uint32_t load32(const std::byte* p) {
  std::uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}

void take_sack(const std::byte* at, std::size_t length, SegmentIn& s) {
  s.sack_blocks = static_cast<std::uint32_t>(std::min((length - 2) / 8, s.sack.size()));
  for (unsigned i = 0; i < s.sack_blocks; ++i) {
    const std::byte* b = at + 2 + std::size_t{8} * i;
    s.sack[i] = {load32(b), load32(b + 4)};
  }
}

// A known option of a wrong length is passed over (RFC 9293 3.1), so is an unknown one.
void take_option(const std::byte* at, std::size_t length, SegmentIn& s) {
  switch (std::to_integer<std::uint8_t>(at[0])) {
    case wire::kTcpOptionMss:
      if (length == 4 && s.packet_was_syn) s.mss = static_cast<std::uint16_t>(load32(at));
      break;
    case wire::kTcpOptionWindowScale:
      if (length == 3 && s.packet_was_syn) {
        s.window_scale = static_cast<std::uint8_t>(
            std::min(std::to_integer<unsigned>(at[2]), wire::kMaxWindowScale));
      }
      break;
    case wire::kTcpOptionTimestamps:
      if (length == 10) {
        s.has_timestamps = true;
        s.ts_value = load32(at + 2);
        s.ts_echo = load32(at + 6);
      }
      break;
    case wire::kTcpOptionUserTimeout:
      if (length == 4 && s.packet_was_syn) s.user_timeout = static_cast<std::uint16_t>(load32(at));
      break;
    case wire::kTcpOptionSackPermitted:
      if (length == 2 && s.packet_was_syn) s.sack_permitted = true;
      break;
    case wire::kTcpOptionSack:
      if (length >= 10 && (length - 2) % 8 == 0 && !s.packet_was_syn) take_sack(at, length, s);
      break;
    default:
      break;
  }
}

}  // namespace

bool parse_options_slowly(std::span<const std::byte> options, SegmentIn& s) {
  const std::byte* at = options.data();
  const std::byte* const end = at + options.size();
  while (at < end) {
    const auto kind = std::to_integer<std::uint8_t>(*at);
    if (kind == wire::kTcpOptionEnd) return true;
    if (kind == wire::kTcpOptionNop) {
      ++at;
      continue;
    }
    if (end - at < 2) return false;
    const auto length = std::to_integer<std::size_t>(at[1]);
    if (length < 2 || length > static_cast<std::size_t>(end - at)) return false;
    take_option(at, length, s);
    at += length;
  }
  return true;
}

}  // namespace stackrig::tcpip
