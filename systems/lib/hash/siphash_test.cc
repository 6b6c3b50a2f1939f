// SPDX-License-Identifier: Apache-2.0
#include "hash/siphash.h"

#include <gtest/gtest.h>

namespace stackrig::hash {
namespace {

// Key 00..0f, message 00 01 02 ... as in the reference implementation (Aumasson and Bernstein).
constexpr std::uint64_t kKey[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
constexpr std::uint64_t kWords[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

TEST(SipHash24, MatchesThePublishedVectors) {
  EXPECT_EQ((siphash<2, 4>(kKey, kWords, 0)), 0x726fdb47dd0e0e31u);
  EXPECT_EQ((siphash<2, 4>(kKey, kWords, 1)), 0x93f5f5799a932462u);
  EXPECT_EQ((siphash<2, 4>(kKey, kWords, 2)), 0x3f2acc7f57c29bdbu);
}

TEST(SipHash13, MatchesThePublishedVectors) {
  EXPECT_EQ((siphash<1, 3>(kKey, kWords, 0)), 0xabac0158050fc4dcu);
  EXPECT_EQ((siphash<1, 3>(kKey, kWords, 1)), 0x369095118d299a8eu);
  EXPECT_EQ((siphash<1, 3>(kKey, kWords, 2)), 0xcc4fdd1a7d908b66u);
}

TEST(SipHash24, TheLastWordHoldsTheBytesLeftOver) {
  SipHash<2, 4> h(kKey);  // 00 01 02: 3 bytes left over, the length on top
  EXPECT_EQ(h.finish(0x020100U | std::uint64_t{3} << 56), 0x85676696d7fb7e2du);
}

}  // namespace
}  // namespace stackrig::hash
