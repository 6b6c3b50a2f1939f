// SPDX-License-Identifier: Apache-2.0
#include "delaybox/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/errors.h"

namespace stackrig::delaybox {
namespace {

using nmio::kMicrosecond;
using nmio::kMillisecond;
using ::testing::HasSubstr;

LinkConfig read(const char* text) {
  return parse_link("--both", text);
}

std::string error(const char* text) {
  try {
    read(text);
  } catch (const runtime::UsageError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Link, NothingSaidIsAWire) {
  const LinkConfig l = read("");
  EXPECT_EQ(l.delay_of(0), 0U);
  EXPECT_EQ(l.loss, 0);
  EXPECT_EQ(l.rate, 0U);
}

TEST(Link, EveryWordIsRead) {
  const LinkConfig l =
      read("delay=2.5ms,loss=0.1%,rate=400M,queue=250k,reorder=0.02,reorder-by=800us");
  EXPECT_EQ(l.delay_of(0), 2500 * kMicrosecond);
  EXPECT_DOUBLE_EQ(l.loss, 0.001);
  EXPECT_EQ(l.rate, 400'000'000U);
  EXPECT_EQ(l.queue_bytes, 250'000U);
  EXPECT_DOUBLE_EQ(l.reorder, 0.02);
  EXPECT_EQ(l.reorder_by, 800 * kMicrosecond);
  EXPECT_EQ(describe(l),
            "delay 2.5 ms, loss 0.1 %, rate 400000000 bit/s behind 250000 bytes, reorder 2 % by "
            "0.8 ms");
}

TEST(Link, BandsAreSpreadFromTheFirstToTheLast) {
  const LinkConfig l = read("bands=10ms-40ms/4");
  ASSERT_EQ(l.bands, 4U);
  EXPECT_EQ(l.delay_of(0), 10 * kMillisecond);
  EXPECT_EQ(l.delay_of(1), 20 * kMillisecond);
  EXPECT_EQ(l.delay_of(3), 40 * kMillisecond);
}

TEST(Link, AQueueThatIsNotSaidHoldsFiftyMilliseconds) {
  EXPECT_EQ(read("rate=80M").queue_bytes, 500'000U);
}

TEST(Link, WhatCannotBeIsRefusedWithWhatCan) {
  EXPECT_THAT(error("delay"), HasSubstr("'delay' is not key=value"));
  EXPECT_THAT(error("dealy=1ms"), HasSubstr("did you mean 'delay'?"));
  EXPECT_THAT(error("delay=10"), HasSubstr("with its unit"));
  EXPECT_THAT(error("delay=11s"), HasSubstr("up to 10 s"));
  EXPECT_THAT(error("delay=-1ms"), HasSubstr("with its unit"));
  EXPECT_THAT(error("delay=1ms,delay=2ms"), HasSubstr("given twice"));
  EXPECT_THAT(error("loss=101%"), HasSubstr("as in 1% or 0.01"));
  EXPECT_THAT(error("loss=1ms"), HasSubstr("as in 1% or 0.01"));
  EXPECT_THAT(error("rate=fast"), HasSubstr("bits per second"));
  EXPECT_THAT(error("queue=1M"), HasSubstr("add rate="));
  EXPECT_THAT(error("bands=10ms-40ms"), HasSubstr("10ms-40ms/16"));
  EXPECT_THAT(error("bands=40ms-10ms/4"), HasSubstr("10ms-40ms/16"));
  EXPECT_THAT(error("bands=1ms-2ms/1"), HasSubstr("2 to 1024 bands"));
  EXPECT_THAT(error("delay=1ms,bands=1ms-2ms/4"), HasSubstr("exclude each other"));
}

}  // namespace
}  // namespace stackrig::delaybox
