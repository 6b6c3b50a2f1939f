// SPDX-License-Identifier: Apache-2.0
// TCP options: a walk that no list of bytes can lead astray, and the writer.
#include "wire/tcp_options.h"

#include <algorithm>
#include <cstring>

namespace stackrig::wire {
namespace {

std::uint32_t load32(const std::byte* p) {
  std::uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}

void store32(std::byte* p, std::uint32_t v) {
  v = __builtin_bswap32(v);
  std::memcpy(p, &v, sizeof v);
}

// `at` points to the option's kind, `length` counts kind and length bytes too.
void parse_option(TcpOptions& o, const std::byte* at, std::size_t length) {
  const std::byte* value = at + 2;
  switch (std::to_integer<std::uint8_t>(at[0])) {
    case kTcpOptionMss:
      if (length == 4) {
        o.mss = static_cast<std::uint16_t>(std::to_integer<unsigned>(value[0]) << 8 |
                                           std::to_integer<unsigned>(value[1]));
      }
      break;
    case kTcpOptionWindowScale:
      if (length == 3) {
        o.window_scale = static_cast<std::uint8_t>(
            std::min(std::to_integer<unsigned>(value[0]), kMaxWindowScale));
      }
      break;
    case kTcpOptionSackPermitted:
      if (length == 2) o.sack_permitted = true;
      break;
    case kTcpOptionSack:
      if (length < 10 || (length - 2) % 8 != 0) break;
      o.sack_blocks = static_cast<unsigned>(std::min<std::size_t>((length - 2) / 8, o.sack.size()));
      for (unsigned i = 0; i < o.sack_blocks; ++i) {
        o.sack[i] = {load32(value + 8U * i), load32(value + 8U * i + 4)};
      }
      break;
    case kTcpOptionTimestamps:
      if (length == 10) o.timestamps = Timestamps{load32(value), load32(value + 4)};
      break;
    default:
      break;
  }
}

// SACK blocks that find room beside the other options.
unsigned sack_blocks_that_fit(std::size_t used, unsigned wanted) {
  const std::size_t room = kTcpOptionsMax - used;
  if (wanted == 0 || room < 4 + 8) return 0;
  return std::min<unsigned>(wanted, static_cast<unsigned>((room - 4) / 8));
}

std::size_t size_without_sack(const TcpOptions& o) {
  return (o.mss ? 4U : 0U) + (o.window_scale ? 4U : 0U) +
         (o.timestamps ? kTimestampsAligned : (o.sack_permitted ? 4U : 0U));
}

}  // namespace

bool TcpOptions::parse(std::span<const std::byte> bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto kind = std::to_integer<std::uint8_t>(bytes[at]);
    if (kind == kTcpOptionEnd) return true;
    if (kind == kTcpOptionNop) {
      ++at;
      continue;
    }
    if (bytes.size() - at < 2) return false;
    const auto length = std::to_integer<std::size_t>(bytes[at + 1]);
    if (length < 2 || length > bytes.size() - at) return false;
    parse_option(*this, bytes.data() + at, length);
    at += length;
  }
  return true;
}

std::size_t TcpOptions::size() const {
  const std::size_t base = size_without_sack(*this);
  const unsigned blocks = sack_blocks_that_fit(base, sack_blocks);
  return base + (blocks > 0 ? 4U + 8U * blocks : 0U);
}

std::size_t TcpOptions::emit(std::span<std::byte> out) const {
  std::byte* p = out.data();
  const auto head = [&p](std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    p[0] = std::byte{a};
    p[1] = std::byte{b};
    p[2] = std::byte{c};
    p[3] = std::byte{d};
    p += 4;
  };
  if (mss) {
    head(kTcpOptionMss, 4, static_cast<std::uint8_t>(*mss >> 8), static_cast<std::uint8_t>(*mss));
  }
  if (window_scale) head(kTcpOptionNop, kTcpOptionWindowScale, 3, *window_scale);
  if (timestamps) {
    // SACK-permitted takes the place of the two NOPs, as Linux sends it: the SYN's options stay
    // short.
    const std::uint8_t a = sack_permitted ? kTcpOptionSackPermitted : kTcpOptionNop;
    const std::uint8_t b = sack_permitted ? 2 : kTcpOptionNop;
    head(a, b, kTcpOptionTimestamps, 10);
    store32(p, timestamps->value);
    store32(p + 4, timestamps->echo);
    p += 8;
  } else if (sack_permitted) {
    head(kTcpOptionNop, kTcpOptionNop, kTcpOptionSackPermitted, 2);
  }
  const unsigned blocks = sack_blocks_that_fit(size_without_sack(*this), sack_blocks);
  if (blocks > 0) {
    head(kTcpOptionNop, kTcpOptionNop, kTcpOptionSack, static_cast<std::uint8_t>(2 + 8 * blocks));
    for (unsigned i = 0; i < blocks; ++i) {
      store32(p, sack[i].left);
      store32(p + 4, sack[i].right);
      p += 8;
    }
  }
  return static_cast<std::size_t>(p - out.data());
}

bool TcpOptions::operator==(const TcpOptions& o) const {
  return mss == o.mss && window_scale == o.window_scale && sack_permitted == o.sack_permitted &&
         timestamps == o.timestamps && sack_blocks == o.sack_blocks &&
         std::equal(sack.begin(), sack.begin() + sack_blocks, o.sack.begin());
}

}  // namespace stackrig::wire
