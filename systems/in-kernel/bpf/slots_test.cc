// SPDX-License-Identifier: Apache-2.0
#include "slots.h"

#include <gtest/gtest.h>

#include "byte_queue.h"

namespace stackrig::in_kernel {
namespace {

using std::chrono::milliseconds;

constexpr Slots::Clock::time_point kStart{};

TEST(Slots, AreAllHandedOutAndThenThereIsNone) {
  Slots slots(3);
  EXPECT_EQ(slots.take(kStart), 0U);
  EXPECT_EQ(slots.take(kStart), 1U);
  EXPECT_EQ(slots.take(kStart), 2U);
  EXPECT_EQ(slots.take(kStart), std::nullopt);
}

TEST(Slots, RestBeforeTheyAreHandedOutAgain) {
  Slots slots(1);
  slots.take(kStart);
  slots.give_back(0, kStart);
  EXPECT_EQ(slots.take(kStart), std::nullopt);
  EXPECT_EQ(slots.take(kStart + Slots::kRest - milliseconds(1)), std::nullopt);
  EXPECT_EQ(slots.take(kStart + Slots::kRest), 0U);
}

TEST(Slots, TheOneThatRestedLongestComesFirst) {
  Slots slots(8);
  for (int i = 0; i < 3; ++i) slots.take(kStart);
  slots.give_back(2, kStart);
  slots.give_back(0, kStart + milliseconds(1));
  const auto later = kStart + Slots::kRest + milliseconds(1);
  EXPECT_EQ(slots.take(later), 2U);
  EXPECT_EQ(slots.take(later), 0U);
  EXPECT_EQ(slots.take(later), 3U);
}

TEST(ByteQueue, GivesWhatItGotInOrder) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  ByteQueue queue;
  EXPECT_LT(queue.receive(pair[1], 100), 0) << "nothing is there, and it does not wait";
  unsigned next_in = 0, next_out = 0;
  for (int turn = 0; turn < 1000; ++turn) {
    for (int i = 0; i < 7; ++i) {
      const auto byte = static_cast<std::byte>(next_in++);
      ASSERT_EQ(::send(pair[0], &byte, 1, 0), 1);
    }
    ASSERT_EQ(queue.receive(pair[1], 100), 7);
    const std::size_t take = turn % 3 == 0 ? queue.front().size() : 1;
    for (std::size_t i = 0; i < take; ++i)
      ASSERT_EQ(queue.front()[i], static_cast<std::byte>(next_out++));
    queue.take(take);
    ASSERT_EQ(queue.front().size(), next_in - next_out);
    ASSERT_EQ(queue.empty(), next_in == next_out);
  }
  ::close(pair[0]);
  ::close(pair[1]);
}

}  // namespace
}  // namespace stackrig::in_kernel
