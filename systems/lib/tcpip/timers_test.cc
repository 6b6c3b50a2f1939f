// SPDX-License-Identifier: Apache-2.0
// Whatever is lost is recovered, each in its time (RFC 6298, RFC 9293 3.8).
#include "tcpip/sack_sender.h"

namespace stackrig::tcpip::testing {
namespace {

constexpr Time kSlack = 2 * kMillisecond;  // a timer is rounded up to a tick of the wheel

#define EXPECT_TIME(got, wanted)            \
  do {                                      \
    const Time time_got = (got);            \
    EXPECT_GE(time_got + kSlack, (wanted)); \
    EXPECT_LE(time_got, (wanted) + kSlack); \
  } while (false)

// Opens to a neighbour that is known.
Tcb* connect(Script& s) {
  wire::ArpFrame a;
  a.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeArp};
  a.arp = {wire::kArpRequest, kPeerMac, kPeerIp, {}, kOurIp};
  s.in_frame(a.emit());
  s.forget();
  Tcb* t = s.stack.tcp_new();
  s.stack.tcp_bind(*t, kOurIp, 80);
  set_callbacks(s.stack, *t, s.app);
  s.stack.tcp_connected(*t, connect_fn);
  EXPECT_EQ(s.stack.tcp_connect(*t, {kPeerIp, 4000}, s.now), Result::ok);
  s.collect();
  return t;
}

TEST(LostSyn, IsSentAgainAfterOneThenTwoSecondsAndSoOn) {
  Script s;
  connect(s);
  const Out first = s.out();
  for (const Time wait : {1, 2, 4, 8, 16}) {
    EXPECT_TIME(s.until_output(100 * kSecond), wait * kSecond);
    const Out again = s.out();
    EXPECT_EQ(again.flags(), kSyn);
    EXPECT_EQ(again.seq(), first.seq());
  }
  s.advance(33 * kSecond);
  s.expect_silence();
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::timed_out});
}

TEST(LostSyn, ConnectionBeginsWithOneSegmentAndACautiousTimer) {
  Script s;
  connect(s);
  const Out syn = s.out();
  s.until_output(2 * kSecond);
  s.out();
  StringOwner o(pattern(20000));
  s.app.on_connected = [&](Tcb& t) { s.stack.tcp_write(t, o, 1, o.size(), s.now); };
  s.in({.flags = kSyn | kAck, .seq = 9000, .ack = syn.seq() + 1, .options = mss_option(1460)});
  EXPECT_EQ(s.out().payload().size(), 1460u);
  s.expect_silence();  // RFC 5681 3.1: a lost SYN leaves a window of one segment
  EXPECT_TIME(s.until_output(10 * kSecond), 3 * kSecond);  // RFC 6298 (5.7)
}

TEST(LostSynAck, IsSentAgainUntilThePeerIsGivenUp) {
  Script s;
  s.listen();
  s.in({.flags = kSyn, .seq = 100});
  const Out first = s.out();
  for (const Time wait : {1, 2, 4, 8, 16}) {
    EXPECT_TIME(s.until_output(100 * kSecond), wait * kSecond);
    const Out again = s.out();
    EXPECT_EQ(again.flags(), kSyn | kAck);
    EXPECT_EQ(again.seq(), first.seq());
  }
  s.advance(33 * kSecond);
  s.expect_silence();
  EXPECT_EQ(s.stack.counters().half_open_now, 0u);
  EXPECT_TRUE(s.app.ended.empty()) << "the application never heard of it";
}

// RFC 9040: what a connection learned of the path, the next one begins with.
struct KnownPath : ::testing::Test {
  void SetUp() override {
    s.listen();
    s.establish(sack_options(), 65535, 100 * kMillisecond);
    s.stack.tcp_write(*s.app.tcb, body, 1, body.size(), s.now);
    s.tick();
    s.now += 100 * kMillisecond;
    s.in(s.data("", 0, 10000));
    s.in(s.data("", 0, 10000, kRst | kAck));
    s.forget();
  }
  /// How long until the SYN-ACK to `from` goes again.
  Time again(wire::Ipv4Address from) {
    s.in({.flags = kSyn, .seq = 100, .from = from, .from_port = 4001});
    EXPECT_EQ(s.out().flags(), kSyn | kAck);
    const Time wait = s.until_output(100 * kSecond);
    EXPECT_EQ(s.out().flags(), kSyn | kAck);
    return wait;
  }
  Script s;
  StringOwner body{pattern(20000)};
};

TEST_F(KnownPath, ALostSynAckCostsRoundTripsNotASecond) {
  EXPECT_TIME(again(kPeerIp), 250 * kMillisecond);  // SRTT + 4 RTTVAR, of two samples of 100 ms
  // Not answered either: what was known may hold no more, and the peer is given up no sooner.
  for (const Time wait : {1, 2, 4, 8, 16}) {
    EXPECT_TIME(s.until_output(100 * kSecond), wait * kSecond);
    s.out();
  }
  s.advance(31 * kSecond);
  EXPECT_EQ(s.stack.counters().half_open_now, 1U);
  s.advance(2 * kSecond);
  EXPECT_EQ(s.stack.counters().half_open_now, 0U);
}

TEST_F(KnownPath, ThatIsLongerThanItWasCostsOneSegmentMoreAndNoWindow) {
  s.in({.flags = kSyn, .seq = 100, .options = mss_option(1000), .from_port = 4001});
  const Out synack = s.out();
  s.until_output(kSecond);
  s.forget();
  s.advance(200 * kMillisecond);
  s.app.tcb = nullptr;
  s.in({.seq = 101, .ack = synack.seq() + 1, .from_port = 4001});
  ASSERT_NE(s.app.tcb, nullptr);
  EXPECT_EQ(s.app.tcb->cc.cwnd, 10'000U) << "not one segment, as after a SYN-ACK that was lost";
}

TEST_F(KnownPath, ThatWasSlowMakesNobodyWaitLonger) {
  s.in({.flags = kSyn, .seq = 100, .from_port = 4001});
  const Out synack = s.out();
  s.advance(20 * kSecond);
  s.in({.seq = 101, .ack = synack.seq() + 1, .from_port = 4001});
  StringOwner more{pattern(20000)};
  s.stack.tcp_write(*s.app.tcb, more, 1, more.size(), s.now);
  s.tick();
  s.in({.flags = kRst | kAck, .seq = 101, .ack = synack.seq() + 1, .from_port = 4001});
  s.forget();
  EXPECT_LE(again(kPeerIp), kSecond + kSlack);
}

TEST_F(KnownPath, OfOnePeerSaysNothingOfAnother) {
  EXPECT_TIME(again({kPeerIp.value + 987}), kSecond);  // whose place in the table is the same
}

TEST_F(KnownPath, IsForgottenAfterTenMinutes) {
  s.advance(600 * kSecond);
  s.forget();
  EXPECT_TIME(again(kPeerIp), kSecond);
}

TEST(LostData, IsSentAgainAtTheRtoWithBackOff) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o("data");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  EXPECT_EQ(s.out().payload(), "data");
  // The handshake took no time: the RTO is at its floor, 200 ms, and doubles.
  Time wait = 200 * kMillisecond;
  for (int i = 0; i < 6; ++i, wait *= 2) {
    EXPECT_TIME(s.until_output(100 * kSecond), wait);
    const Out again = s.out();
    EXPECT_EQ(again.payload(), "data");
    EXPECT_EQ(again.seq(), s.iss + 1);
    s.expect_silence();
  }
  EXPECT_EQ(s.stack.counters().rto_fired, 6u);
  // An ACK takes the back-off away.
  s.in(s.data("", 0, 4));
  StringOwner more("more");
  s.stack.tcp_write(*s.app.tcb, more, 2, more.size(), s.now);
  s.tick();
  s.out();
  EXPECT_TIME(s.until_output(100 * kSecond), 200 * kMillisecond);
}

TEST(LostData, APeerThatNeverAnswersIsGivenUpWithAReset) {
  Config c = script_config();
  c.max_retransmits = 3;
  Script s(c);
  s.listen();
  s.establish();
  StringOwner o("data");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  s.advance(200 * kMillisecond * 15 + kSecond);
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::timed_out});
  EXPECT_EQ(s.sent.size(), 1u + 3 + 1);
  EXPECT_TRUE(s.last_out().flags() & kRst);
  EXPECT_EQ(o.released_cookies.size(), 1u);
}

TEST(LostData, GoesOnFromTheOldestByteInSlowStart) {
  Script s;
  s.listen();
  s.establish(mss_option(1000));
  StringOwner o(pattern(10000));
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  EXPECT_EQ(s.sent.size(), 10u);
  s.forget();
  s.until_output(kSecond);
  EXPECT_EQ(s.out().seq(), s.iss + 1);
  s.expect_silence();
  s.in(s.data("", 0, 1000));  // cwnd 1 -> 2
  EXPECT_EQ(s.out().seq(), s.iss + 1 + 1000);
  EXPECT_EQ(s.out().seq(), s.iss + 1 + 2000);
  s.expect_silence();
  s.in(s.data("", 0, 10000));  // the rest had arrived all the time
  s.advance(10 * kSecond);
  s.expect_silence();
  EXPECT_EQ(s.app.sent.size(), 1u);
}

TEST(LostFin, IsSentAgain) {
  Script s;
  s.listen();
  s.establish();
  s.stack.tcp_close(*s.app.tcb, s.now);
  s.tick();
  EXPECT_EQ(s.out().flags(), kFin | kAck);
  EXPECT_TIME(s.until_output(kSecond), 200 * kMillisecond);
  const Out again = s.out();
  EXPECT_EQ(again.flags(), kFin | kAck);
  EXPECT_EQ(again.seq(), s.iss + 1);
}

TEST(LostFin, OnTheLastDataSegmentComesWithItAgain) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o("last words");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.stack.tcp_close(*s.app.tcb, s.now);
  s.tick();
  EXPECT_EQ(s.out().flags(), kFin | kPsh | kAck);
  s.until_output(kSecond);
  const Out again = s.out();
  EXPECT_EQ(again.flags(), kFin | kPsh | kAck);
  EXPECT_EQ(again.payload(), "last words");
}

TEST(LostLastAck, TheFinComesAgainAndTimeWaitAnswers) {
  Script s;
  s.listen();
  s.establish();
  s.stack.tcp_close(*s.app.tcb, s.now);
  s.tick();
  s.in(s.data("", 0, 1, kFin | kAck));
  s.forget();
  s.advance(50 * kSecond);
  s.in(s.data("", 0, 1, kFin | kAck));
  const Out again = s.out();
  EXPECT_EQ(again.flags(), kAck);
  EXPECT_EQ(again.ack(), s.irs + 2);
  EXPECT_EQ(again.seq(), s.iss + 2);
  // The wait began anew.
  s.advance(30 * kSecond);
  EXPECT_EQ(s.stack.counters().time_wait_now, 1u);
  s.advance(31 * kSecond);
  EXPECT_EQ(s.stack.counters().time_wait_now, 0u);
}

TEST(ZeroWindow, IsProbedWithBackOffUntilItOpens) {
  Script s;
  s.listen();
  s.establish({}, 0);
  StringOwner o("patience");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  s.expect_silence();
  Time wait = 200 * kMillisecond;
  for (int i = 0; i < 5; ++i, wait *= 2) {
    EXPECT_TIME(s.until_output(100 * kSecond), wait);
    const Out probe = s.out();
    EXPECT_EQ(probe.seq(), s.iss + 1);
    EXPECT_EQ(probe.payload(), "p");
    In still_closed = s.data("", 0, 0);
    still_closed.window = 0;
    s.in(still_closed);
    s.expect_silence();
  }
  s.in(s.data("", 0, 0));  // opens
  EXPECT_EQ(s.out().payload(), "patience");
  EXPECT_EQ(s.stack.counters().zero_window_probes, 5u);
}

TEST(ZeroWindow, AProbesByteThatIsTakenCounts) {
  Script s;
  s.listen();
  s.establish({}, 0);
  StringOwner o("xyz");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  s.until_output(kSecond);
  EXPECT_EQ(s.out().payload(), "x");
  s.in(s.data("", 0, 1));  // window open, byte taken
  EXPECT_EQ(s.out().payload(), "yz");
  s.in(s.data("", 0, 3));
  EXPECT_EQ(s.app.sent.size(), 1u);
}

TEST(ZeroWindow, ALostWindowUpdateIsFoundByAProbe) {
  Script s;
  s.listen();
  s.establish({}, 4);
  StringOwner o("four more");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  EXPECT_EQ(s.out().payload(), "four");
  In full = s.data("", 0, 4);
  full.window = 0;
  s.in(full);
  s.expect_silence();
  // The update gets lost. The probe asks.
  s.until_output(kSecond);
  EXPECT_EQ(s.out().payload(), " ");
  s.in(s.data("", 0, 5));
  EXPECT_EQ(s.out().payload(), "more");
}

TEST(ZeroWindow, FinQueuedBehindDataAtAClosedWindowGoesLast) {
  Script s;
  s.listen();
  s.establish({}, 0);
  StringOwner o("ab");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.stack.tcp_close(*s.app.tcb, s.now);
  s.tick();
  s.expect_silence();
  s.until_output(kSecond);
  const Out probe = s.out();
  EXPECT_EQ(probe.payload(), "a");
  EXPECT_EQ(probe.flags() & kFin, 0);
  In one = s.data("", 0, 0);
  one.window = 2;  // data fits, the FIN does not
  s.in(one);
  const Out data = s.out();
  EXPECT_EQ(data.payload(), "ab");
  EXPECT_EQ(data.flags() & kFin, 0);
  In taken = s.data("", 0, 2);
  taken.window = 0;
  s.in(taken);
  s.expect_silence();
  s.until_output(kSecond);
  EXPECT_EQ(s.out().flags(), kFin | kAck) << "the FIN is the probe now";
  s.in(s.data("", 0, 3));
  EXPECT_EQ(state(*s.app.tcb), State::fin_wait_2);
}

TEST(ZeroWindow, APeerThatAnswersProbesIsKept_OneThatDoesNotIsGivenUp) {
  Config c = script_config();
  c.max_retransmits = 4;
  Script s(c);
  s.listen();
  s.establish({}, 0);
  StringOwner o("x");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  for (int i = 0; i < 20; ++i) {
    s.until_output(100 * kSecond);
    s.forget();
    In closed = s.data("", 0, 0);
    closed.window = 0;
    s.in(closed);
  }
  EXPECT_TRUE(s.app.ended.empty());
  s.advance(600 * kSecond);
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::timed_out});
}

TEST(ZeroWindow, OneThatShrankOverDataInFlightDoesNotEndALiveConnection) {  // RFC 9293 3.8.6.1
  Config c = script_config();
  c.max_retransmits = 4;
  Script s(c);
  s.listen();
  s.establish();
  StringOwner o("data");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  for (int i = 0; i < 20; ++i) {
    s.until_output(100 * kSecond);
    s.forget();
    In shrunk = s.data("", 0, 0);
    shrunk.window = 0;
    s.in(shrunk);
  }
  EXPECT_TRUE(s.app.ended.empty()) << "the peer answers";
  s.advance(600 * kSecond);
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::timed_out}) << "now it does not";
}

TEST(Karn, ARetransmittedSegmentIsNoSampleWithoutTimestamps) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o("data"), p("next");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  s.until_output(kSecond);  // retransmitted at 200 ms
  s.advance(150 * kMillisecond);
  s.forget();
  s.in(s.data("", 0, 4));  // 350 ms after the first: of which one?
  s.stack.tcp_write(*s.app.tcb, p, 2, p.size(), s.now);
  s.tick();
  s.out();
  EXPECT_TIME(s.until_output(5 * kSecond), 200 * kMillisecond);  // RTO as it was
}

TEST(Rtt, ASlowPathRaisesTheRto) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o("data"), p("next");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  s.out();
  s.advance(190 * kMillisecond);
  s.in(s.data("", 0, 4));
  s.stack.tcp_write(*s.app.tcb, p, 2, p.size(), s.now);
  s.tick();
  s.out();
  // The handshake's sample was 0: SRTT = 190/8, RTTVAR near 190/4, so RTO = SRTT + 4 RTTVAR = 214
  // ms.
  const Time rto = s.until_output(5 * kSecond);
  EXPECT_GT(rto, 205 * kMillisecond);
  EXPECT_LT(rto, 225 * kMillisecond);
}

TEST(Rtt, TimestampsMeasureARetransmittedSegment) {
  Script s;
  s.listen();
  s.establish(timestamp_option(1, 0));
  ASSERT_TRUE(s.ts_theirs);
  StringOwner o("data"), p("next");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  s.out();
  s.until_output(kSecond);
  const Out again = s.out();
  s.advance(180 * kMillisecond);
  s.forget();
  In ack = s.data("", 0, 4);
  ack.options = timestamp_option(2, again.tcp().options.timestamps->value);
  s.in(ack);  // answers the retransmission: 180 ms
  s.stack.tcp_write(*s.app.tcb, p, 2, p.size(), s.now);
  s.tick();
  s.out();
  const Time rto = s.until_output(5 * kSecond);
  EXPECT_GT(rto, 200 * kMillisecond);
  EXPECT_LT(rto, 260 * kMillisecond);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
