// SPDX-License-Identifier: Apache-2.0
// A window grows only where it is in use, and what congestion makes of it follows from what was in
// use, not from how much of a response happened to be left when it showed (RFC 7661, RFC 9438 4.6).
#include <gtest/gtest.h>

#include <memory>

#include "tcpip/sack_sender.h"

namespace stackrig::tcpip::testing {
namespace {

/// Writes and delivers `responses` of `segments` each, one after the other.
struct Responses {
  explicit Responses(unsigned first, const Config& c = sender_config()) : f(c, false, first) {
    at = first;
  }
  void write(unsigned segments) {
    body = std::make_unique<StringOwner>(pattern(segments * std::size_t{1000}));
    f.s.stack.tcp_write(f.tcb(), *body, 1, body->size(), f.s.now);
    f.s.tick();
    at += segments;
  }
  /// Takes the whole of it, window by window.
  void deliver(Time rtt = Sender::kRtt) {
    for (std::uint32_t una = at - (f.tcb().queued / 1000); una < at;) {
      const auto got = f.sent();
      if (got.empty()) break;
      f.s.advance(rtt);
      for (const std::uint32_t n : got) f.ack(una = n + 1);
    }
  }
  Sender f;
  std::unique_ptr<StringOwner> body;
  std::uint32_t at = 0;
};

TEST(WindowUse, TheEndOfAResponseThatIsLostDoesNotMakeAFewSegmentsTheWindow) {
  Responses r(10);
  r.deliver();
  r.write(14);
  ASSERT_EQ(r.f.sent().size(), 14U) << "slow start took the window there";
  r.f.s.advance(Sender::kRtt);
  r.f.ack(22);              // all but the last two,
  r.f.ack(22, {{23, 24}});  // of which the second arrived
  ASSERT_GE(r.f.tcb().cc.cwnd, 20'000U);
  r.f.s.advance(Sender::kRtt);  // RACK's window has passed
  EXPECT_EQ(r.f.sent(), Sender::V{22});
  EXPECT_EQ(r.f.counters().fast_retransmits, 1U);
  EXPECT_EQ(r.f.tcb().cc.ssthresh, 10'000U) << "half of twice the initial window, not of two";
}

TEST(WindowUse, AWindowThatNobodyUsedLatelyIsNotWhatThePathCarries) {
  Responses r(10);
  r.deliver();
  r.write(20);
  r.deliver();
  ASSERT_GE(r.f.tcb().cc.cwnd, 30'000U);
  // Two segments at a time, more often than once in an RTO, for some seconds.
  for (unsigned i = 0; i < 60; ++i) {
    r.write(2);
    r.deliver(100 * kMillisecond);
  }
  ASSERT_GE(r.f.tcb().cc.cwnd, 30'000U) << "kept for five minutes (RFC 7661 4.4)";
  r.write(4);
  ASSERT_EQ(r.f.sent().size(), 4U);
  r.f.s.advance(Sender::kRtt);
  r.f.ack(r.at - 4, {{r.at - 3, r.at}});
  EXPECT_EQ(r.f.counters().fast_retransmits, 1U);
  EXPECT_EQ(r.f.tcb().cc.ssthresh, 10'000U) << "half of twice the initial window";
}

TEST(WindowUse, AllThatWasSentUntilTheWindowWasFullCountsForIt) {
  Responses r(12);
  Tcb& t = r.f.tcb();
  t.cc.ssthresh = t.cc.cwnd;
  ASSERT_EQ(r.f.sent().size(), 10U);
  r.f.s.advance(Sender::kRtt);
  r.f.ack(2);
  ASSERT_EQ(r.f.sent().size(), 2U) << "the last, with which the window is not full";
  r.f.ack(8);
  r.f.ack(12);  // of what was in flight together with eight others, though by now they are four
  EXPECT_EQ(t.cc.cwnd, 11'000U);
}

TEST(WindowUse, InSlowStartItGrowsToTwiceWhatWasInFlight) {
  Config c = sender_config();
  c.congestion_control = CongestionControl::cubic;
  Responses r(10, c);
  r.deliver();
  EXPECT_EQ(r.f.tcb().cc.cwnd, 20'000U);
  for (unsigned i = 0; i < 10; ++i) {
    r.write(10);
    r.deliver();
  }
  EXPECT_LE(r.f.tcb().cc.cwnd, 21'000U);
}

TEST(WindowUse, WhatFitsDoesNotMakeItGrow) {
  Responses r(8);
  Tcb& t = r.f.tcb();
  t.cc.ssthresh = t.cc.cwnd = 10'000;
  for (unsigned i = 0; i < 20; ++i) {
    r.deliver();
    r.write(8);
  }
  EXPECT_EQ(t.cc.cwnd, 10'000U);
}

TEST(WindowUse, AWindowThatIdlenessCutDoesNotComeBackAtOnce) {
  Config c = sender_config();
  c.congestion_control = CongestionControl::cubic;
  Responses r(60, c);
  Tcb& t = r.f.tcb();
  // Congestion avoidance, where Reno's window (RFC 9438 4.3) is beyond the curve.
  t.cc.ssthresh = t.cc.cwnd;
  for (unsigned i = 0; i < 60; ++i) {
    r.deliver();
    r.write(60);
  }
  r.deliver();
  ASSERT_GT(t.cc.cwnd, 20'000U);
  r.f.s.advance(10 * kSecond);
  r.f.s.forget();
  r.write(30);
  EXPECT_EQ(t.cc.cwnd, 10'000U) << "RFC 5681 4.1";
  const auto first = r.f.sent();
  ASSERT_EQ(first.size(), 10U);
  r.f.s.advance(Sender::kRtt);
  r.f.ack(first.back() + 1);
  EXPECT_LE(t.cc.cwnd, 20'000U);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
