// SPDX-License-Identifier: Apache-2.0
// Losses found by time: RACK, and tail loss probes (RFC 8985).
#include <algorithm>

#include "tcpip/sack_sender.h"

namespace stackrig::tcpip::testing {
namespace {

using V = Sender::V;
constexpr Time kRtt = Sender::kRtt;

TEST(Rack, OneReportIsNotEnoughAtOnceButAQuarterOfARoundTripLater) {  // 6.2 step 4
  Sender f;
  f.sent();
  f.s.advance(kRtt);
  f.ack(0, {{1, 2}});
  EXPECT_EQ(f.sent(), V{10}) << "no retransmission yet";
  f.s.advance(kRtt / 4 - kMillisecond);
  EXPECT_EQ(f.sent(), V{});
  f.s.advance(2 * kMillisecond);
  EXPECT_EQ(f.sent().front(), 0u);
  EXPECT_EQ(f.counters().fast_retransmits, 1u);
}

TEST(Rack, ASegmentThatWasOnlyOvertakenIsNotSentAgain) {
  Sender f;
  f.sent();
  f.s.advance(kRtt);
  f.ack(0, {{1, 3}});
  f.s.advance(kRtt / 8);
  f.ack(3);
  f.s.advance(kRtt / 4);
  for (const std::uint32_t n : f.sent()) EXPECT_GE(n, 10u);
  EXPECT_EQ(f.counters().retransmits, 0u);
}

TEST(Rack, OnceReorderingWasSeenEvenManyReportsWait) {
  Sender f;
  f.sent();
  f.s.advance(kRtt);
  f.ack(0, {{1, 3}});
  f.ack(3);  // 0 came after 1 and 2: reordering
  f.sent();
  f.s.advance(kRtt / 8);
  f.ack(3, {{4, 9}});
  for (const std::uint32_t n : f.sent()) EXPECT_GE(n, 10u);
  EXPECT_EQ(f.counters().fast_retransmits, 0u);
  f.s.advance(kRtt / 2);
  EXPECT_EQ(f.counters().fast_retransmits, 1u);
}

/// Segments that went out within a 64th of a round trip share a range of the scoreboard.
TEST(Rack, ALossWithinARangeIsFoundByWhatFollowsInIt) {
  Sender f;
  f.sent();
  f.s.advance(kRtt);
  for (std::uint32_t n = 1; n <= 5; ++n) {
    f.ack(n);
    f.s.advance(kRtt / 500);
  }
  EXPECT_EQ(f.sent().size(), 10u);
  f.s.advance(kRtt);
  f.ack(10, {{11, 18}});
  f.s.advance(kRtt / 64);
  const V v = f.sent();
  EXPECT_EQ(std::count(v.begin(), v.end(), 10u), 1) << "no later range was needed";
  EXPECT_EQ(f.counters().fast_retransmits, 1u);
}

TEST(Rack, ADuplicateReportMakesItWaitLonger) {  // 6.2 step 4: DSACK
  Sender f;
  f.sent();
  f.s.advance(kRtt);
  f.ack(0, {{1, 5}});  // 0 counts as lost
  ASSERT_EQ(f.sent().front(), 0u);
  f.ack(5, {{0, 1}});  // it was not: it came twice
  EXPECT_EQ(f.counters().dsacks_in, 1u);
  f.sent();
  f.s.advance(kRtt);
  f.ack(6);
  f.sent();
  f.s.advance(kRtt / 2);
  f.ack(6, {{7, 8}});
  f.sent();
  f.s.advance(kRtt / 4 + 2 * kMillisecond);
  for (const std::uint32_t n : f.sent()) EXPECT_GE(n, 10u) << "a quarter is too early now";
}

TEST(TailLoss, IsRecoveredInTwoRoundTripsWithoutATimeout) {
  Sender f(sender_config(), false, 10);
  f.sent();
  f.s.advance(kRtt);
  f.ack(7);  // 7, 8, 9 are lost
  const Time from = f.s.now;
  f.s.until_output(kSecond);
  EXPECT_LE(f.s.now - from, 2 * kRtt + 4 * kMillisecond);
  EXPECT_EQ(f.sent(), V{9}) << "the last one asks";
  f.s.advance(kRtt);
  f.ack(7, {{9, 10}});
  f.s.advance(kRtt / 4 + kMillisecond);
  EXPECT_EQ(f.sent(), V{7});
  f.s.advance(kRtt);
  f.ack(8, {{9, 10}});
  EXPECT_EQ(f.sent(), V{8}) << "the window is down to two";
  f.s.advance(kRtt);
  f.ack(10);
  EXPECT_EQ(f.counters().rto_fired, 0u);
  EXPECT_EQ(f.counters().tail_probes, 1u);
  EXPECT_LE(f.s.now - from, 6 * kRtt);
}

TEST(TailLoss, NewBytesAskWhereThereAreSome) {
  Sender f(sender_config(), false, 12);
  f.sent();
  f.s.until_output(kSecond);  // nothing is acknowledged; the window is full, and one more goes
  EXPECT_EQ(f.sent(), V{10});
  EXPECT_EQ(f.counters().tail_probes, 1u);
}

TEST(TailLoss, ASingleSegmentWaitsForADelayedAck) {
  Sender f(sender_config(), false, 1);
  f.sent();
  const Time waited = f.s.until_output(kSecond);
  EXPECT_GE(waited, 2 * kRtt + 50 * kMillisecond - kMillisecond);
  EXPECT_LE(waited, 2 * kRtt + 52 * kMillisecond);
  EXPECT_EQ(f.sent(), V{0});
}

TEST(TailLoss, AfterTheProbeTheTimerGoesOn) {
  Sender f(sender_config(), false, 10);
  f.sent();
  f.s.advance(300 * kMillisecond);
  EXPECT_EQ(f.counters().tail_probes, 1u);
  EXPECT_EQ(f.counters().rto_fired, 1u);
  EXPECT_EQ(f.sent(), (V{9, 0}));
}

TEST(TailLoss, ThatTheProbeRepairedHalvesTheWindow) {  // 7.4.2
  Sender f(sender_config(), false, 200);
  f.sent();
  // The whole window but the last segment arrives, whose probe repairs it.
  f.s.advance(kRtt);
  f.ack(9);
  const std::uint32_t before = f.tcb().cc.cwnd;
  f.sent();
  In closed = f.ack_of(9);
  closed.window = 10;  // no new bytes: the probe is an old one
  Sender g(sender_config(), false, 10);
  g.sent();
  g.s.advance(kRtt);
  g.ack(9);
  const std::uint32_t cwnd = g.tcb().cc.cwnd;
  g.s.until_output(kSecond);
  EXPECT_EQ(g.sent(), V{9});
  g.s.advance(kRtt);
  StringOwner more(pattern(3000));
  g.ack(10);
  g.s.stack.tcp_write(g.tcb(), more, 2, more.size(), g.s.now);
  g.s.tick();
  g.sent();
  g.s.advance(kRtt);
  g.ack(13);
  EXPECT_LT(g.tcb().cc.ssthresh, cwnd);
  EXPECT_GE(before, cwnd);
}

TEST(TailLoss, ThatWasNoneCostsNothing) {  // the probe came twice
  Sender f(sender_config(), false, 10);
  f.sent();
  f.s.advance(kRtt);
  f.ack(9);
  f.s.until_output(kSecond);
  EXPECT_EQ(f.sent(), V{9});
  f.ack(10);
  f.ack(10, {{9, 10}});  // DSACK
  StringOwner more(pattern(3000));
  f.s.stack.tcp_write(f.tcb(), more, 2, more.size(), f.s.now);
  f.s.tick();
  f.sent();
  f.s.advance(kRtt);
  f.ack(13);
  EXPECT_EQ(f.tcb().cc.ssthresh, ~0U);
  EXPECT_EQ(f.counters().retransmits, 1u);
}

TEST(TailLoss, TheFinAloneIsProbedFor) {
  Sender f(sender_config(), false, 2);
  f.s.stack.tcp_close(f.tcb(), f.s.now);
  f.s.tick();
  f.sent();
  f.s.advance(kRtt);
  f.ack(2);
  f.s.until_output(kSecond);
  const Out fin = f.s.out();
  EXPECT_EQ(fin.flags(), kFin | kAck);
  EXPECT_EQ(fin.seq(), f.seq(2));
  EXPECT_EQ(f.counters().tail_probes, 1u);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
