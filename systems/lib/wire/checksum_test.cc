// SPDX-License-Identifier: Apache-2.0
#include "wire/checksum.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "wire/byte_order.h"

namespace stackrig::wire {
namespace {

// RFC 1071 section 4.1, word by word in network order; the answer is in memory order.
std::uint16_t naive(std::span<const std::byte> data) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < data.size(); i += 2) {
    const auto high = std::to_integer<unsigned>(data[i]);
    const auto low = i + 1 < data.size() ? std::to_integer<unsigned>(data[i + 1]) : 0U;
    total += high << 8 | low;
  }
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return __builtin_bswap16(static_cast<std::uint16_t>(total));
}

std::vector<std::byte> random_bytes(std::mt19937_64& random, std::size_t n) {
  std::vector<std::byte> v(n);
  for (std::byte& b : v) b = static_cast<std::byte>(random());
  return v;
}

TEST(Checksum, TheExampleOfRfc1071) {
  const std::array<std::uint8_t, 8> data = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(__builtin_bswap16(fold(sum(data.data(), data.size()))), 0xddf2);
}

TEST(Checksum, AKnownIpv4Header) {
  const std::array<std::uint8_t, 20> header = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40,
                                               0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8,
                                               0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
  EXPECT_EQ(fold(sum(header.data(), header.size())), 0xffff);
  EXPECT_EQ(sum20(header.data()), 0xffff);
  auto broken = header;
  broken[3] ^= 1;
  EXPECT_NE(sum20(broken.data()), 0xffff);
}

TEST(Checksum, AgreesWithTheNaiveSumForEveryLengthAndAlignment) {
  std::mt19937_64 random(1);
  for (std::size_t n = 0; n < 700; ++n) {
    const std::size_t shift = random() % 17;
    auto data = random_bytes(random, n + shift);
    const std::span<const std::byte> part = std::span(data).subspan(shift);
    ASSERT_EQ(fold(sum(part)), naive(part)) << n;
  }
}

TEST(Checksum, CarriesOfAllOnesAreKept) {
  for (const std::size_t n : {2U, 64U, 66U, 1460U, 9000U, 65536U}) {
    const std::vector<std::byte> ones(n, std::byte{0xff});
    ASSERT_EQ(fold(sum(ones)), naive(ones)) << n;
    ASSERT_LT(sum(ones), PartialSum{1} << 34);
  }
}

TEST(Checksum, CopyAndSumCopiesAndSums) {
  std::mt19937_64 random(2);
  for (std::size_t n = 0; n < 300; ++n) {
    const auto from = random_bytes(random, n);
    std::vector<std::byte> to(n + 1, std::byte{0xaa});
    ASSERT_EQ(fold(copy_and_sum(to.data(), from.data(), n)), naive(from));
    ASSERT_TRUE(n == 0 || std::memcmp(to.data(), from.data(), n) == 0);
    ASSERT_EQ(to[n], std::byte{0xaa}) << "one past the end was written";
  }
}

TEST(Checksum, PartsAddUpAndAPartAtAnOddOffsetIsSwapped) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    const auto data = random_bytes(random, 1 + random() % 500);
    const std::size_t cut = random() % (data.size() + 1);
    const PartialSum first = sum(std::span(data).first(cut));
    const PartialSum second = sum(std::span(data).subspan(cut));
    ASSERT_EQ(fold(first + (cut % 2 == 0 ? second : swap_bytes(second))), naive(data));
  }
}

TEST(Checksum, ThePseudoHeaderIsThatOfRfc9293) {
  const Ipv4Address source{0xc0a80001}, destination{0x0a4d00fe};
  const std::array<std::uint8_t, 12> header = {0xc0, 0xa8, 0x00, 0x01, 0x0a, 0x4d,
                                               0x00, 0xfe, 0x00, 0x06, 0x05, 0xdc};
  EXPECT_EQ(fold(pseudo_header_sum(source, destination, 6, 1500)),
            fold(sum(header.data(), header.size())));
}

TEST(Checksum, TheExampleOfRfc1624) {
  // Section 4: HC = 0xDD2F, m = 0x5555, m' = 0x3285 gives HC' = 0x0000, where equation 2 gives
  // 0xFFFF.
  EXPECT_EQ(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
}

TEST(Checksum, UpdatesAgreeWithSummingAnew) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 2000; ++round) {
    auto data = random_bytes(random, 64);
    data[0] = std::byte{1};  // a sum of zero has two forms and does not occur in packets
    const std::uint16_t before = finish(sum(data));
    const std::size_t at = 2 + random() % 14 * 4;
    auto& field = *reinterpret_cast<Be32*>(data.data() + at);
    const std::uint32_t from = field.raw();
    const auto to = static_cast<std::uint32_t>(random());
    field.set_raw(to);
    ASSERT_EQ(update32(before, from, to), finish(sum(data)));
    const std::uint16_t step =
        update16(before, static_cast<std::uint16_t>(from), static_cast<std::uint16_t>(to));
    ASSERT_EQ(update16(step, static_cast<std::uint16_t>(from >> 16),
                       static_cast<std::uint16_t>(to >> 16)),
              finish(sum(data)));
  }
}

}  // namespace
}  // namespace stackrig::wire
