// SPDX-License-Identifier: Apache-2.0
// The queue behind BufferedSocket: content in one piece, room that counts once half is consumed.
extern "C" {
#include "byte_queue.h"
}

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <string>

namespace {

class ByteQueueTest : public testing::Test {
 protected:
  void make(u32 capacity) { ASSERT_EQ(byte_queue_init(&queue_, capacity), 0); }
  ~ByteQueueTest() override { byte_queue_free(&queue_); }

  std::string content() {
    return {reinterpret_cast<const char*>(byte_queue_front(&queue_)), byte_queue_size(&queue_)};
  }
  int append(std::string_view bytes) {
    return byte_queue_append(&queue_, bytes.data(), static_cast<u32>(bytes.size()));
  }

  byte_queue queue_{};
};

TEST_F(ByteQueueTest, WhatIsAppendedIsInFront) {
  make(8);
  EXPECT_EQ(append("abc"), 0);
  EXPECT_EQ(append("de"), 0);
  EXPECT_EQ(content(), "abcde");
}

TEST_F(ByteQueueTest, AllOrNothingIsAppended) {
  make(4);
  EXPECT_EQ(append("abc"), 0);
  EXPECT_EQ(append("de"), -EAGAIN);
  EXPECT_EQ(content(), "abc");
  EXPECT_EQ(append("d"), 0);
}

TEST_F(ByteQueueTest, ConsumesNoMoreThanThereIs) {
  make(4);
  append("abc");
  EXPECT_EQ(byte_queue_consume(&queue_, 2), 2U);
  EXPECT_EQ(content(), "c");
  EXPECT_EQ(byte_queue_consume(&queue_, 5), 1U);
  EXPECT_EQ(byte_queue_size(&queue_), 0U);
}

TEST_F(ByteQueueTest, RoomInFrontCountsOnceHalfIsConsumed) {
  make(8);
  append("abcdefgh");
  byte_queue_consume(&queue_, 3);
  EXPECT_EQ(append("i"), -EAGAIN);
  byte_queue_consume(&queue_, 1);
  EXPECT_EQ(append("ijkl"), 0);
  EXPECT_EQ(content(), "efghijkl");
}

TEST_F(ByteQueueTest, AnEmptyQueueHasAllItsRoom) {
  make(8);
  append("abcdef");
  byte_queue_consume(&queue_, 6);
  EXPECT_EQ(append("ghijklmn"), 0);
}

TEST_F(ByteQueueTest, FitMovesWhereThatIsEnough) {
  make(8);
  append("abcdefgh");
  byte_queue_consume(&queue_, 2);
  EXPECT_EQ(byte_queue_fit(&queue_, 8), 0);
  EXPECT_EQ(queue_.capacity, 8U);
  EXPECT_EQ(append("ij"), 0);
  EXPECT_EQ(content(), "cdefghij");
}

TEST_F(ByteQueueTest, FitGrowsWhereItIsNot) {
  make(8);
  append("abcdefgh");
  byte_queue_consume(&queue_, 2);
  EXPECT_EQ(byte_queue_fit(&queue_, 100), 0);
  EXPECT_EQ(append(std::string(94, 'x')), 0);
  EXPECT_EQ(content(), "cdefgh" + std::string(94, 'x'));
}

TEST_F(ByteQueueTest, ALongSequenceIsWhatADequeWouldDo) {
  make(64);
  std::mt19937 random(4);
  std::deque<char> model;
  for (int step = 0; step < 100000; ++step) {
    const u32 count = random() % 40;
    if (random() % 2 == 0) {
      const std::string bytes(count, static_cast<char>('a' + step % 26));
      if (append(bytes) == 0) model.insert(model.end(), bytes.begin(), bytes.end());
    } else {
      const u32 taken = byte_queue_consume(&queue_, count);
      model.erase(model.begin(), model.begin() + taken);
    }
    ASSERT_EQ(content(), std::string(model.begin(), model.end()));
  }
}

}  // namespace
