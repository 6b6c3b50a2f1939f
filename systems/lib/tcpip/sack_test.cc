// SPDX-License-Identifier: Apache-2.0
// Selective acknowledgements: offered, given (RFC 2018, 2883), and taken (RFC 6675, 6937).
#include "tcpip/sack_sender.h"

namespace stackrig::tcpip::testing {
namespace {

using Blocks = std::vector<wire::SackBlock>;

Blocks blocks_of(const Out& o) {
  const wire::TcpOptions& t = o.tcp().options;
  return {t.sack.begin(), t.sack.begin() + t.sack_blocks};
}

TEST(SackOffer, IsAnsweredWhereThePeerMakesIt) {
  for (const bool timestamps : {false, true}) {
    for (const bool offered : {false, true}) {
      Script s;
      s.listen();
      wire::TcpOptions o;
      o.sack_permitted = offered;
      if (timestamps) o.timestamps = wire::Timestamps{1, 0};
      s.in({.flags = kSyn, .seq = 1, .options = o});
      const Out a = s.out();
      EXPECT_EQ(a.tcp().options.sack_permitted, offered);
      EXPECT_EQ(a.tcp().options.timestamps.has_value(), timestamps);
    }
  }
}

TEST(SackOffer, OffMeansOff) {
  Config c = script_config();
  c.sack = false;
  Script s(c);
  s.listen();
  s.in({.flags = kSyn, .seq = 1, .options = sack_options()});
  EXPECT_FALSE(s.out().tcp().options.sack_permitted);
}

TEST(SackOffer, SurvivesACookie) {
  Config c = script_config();
  c.max_backlog = 1;
  Script s(c);
  s.listen();
  s.in({.flags = kSyn, .seq = 1, .from_port = 9});  // fills the backlog
  s.forget();
  wire::TcpOptions o = sack_options();
  o.timestamps = wire::Timestamps{5, 0};
  s.in({.flags = kSyn, .seq = s.irs, .options = o});
  const Out cookie = s.out();
  EXPECT_EQ(s.stack.counters().syn_cookies_sent, 1u);
  EXPECT_TRUE(cookie.tcp().options.sack_permitted);
  s.iss = cookie.seq();
  s.ts_on = true;
  s.in(s.data(""));
  s.in(s.data("later", 1000));
  EXPECT_EQ(blocks_of(s.last_out()), (Blocks{{s.irs + 1001, s.irs + 1006}}));
}

// --- the receiver ---

struct Receiver : Script {
  explicit Receiver(const Config& c = script_config()) : Script(c) {
    listen();
    establish(sack_options());
    forget();
  }
  Seq at(std::uint32_t offset) const { return irs + 1 + offset; }
  Blocks after(std::uint32_t offset, std::uint32_t bytes = 100) {
    in(data(pattern(bytes, offset), offset));
    return blocks_of(last_out());
  }
};

TEST(SackGiven, TheLatestBlockComesFirst) {  // RFC 2018 4
  Receiver r;
  EXPECT_EQ(r.after(100), (Blocks{{r.at(100), r.at(200)}}));
  EXPECT_EQ(r.after(500), (Blocks{{r.at(500), r.at(600)}, {r.at(100), r.at(200)}}));
  EXPECT_EQ(r.after(300),
            (Blocks{{r.at(300), r.at(400)}, {r.at(500), r.at(600)}, {r.at(100), r.at(200)}}));
  // It joins the two that it fills the gap between.
  EXPECT_EQ(r.after(200), (Blocks{{r.at(100), r.at(400)}, {r.at(500), r.at(600)}}));
}

TEST(SackGiven, NoMoreThanFour_TheOldestIsLeftOut) {
  Receiver r;
  for (std::uint32_t i = 1; i <= 5; ++i) r.after(i * 200);
  EXPECT_EQ(r.after(1400), (Blocks{{r.at(1400), r.at(1500)},
                                   {r.at(1000), r.at(1100)},
                                   {r.at(800), r.at(900)},
                                   {r.at(600), r.at(700)}}));
}

TEST(SackGiven, WithTimestampsThreeFit) {
  Script s;
  s.listen();
  wire::TcpOptions o = sack_options();
  o.timestamps = wire::Timestamps{1, 0};
  s.establish(o);
  for (std::uint32_t i = 1; i <= 4; ++i) s.in(s.data("abc", i * 100));
  const Out ack = s.last_out();
  EXPECT_EQ(ack.tcp().options.sack_blocks, 3u);
  EXPECT_TRUE(ack.tcp().options.timestamps);
  EXPECT_EQ(ack.tcp().options.sack[0].left, s.irs + 1 + 400);
}

TEST(SackGiven, EndsWhenTheGapIsFilled) {
  Receiver r;
  r.after(100);
  r.after(300);
  EXPECT_EQ(r.after(0), (Blocks{{r.at(300), r.at(400)}}));
  EXPECT_EQ(r.after(200), Blocks{});
  EXPECT_EQ(r.app.received.size(), 400u);
}

TEST(SackGiven, NotForAPeerThatDidNotAgree) {
  Script s;
  s.listen();
  s.establish(mss_option(1000));
  s.in(s.data("abc", 100));
  EXPECT_EQ(blocks_of(s.last_out()), Blocks{});
}

TEST(SackGiven, WhatHadToBeDroppedIsNotReportedAnyMore) {
  Config c = script_config();
  c.max_held_chunks = 4;  // 4 each
  Receiver r(c);
  for (std::uint32_t i = 1; i <= 4; ++i) r.after(i * 1000, 500);
  EXPECT_EQ(r.after(6000, 500).front(), (wire::SackBlock{r.at(4000), r.at(4500)})) << "no room";
  // The bytes that fill the gap are worth more than the last ones; half a segment is left unread.
  r.app.take_at_most = 0;
  const Blocks now = r.after(0, 1000);
  for (const wire::SackBlock& b : now) EXPECT_NE(b.left, r.at(4000));
  EXPECT_FALSE(now.empty());
}

TEST(Dsack, ASegmentThatCameBeforeIsReportedFirst) {  // RFC 2883 4.1
  Receiver r;
  r.in(r.data(pattern(100), 0));
  r.forget();
  EXPECT_EQ(r.after(0), (Blocks{{r.at(0), r.at(100)}}));
  r.after(300);
  EXPECT_EQ(r.after(50, 50), (Blocks{{r.at(50), r.at(100)}, {r.at(300), r.at(400)}}));
  EXPECT_EQ(r.after(500), (Blocks{{r.at(500), r.at(600)}, {r.at(300), r.at(400)}})) << "once";
}

TEST(Dsack, OfBytesBeyondTheGap) {  // RFC 2883 4.2
  Receiver r;
  r.after(300);
  EXPECT_EQ(r.after(300), (Blocks{{r.at(300), r.at(400)}, {r.at(300), r.at(400)}}));
}

TEST(Dsack, ThePartThatCameBefore) {
  Receiver r;
  r.in(r.data(pattern(100), 0));
  r.forget();
  EXPECT_EQ(r.after(50, 100), (Blocks{{r.at(50), r.at(100)}}));
  EXPECT_EQ(r.app.received.size(), 150u);
}

// --- the sender ---

using V = Sender::V;

TEST(SackTaken, TheHoleIsSentAgainAndNothingElse) {
  Sender f;
  EXPECT_EQ(f.sent().size(), 10u);
  f.s.advance(Sender::kRtt);
  f.ack(0, {{1, 2}});
  f.ack(0, {{1, 3}});
  EXPECT_EQ(f.sent(), (V{10, 11})) << "what arrived makes room";
  f.ack(0, {{1, 4}});
  EXPECT_EQ(f.sent(), V{0});
  f.ack(0, {{1, 5}});
  EXPECT_EQ(f.counters().fast_retransmits, 1u);
  EXPECT_EQ(f.counters().retransmits, 1u);
  f.ack(0, {{1, 10}});
  f.sent();
  f.s.advance(Sender::kRtt);
  f.ack(12);
  EXPECT_EQ(f.counters().retransmits, 1u);
  EXPECT_EQ(f.counters().rto_fired, 0u);
}

TEST(SackTaken, SeveralHolesInOneRoundTrip) {
  Sender f;
  f.sent();
  f.s.advance(Sender::kRtt);
  f.ack(0, {{9, 10}, {5, 8}, {1, 4}});  // 0, 4 and 8 are missing
  V all = f.sent();
  f.ack(0, {{9, 10}, {5, 8}, {1, 4}});
  for (const std::uint32_t n : f.sent()) all.push_back(n);
  EXPECT_EQ(std::count(all.begin(), all.end(), 0u), 1);
  EXPECT_EQ(std::count(all.begin(), all.end(), 4u), 1);
  EXPECT_EQ(std::count(all.begin(), all.end(), 8u), 1);
}

TEST(SackTaken, SsthreshIsReachedWhenRecoveryEnds) {  // RFC 6937
  Sender f;
  f.sent();
  f.s.advance(Sender::kRtt);
  std::size_t out = 0;
  for (std::uint32_t i = 2; i <= 10; ++i) {
    f.ack(0, {{1, i}});
    out += f.sent().size();
  }
  // 10 out, half of it is 5: about one for two that arrived, and the lost one.
  EXPECT_GE(out, 5u);
  EXPECT_LE(out, 8u);
  f.s.advance(Sender::kRtt);
  f.ack(f.tcb().snd_max - f.seq(0) > 0 ? (f.tcb().snd_max - f.seq(0)) / 1000 : 0);
  EXPECT_EQ(f.tcb().cc.cwnd, f.tcb().cc.ssthresh) << "window after recovery";
  EXPECT_EQ(f.sent().size(), f.tcb().cc.cwnd / 1000);
}

TEST(SackTaken, NothingIsFreedBeforeTheCumulativeAck_APeerThatGoesBackIsServed) {
  Sender f;
  f.sent();
  f.s.advance(Sender::kRtt);
  f.ack(0, {{1, 10}});
  f.sent();
  EXPECT_EQ(f.owner.acked_to, 0u);
  f.ack(1);  // and drops all that it had reported
  f.s.advance(2 * kSecond);
  const V again = f.sent();
  EXPECT_EQ(std::count(again.begin(), again.end(), 1u) > 0, true) << "the timer forgets reports";
  std::uint32_t next = 1;
  for (int round = 0; round < 100 && next < 40; ++round) {
    f.ack(++next);
    f.sent();
    f.s.advance(Sender::kRtt);
  }
  EXPECT_EQ(f.owner.acked_to, 40000u);
}

TEST(SackTaken, NonsenseBlocksSayNothing) {
  Sender f;
  f.sent();
  f.s.advance(Sender::kRtt);
  const auto nonsense = [&](Seq left, Seq right) {
    In i = f.s.data("", 0, 0);
    i.options.sack_blocks = 1;
    i.options.sack[0] = {left, right};
    f.s.in(i);
  };
  nonsense(f.seq(5), f.seq(5));
  nonsense(f.seq(6), f.seq(5));
  nonsense(f.seq(5), f.seq(50));        // never sent
  nonsense(f.seq(0) - 5000, f.seq(5));  // reaches below the ACK
  nonsense(f.seq(0) + 0x80000000U, f.seq(1) + 0x80000000U);
  EXPECT_EQ(f.sent(), V{});
  EXPECT_EQ(f.counters().fast_retransmits, 0u);
}

TEST(SackTaken, ALostRetransmissionIsSentOnceMoreWithoutTheTimer) {  // RFC 8985
  Sender f;
  f.sent();
  f.s.advance(Sender::kRtt);
  f.ack(0, {{1, 10}});
  const V first = f.sent();
  ASSERT_EQ(first.front(), 0u);
  ASSERT_GT(first.size(), 1u) << "new bytes went after it";
  f.s.advance(Sender::kRtt);
  // The new ones arrive, segment 0 does not.
  const std::uint32_t last = first.back() + 1;
  f.ack(0, {{1, last}});
  V second = f.sent();
  if (second.empty() || second.front() != 0) {
    f.s.advance(Sender::kRtt / 2);  // a reordering window
    for (const std::uint32_t n : f.sent()) second.push_back(n);
  }
  EXPECT_EQ(std::count(second.begin(), second.end(), 0u), 1);
  EXPECT_EQ(f.counters().rto_fired, 0u);
}

TEST(SackTaken, AfterATimeoutSlowStartGoesOverTheHoles) {
  Sender f;
  f.sent();
  f.s.advance(400 * kMillisecond);  // a probe and a timeout
  EXPECT_GT(f.counters().rto_fired, 0u);
  f.sent();
  f.ack(1);
  V v = f.sent();
  EXPECT_EQ(v, (V{1, 2}));
  f.ack(2, {{5, 10}});  // 5 to 9 had arrived all the time
  v = f.sent();
  EXPECT_EQ(std::count(v.begin(), v.end(), 5u), 0) << "reports count again";
}

TEST(SackTaken, AFinInTheFlightIsRecoveredToo) {
  Script s;
  s.listen();
  s.establish(sack_options());
  StringOwner o(pattern(5000));
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.stack.tcp_close(*s.app.tcb, s.now);
  s.tick();
  s.forget();
  s.advance(10 * kMillisecond);
  In i = s.data("", 0, 4000);
  s.in(i);  // the last segment with its FIN is missing
  s.forget();
  s.advance(kSecond);
  const Out again = s.out();
  EXPECT_EQ(again.payload(), o.text().substr(4000));
  EXPECT_TRUE(again.flags() & kFin);
  s.in(s.data("", 0, 5001));
  EXPECT_EQ(state(*s.app.tcb), State::fin_wait_2);
}

TEST(Undo, WhenAllThatWasSentAgainCameTwice) {  // RFC 2883, 3708
  Sender f;
  f.sent();
  f.s.advance(Sender::kRtt);
  const std::uint32_t before = f.tcb().cc.cwnd;
  f.ack(0, {{1, 4}});
  f.ack(0, {{1, 5}});
  f.sent();
  EXPECT_LT(f.tcb().cc.ssthresh, before);
  f.ack(5);
  In twice = f.s.data("", 0, 5000);
  twice.options.sack_blocks = 1;
  twice.options.sack[0] = {f.seq(0), f.seq(1)};
  f.s.in(twice);
  EXPECT_EQ(f.counters().undone, 1u);
  EXPECT_GE(f.tcb().cc.cwnd, before);
}

TEST(Undo, WhenTheEchoIsOfTheOriginal) {  // RFC 3522
  Sender f(sender_config(), true);
  f.sent();
  const std::uint32_t before = f.tcb().cc.cwnd;
  const std::uint32_t early = f.s.last_ts;
  f.s.advance(2 * kSecond);
  ASSERT_GT(f.counters().rto_fired, 0u);
  f.sent();
  In i = f.s.data("", 0, 10000);
  i.options.timestamps = wire::Timestamps{9, early};
  f.s.in(i);
  EXPECT_EQ(f.counters().undone, 1u);
  EXPECT_GE(f.tcb().cc.cwnd, before);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
