// SPDX-License-Identifier: Apache-2.0
#include "delaybox/buckets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <vector>

namespace stackrig::delaybox {
namespace {

constexpr Time kTick = Time{1} << Buckets::kTickShift;
constexpr Time kStart = nmio::kSecond;

struct Sent {
  ChunkId chunk;
  std::uint32_t len;
  Time due;
};

std::vector<Sent> released(Buckets& b, Time now, std::size_t room = 1000) {
  std::vector<Sent> out;
  b.release(now, [&](ChunkId chunk, std::uint32_t len, Time due) {
    if (out.size() == room) return false;
    out.push_back({chunk, len, due});
    return true;
  });
  return out;
}

TEST(Buckets, APacketLeavesAtItsTimeAndNotBefore) {
  Buckets b(2, 16, kStart);
  const Time due = kStart + 5 * nmio::kMillisecond + 1;
  b.hold(1, 7, 100, due);
  EXPECT_EQ(b.held(), 1U);
  EXPECT_TRUE(released(b, due - 1).empty());
  const auto out = released(b, due + kTick);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].chunk, 7U);
  EXPECT_EQ(out[0].len, 100U);
  EXPECT_EQ(out[0].due, due);
  EXPECT_EQ(b.held(), 0U);
  EXPECT_EQ(b.next_deadline(), nmio::kNever);
}

TEST(Buckets, ABucketKeepsItsOrder) {
  Buckets b(1, 64, kStart);
  for (ChunkId c = 0; c < 64; ++c) b.hold(0, 63 - c, c, kStart + 1000 + c / 8);
  const auto out = released(b, kStart + 10 * kTick);
  ASSERT_EQ(out.size(), 64U);
  for (ChunkId c = 0; c < 64; ++c) EXPECT_EQ(out[c].chunk, 63 - c);
}

TEST(Buckets, WhatFindsNoRoomIsTriedAgainInOrder) {
  Buckets b(1, 64, kStart);
  for (ChunkId c = 0; c < 10; ++c) b.hold(0, c, 60, kStart + 1000);
  EXPECT_EQ(released(b, kStart + kTick, 4).size(), 4U);
  EXPECT_EQ(b.held(), 6U);
  EXPECT_LE(b.next_deadline(), kStart + 3 * kTick);
  const auto rest = released(b, kStart + 3 * kTick);
  ASSERT_EQ(rest.size(), 6U);
  EXPECT_EQ(rest[0].chunk, 4U);
}

TEST(Buckets, AgreesWithASortedListOverARandomLife) {
  constexpr unsigned kBuckets = 5;
  std::mt19937 random(7);
  Buckets b(kBuckets, 4096, kStart);
  std::multimap<Time, ChunkId> model;
  std::vector<ChunkId> free(4096);
  for (ChunkId c = 0; c < free.size(); ++c) free[c] = c;
  std::array<Time, kBuckets> last{};
  Time now = kStart;
  for (int i = 0; i < 100'000; ++i) {
    now += random() % (2 * kTick);
    for (unsigned n = random() % 3; n != 0 && !free.empty(); --n) {
      const unsigned bucket = random() % kBuckets;
      const Time due = now + bucket * 700'000;
      ASSERT_GE(due, last[bucket]);
      last[bucket] = due;
      b.hold(bucket, free.back(), 60, due);
      model.emplace(due, free.back());
      free.pop_back();
    }
    for (const Sent& s : released(b, now)) {
      ASSERT_LE(s.due, now);
      const auto [from, to] = model.equal_range(s.due);
      const auto at = std::find_if(from, to, [&](const auto& e) { return e.second == s.chunk; });
      ASSERT_NE(at, to);
      model.erase(at);
      free.push_back(s.chunk);
    }
    const Time first = model.empty() ? nmio::kNever - kTick : model.begin()->first;
    ASSERT_GT(first + kTick, now) << "one is late by a tick";
    ASSERT_EQ(b.held(), model.size());
  }
}

}  // namespace
}  // namespace stackrig::delaybox
