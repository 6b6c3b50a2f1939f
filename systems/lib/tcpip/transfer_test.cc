// SPDX-License-Identifier: Apache-2.0
// Sending and receiving: windows, acknowledgements, silly windows, writes.
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

void write(Script& s, ByteOwner& o, std::uint64_t bytes, std::uint64_t cookie = 1) {
  ASSERT_EQ(s.stack.tcp_write(*s.app.tcb, o, cookie, bytes, s.now), Result::ok);
  s.tick();
}

TEST(Window, TenSegmentsGoFirst) {  // RFC 6928
  Script s;
  s.listen();
  s.establish(mss_option(1460));
  StringOwner o(pattern(40000));
  write(s, o, o.size());
  EXPECT_EQ(s.sent.size(), 10u);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(s.out().payload().size(), 1460u);
}

TEST(Window, SlowStartAddsASegmentPerSegmentAcknowledged) {
  Script s;
  s.listen();
  s.establish(mss_option(1000));
  StringOwner o(pattern(100000));
  write(s, o, o.size());
  s.forget();
  s.in(s.data("", 0, 2000));
  EXPECT_EQ(s.sent.size(), 4u);
}

TEST(Window, ThePeersWindowLimits) {
  Script s;
  s.listen();
  s.establish(mss_option(1000), 3000);
  StringOwner o(pattern(100000));
  write(s, o, o.size());
  EXPECT_EQ(s.sent.size(), 3u);
}

TEST(Window, PeerWithoutMssGetsTheDefault) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o(pattern(2000));
  write(s, o, o.size());
  EXPECT_EQ(s.out().payload().size(), 536u);
}

TEST(Window, TinyMssIsRefusedAHold) {
  Script s;
  s.listen();
  s.establish(mss_option(1));
  StringOwner o(pattern(2000));
  write(s, o, o.size());
  EXPECT_EQ(s.out().payload().size(), 216u);
}

TEST(Window, AShrunkWindowStopsNewDataAndTheRestIsRetransmitted) {
  Script s;
  s.listen();
  s.establish(mss_option(1000), 4000);
  StringOwner o(pattern(10000));
  write(s, o, o.size());
  EXPECT_EQ(s.sent.size(), 4u);
  s.forget();
  In shrink = s.data("", 0, 1000);
  shrink.window = 500;
  s.in(shrink);
  s.expect_silence();
  s.until_output(kSecond);
  EXPECT_EQ(s.out().seq(), s.iss + 1 + 1000);
}

TEST(Window, ScaledByTheAgreedShift) {
  Config c = script_config();
  c.receive_window = 1 << 20;
  Script s(c);
  s.listen();
  wire::TcpOptions o;
  o.mss = 1460;
  o.window_scale = 3;
  s.in({.flags = kSyn, .seq = 100, .options = o});
  const Out synack = s.out();
  ASSERT_TRUE(synack.tcp().options.window_scale);
  EXPECT_EQ(*synack.tcp().options.window_scale, 5);
  EXPECT_EQ(synack.window(), 65535u) << "never scaled in a SYN";
  s.in({.flags = kAck, .seq = 101, .ack = synack.seq() + 1, .window = 1000});
  s.irs = 100;
  s.iss = synack.seq();
  StringOwner text(pattern(20000));
  write(s, text, text.size());
  EXPECT_EQ(s.sent.size(), 5u) << "1000 << 3 bytes are 5.5 segments; half a one is not sent";
  EXPECT_EQ(s.last_out().window(), (1u << 20) >> 5);
}

TEST(Window, WithoutScalingFromThePeerNoneIsUsed) {
  Config c = script_config();
  c.receive_window = 1 << 20;
  Script s(c);
  s.listen();
  s.in({.flags = kSyn, .seq = 100});
  const Out synack = s.out();
  EXPECT_FALSE(synack.tcp().options.window_scale);
  EXPECT_EQ(synack.window(), 65535u);
}

TEST(SillyWindow, SenderWaitsForAFullSegmentOrHalfTheWindow) {
  Script s;
  s.listen();
  s.establish(mss_option(1000), 2000);
  StringOwner o(pattern(5000));
  write(s, o, o.size());
  EXPECT_EQ(s.sent.size(), 2u);
  s.forget();
  In small = s.data("", 0, 2000);
  small.window = 300;
  s.in(small);
  s.expect_silence();
  // The override timer sends what fits rather than wait for ever.
  s.until_output(kSecond);
  EXPECT_EQ(s.out().payload().size(), 300u);
  In half = s.data("", 0, 2300);
  half.window = 1000;
  s.in(half);
  EXPECT_EQ(s.out().payload().size(), 1000u);
}

TEST(SillyWindow, ReceiverOpensInStepsOfASegment) {
  Config c = script_config();
  c.receive_window = 4000;
  Script s(c);
  s.listen();
  s.app.take_at_most = 0;
  s.establish(mss_option(1000));
  for (std::uint32_t i = 0; i < 4; ++i) s.in(s.data(pattern(1000), i * 1000));
  s.advance(100 * kMillisecond);
  EXPECT_EQ(s.last_out().window(), 0u);
  s.app.take_at_most = 100;
  s.stack.tcp_resume(*s.app.tcb, s.now);
  s.tick();
  s.expect_silence();  // 100 bytes are no news
  s.in(s.data("p", 4000));
  EXPECT_EQ(s.out().window(), 0u) << "nor for a probe";
  s.app.take_at_most = 10000;
  s.stack.tcp_resume(*s.app.tcb, s.now);
  s.tick();
  const Out update = s.out();
  EXPECT_EQ(update.window(), 4000u);
  EXPECT_EQ(s.app.received.size(), 4000u);
}

TEST(Nagle, OnHoldsAShortSegmentBackWhileDataIsOut) {
  Config c = script_config();
  c.nagle = true;
  Script s(c);
  s.listen();
  s.establish(mss_option(1000));
  StringOwner a("first"), b("second");
  write(s, a, a.size(), 1);
  EXPECT_EQ(s.out().payload(), "first");
  write(s, b, b.size(), 2);
  s.expect_silence();
  s.in(s.data("", 0, 5));
  EXPECT_EQ(s.out().payload(), "second");
}

TEST(DelayedAck, OneSegmentWaitsTwoDoNot) {
  Script s;
  s.listen();
  s.establish(mss_option(1000));
  s.in(s.data(pattern(1000)));
  s.expect_silence();
  const Time waited = s.until_output(kSecond);
  EXPECT_GE(waited, 40 * kMillisecond);
  EXPECT_LE(waited, 42 * kMillisecond);
  EXPECT_EQ(s.out().ack(), s.irs + 1 + 1000);
  s.in(s.data(pattern(1000), 1000));
  s.in(s.data(pattern(1000), 2000));
  EXPECT_EQ(s.out().ack(), s.irs + 1 + 3000);
  s.advance(kSecond);
  s.expect_silence();
}

TEST(DelayedAck, ABurstIsAcknowledgedOnce) {
  Script s;
  s.listen();
  s.establish(mss_option(1000));
  std::vector<In> burst;
  for (std::uint32_t i = 0; i < 8; ++i) burst.push_back(s.data(pattern(1000), i * 1000));
  s.in_burst(burst);
  EXPECT_EQ(s.out().ack(), s.irs + 1 + 8000);
  s.expect_silence();
}

TEST(DelayedAck, RidesOnDataOfTheAnswer) {
  Script s;
  s.listen();
  StringOwner o("answer");
  s.app.on_bytes = [&](Tcb& t, std::string_view) { s.stack.tcp_write(t, o, 1, o.size(), s.now); };
  s.establish();
  s.in(s.data("request"));
  const Out a = s.out();
  EXPECT_EQ(a.payload(), "answer");
  EXPECT_EQ(a.ack(), s.irs + 1 + 7);
  s.in(s.data("", 7, 6));
  s.advance(kSecond);
  s.expect_silence();
}

TEST(DelayedAck, ZeroMeansNone) {
  Config c = script_config();
  c.delayed_ack = 0;
  Script s(c);
  s.listen();
  s.establish();
  s.in(s.data("x"));
  EXPECT_EQ(s.out().ack(), s.irs + 2);
}

TEST(SlowReader, BytesLeftBehindShrinkTheWindowAndComeAgain) {
  Script s;
  s.listen();
  s.app.take_at_most = 3;
  s.establish();
  s.in(s.data("abcdef"));
  EXPECT_EQ(s.app.received, "abc");
  s.app.take_at_most = 100;
  s.in(s.data("ghi", 6));  // what is left comes with the next bytes, in one piece
  EXPECT_EQ(s.app.received, "abcdefghi");
  EXPECT_EQ(s.app.offers, 2u);
  EXPECT_EQ(s.stack.counters().held_chunks_now, 0u);
}

TEST(SlowReader, ResumeOffersAgain) {
  Script s;
  s.listen();
  s.app.take_at_most = 0;
  s.establish();
  s.in(s.data("abcdef"));
  EXPECT_EQ(s.app.received, "");
  EXPECT_EQ(s.stack.counters().held_chunks_now, 1u);
  s.app.take_at_most = 100;
  s.stack.tcp_resume(*s.app.tcb, s.now);
  EXPECT_EQ(s.app.received, "abcdef");
}

TEST(SlowReader, HearsOfTheFinAfterItWasOfferedEverything) {
  Script s;
  s.listen();
  s.app.take_at_most = 0;
  s.establish();
  s.in(s.data(pattern(1200)));
  s.in(s.data(pattern(1200, 1), 1200, 0, kFin | kAck));
  EXPECT_EQ(s.app.remote_closes, 0u) << "the second chunk was not offered yet";
  s.app.take_at_most = 100000;
  s.stack.tcp_resume(*s.app.tcb, s.now);
  EXPECT_EQ(s.app.received, pattern(1200) + pattern(1200, 1));
  EXPECT_EQ(s.app.remote_closes, 1u);
}

TEST(SlowReader, APartialRequestAndAFinAreBothSeen) {
  Script s;
  s.listen();
  s.app.take_at_most = 0;
  s.establish();
  s.in(s.data("GET /unfin", 0, 0, kFin | kAck));
  EXPECT_EQ(s.app.offers, 1u);
  EXPECT_EQ(s.app.remote_closes, 1u);
}

TEST(SlowReader, TinySegmentsShareAChunk) {
  Script s;
  s.listen();
  s.app.take_at_most = 0;
  s.establish();
  for (std::uint32_t i = 0; i < 500; ++i) s.in(s.data("x", i));
  EXPECT_EQ(s.stack.counters().held_chunks_now, 1u);
  EXPECT_EQ(s.stack.counters().held_dropped, 0u);
}

TEST(Writes, AsManyAsSaidThenNoSlot) {
  Script s;
  s.listen();
  s.establish({}, 0);
  StringOwner o("x");
  for (unsigned i = 0; i < kMaxWrites; ++i) {
    EXPECT_EQ(s.stack.tcp_write(*s.app.tcb, o, i, 1, s.now), Result::ok);
  }
  EXPECT_EQ(pending_writes(*s.app.tcb), kMaxWrites);
  EXPECT_EQ(s.stack.tcp_write(*s.app.tcb, o, 99, 1, s.now), Result::no_write_slot);
  s.in(s.data("", 0, 0));
  s.in(s.data("", 0, kMaxWrites));
  EXPECT_EQ(s.app.sent.size(), kMaxWrites);
  for (unsigned i = 0; i < kMaxWrites; ++i) EXPECT_EQ(s.app.sent[i], i);
}

TEST(Writes, OwnersHearOfAcknowledgementsByOffset) {
  Script s;
  s.listen();
  s.establish(mss_option(1000));
  StringOwner a(pattern(1500)), b(pattern(700, 1));
  s.stack.tcp_write(*s.app.tcb, a, 11, a.size(), s.now);
  s.stack.tcp_write(*s.app.tcb, b, 12, b.size(), s.now);
  s.tick();
  s.forget();
  s.in(s.data("", 0, 1000));
  EXPECT_EQ(a.acked_to, 1000u);
  EXPECT_TRUE(a.released_cookies.empty());
  s.in(s.data("", 0, 1600));
  EXPECT_EQ(a.released_cookies, std::vector<std::uint64_t>{11});
  EXPECT_EQ(b.acked_to, 100u);
  s.in(s.data("", 0, 2200));
  EXPECT_EQ(s.app.sent, (std::vector<std::uint64_t>{11, 12}));
}

TEST(Writes, ANotReadyOwnerIsAskedAgainWhenItSaysSo) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o("from the disk");
  o.ready = false;
  write(s, o, o.size());
  s.expect_silence();
  s.advance(5 * kSecond);
  EXPECT_EQ(o.fetches, 1u) << "no polling";
  o.ready = true;
  s.stack.tcp_output(*s.app.tcb, s.now);
  s.tick();
  EXPECT_EQ(s.out().payload(), "from the disk");
}

TEST(Writes, ARetransmissionThatIsNotReadyWaitsForItsOwner) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o("block");
  write(s, o, o.size());
  s.forget();
  o.ready = false;  // evicted meanwhile
  s.advance(kSecond);
  s.expect_silence();
  o.ready = true;
  s.stack.tcp_output(*s.app.tcb, s.now);
  s.tick();
  EXPECT_EQ(s.out().payload(), "block");
}

TEST(Ring, FullMeansLaterNotLost) {
  Script s;
  s.room = 3;
  s.listen();
  s.establish(mss_option(1000));
  StringOwner o(pattern(10000));
  write(s, o, o.size());
  EXPECT_EQ(s.sent.size(), 3u) << "the transmit ring is the only queue";
  for (int i = 0; i < 3; ++i) s.tick();
  EXPECT_EQ(s.sent.size(), 10u);
  std::string all;
  while (!s.sent.empty()) all += s.out().payload();
  EXPECT_EQ(all, o.text());
}

}  // namespace
}  // namespace stackrig::tcpip::testing
