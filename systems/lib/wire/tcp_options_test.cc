// SPDX-License-Identifier: Apache-2.0
#include "wire/tcp_options.h"

#include <gtest/gtest.h>

#include <array>
#include <initializer_list>
#include <random>
#include <vector>

namespace stackrig::wire {
namespace {

std::vector<std::byte> raw(std::initializer_list<unsigned> values) {
  std::vector<std::byte> v;
  for (const unsigned x : values) v.push_back(static_cast<std::byte>(x));
  return v;
}

TcpOptions parsed(const std::vector<std::byte>& bytes, bool whole = true) {
  TcpOptions o;
  EXPECT_EQ(o.parse(bytes), whole);
  return o;
}

std::vector<std::byte> emitted(const TcpOptions& o) {
  std::vector<std::byte> out(kTcpOptionsMax);
  out.resize(o.emit(out));
  EXPECT_EQ(out.size(), o.size());
  EXPECT_EQ(out.size() % 4, 0U);
  return out;
}

TEST(TcpOptions, TheSynOfALinuxHost) {
  const TcpOptions o =
      parsed(raw({2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 1, 2, 0, 0, 0, 0, 1, 3, 3, 7}));
  EXPECT_EQ(o.mss, 1460);
  EXPECT_TRUE(o.sack_permitted);
  EXPECT_EQ(o.window_scale, 7);
  EXPECT_EQ(o.timestamps, (Timestamps{0x102, 0}));
}

TEST(TcpOptions, SackBlocks) {
  const TcpOptions o =
      parsed(raw({1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9}));
  ASSERT_EQ(o.sack_blocks, 2U);
  EXPECT_EQ(o.sack[0], (SackBlock{1, 2}));
  EXPECT_EQ(o.sack[1], (SackBlock{0xffffffff, 9}));
}

TEST(TcpOptions, AnUnknownOptionIsPassedOver) {
  EXPECT_EQ(parsed(raw({254, 4, 9, 9, 2, 4, 2, 0})).mss, 512);
}

TEST(TcpOptions, AKnownOptionOfAWrongLengthIsPassedOver) {
  const TcpOptions o =
      parsed(raw({2, 3, 9, 3, 4, 1, 1, 4, 3, 1, 8, 4, 0, 0, 5, 9, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(o, TcpOptions{});
}

TEST(TcpOptions, NothingBehindTheEndIsRead) {
  EXPECT_FALSE(parsed(raw({0, 2, 4, 5, 0xb4})).mss);
}

TEST(TcpOptions, ALengthThatLeadsAstrayStopsTheWalk) {
  EXPECT_EQ(parsed(raw({2, 4, 2, 0, 8, 0, 3, 3, 7}), false).mss, 512);
  EXPECT_FALSE(parsed(raw({8, 1, 3, 3, 7}), false).window_scale);
  EXPECT_FALSE(parsed(raw({2, 40, 5, 0xb4}), false).mss);
  parsed(raw({1, 1, 3}), false);
}

TEST(TcpOptions, AWindowScaleAbove14Is14) {
  EXPECT_EQ(parsed(raw({3, 3, 200})).window_scale, 14);
}

TEST(TcpOptions, WhatIsEmittedIsParsedAgain) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 3000; ++round) {
    TcpOptions o;
    if (random() % 2 != 0) o.mss = static_cast<std::uint16_t>(random());
    if (random() % 2 != 0) o.window_scale = static_cast<std::uint8_t>(random() % 15);
    o.sack_permitted = random() % 2 != 0;
    if (random() % 2 != 0) {
      o.timestamps =
          Timestamps{static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random())};
    }
    o.sack_blocks = static_cast<unsigned>(random() % 5);
    for (unsigned i = 0; i < o.sack_blocks; ++i) {
      o.sack[i] = {static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random())};
    }
    const auto bytes = emitted(o);
    ASSERT_LE(bytes.size(), kTcpOptionsMax);
    const TcpOptions back = parsed(bytes);
    ASSERT_LE(back.sack_blocks, o.sack_blocks);
    o.sack_blocks = back.sack_blocks;  // blocks that found no room
    ASSERT_EQ(back, o);
  }
}

TEST(TcpOptions, ThreeSackBlocksFitBesideTimestamps) {
  TcpOptions o;
  o.timestamps = Timestamps{1, 2};
  o.sack_blocks = 4;
  EXPECT_EQ(parsed(emitted(o)).sack_blocks, 3U);
}

TEST(TcpOptions, TheAlignedTimestampsHaveAShortWay) {
  TcpOptions o;
  o.timestamps = Timestamps{0x01020304, 0xfffefdfc};
  const auto bytes = emitted(o);
  EXPECT_EQ(only_timestamps(bytes.data(), bytes.size()), o.timestamps);
  const auto other = raw({8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1});
  EXPECT_FALSE(only_timestamps(other.data(), other.size()));
  EXPECT_FALSE(only_timestamps(bytes.data(), 8));
}

TEST(TcpOptions, RandomBytesAreNeverReadPastTheirEnd) {
  std::mt19937_64 random(6);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> bytes(random() % (kTcpOptionsMax + 1));  // the address sanitizer watches
    for (std::byte& b : bytes)
      b = static_cast<std::byte>(random() % 16 < 12 ? random() % 12 : random());
    TcpOptions o;
    o.parse(bytes);
    ASSERT_LE(o.sack_blocks, TcpOptions::kMaxSackBlocks);
  }
}

}  // namespace
}  // namespace stackrig::wire
