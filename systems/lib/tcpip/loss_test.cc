// SPDX-License-Identifier: Apache-2.0
// Fast retransmit and fast recovery, Reno and NewReno (RFC 5681 3.2, RFC 6582).
#include "tcpip/tcb.h"
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

// A connection with `segments` of 1000 bytes in flight and more to send.
struct Flight {
  explicit Flight(CongestionControl kind, unsigned segments = 10)
      : script(config(kind)), owner(pattern(200000)) {
    script.listen();
    script.establish(mss_option(1000));
    script.stack.tcp_write(*script.app.tcb, owner, 1, owner.size(), script.now);
    script.tick();
    EXPECT_EQ(script.sent.size(), segments);
    script.forget();
  }
  static Config config(CongestionControl kind) {
    Config c = script_config();
    c.congestion_control = kind;
    return c;
  }
  void ack(std::uint32_t segments) { script.in(script.data("", 0, segments * 1000)); }
  /// Which segment went out, by its number.
  std::uint32_t next() {
    const Out o = script.out();
    EXPECT_EQ((o.seq() - script.iss - 1) % 1000, 0u);
    return (o.seq() - script.iss - 1) / 1000;
  }
  std::vector<std::uint32_t> all() {
    std::vector<std::uint32_t> v;
    while (!script.sent.empty()) v.push_back(next());
    return v;
  }
  using V = std::vector<std::uint32_t>;
  Script script;
  StringOwner owner;
};

TEST(FastRetransmit, OnTheThirdDuplicateAndNotBefore) {
  Flight f(CongestionControl::new_reno);
  f.ack(0);
  EXPECT_EQ(f.all(), Flight::V{10}) << "limited transmit (RFC 3042)";
  f.ack(0);
  EXPECT_EQ(f.all(), Flight::V{11});
  f.ack(0);
  EXPECT_EQ(f.all(), Flight::V{0}) << "the segment that is missing";
  EXPECT_EQ(f.script.stack.counters().fast_retransmits, 1u);
}

TEST(FastRetransmit, AWindowUpdateOrDataIsNoDuplicate) {
  Flight f(CongestionControl::new_reno);
  for (int i = 0; i < 3; ++i) {
    In update = f.script.data("", 0, 0);
    update.window = static_cast<std::uint16_t>(60000 + i);
    f.script.in(update);
  }
  for (std::uint32_t i = 0; i < 3; ++i) f.script.in(f.script.data("x", i, 0));
  f.script.forget();
  EXPECT_EQ(f.script.stack.counters().fast_retransmits, 0u);
}

TEST(Recovery, EachFurtherDuplicateLetsASegmentOutOnceTheWindowAllows) {
  Flight f(CongestionControl::new_reno);
  for (int i = 0; i < 3; ++i) f.ack(0);
  f.all();
  // 12 out, of which limited transmit's two do not count (RFC 5681 3.2 step 2): ssthresh 5, cwnd
  // 5 + 3; four more duplicates reach 12, the fifth sends.
  for (int i = 0; i < 4; ++i) f.ack(0);
  EXPECT_EQ(f.all(), Flight::V{});
  f.ack(0);
  EXPECT_EQ(f.all(), Flight::V{12});
  f.ack(0);
  EXPECT_EQ(f.all(), Flight::V{13});
}

TEST(Recovery, NewRenoRepairsAHolePerRoundTripWithoutATimeout) {
  Flight f(CongestionControl::new_reno);
  // 0, 3 and 6 are lost.
  for (int i = 0; i < 7; ++i) f.ack(0);
  f.all();
  f.ack(3);  // partial: 3 is the next hole
  EXPECT_EQ(f.all().front(), 3u);
  f.ack(6);
  EXPECT_EQ(f.all().front(), 6u);
  const auto before = f.script.stack.counters().rto_fired;
  f.ack(12);  // all that was out when the loss was found
  EXPECT_EQ(f.script.stack.counters().rto_fired, before);
  EXPECT_EQ(f.script.stack.counters().fast_retransmits, 1u);
}

TEST(Recovery, RenoEndsWithTheFirstNewAck) {
  Flight f(CongestionControl::reno);
  for (int i = 0; i < 7; ++i) f.ack(0);
  f.all();
  f.ack(3);
  const auto sent = f.all();
  EXPECT_TRUE(sent.empty() || sent.front() != 3) << "Reno repairs one loss, then waits";
}

TEST(Recovery, WindowIsHalvedAfterwards) {
  Flight f(CongestionControl::reno);
  for (int i = 0; i < 3; ++i) f.ack(0);
  f.all();
  f.ack(12);  // all of the flight: ten of the window, two of limited transmit
  EXPECT_EQ(f.all().size(), 5u);
}

TEST(Recovery, DuplicatesAfterATimeoutDoNotStartIt) {  // RFC 6582 3.2 step 2
  Flight f(CongestionControl::new_reno);
  f.script.until_output(kSecond);
  EXPECT_EQ(f.all(), Flight::V{0});
  for (int i = 0; i < 6; ++i) f.ack(0);
  EXPECT_EQ(f.script.stack.counters().fast_retransmits, 0u);
}

TEST(Recovery, ALostRetransmissionIsLeftToTheTimer) {
  Flight f(CongestionControl::new_reno);
  for (int i = 0; i < 3; ++i) f.ack(0);
  f.all();
  const Time waited = f.script.until_output(kSecond);
  EXPECT_GE(waited, 198 * kMillisecond);
  EXPECT_EQ(f.all(), Flight::V{0});
}

// As if `bytes` more had been sent and acknowledged.
void skip(Script& s, std::uint32_t bytes) {
  Tcb& t = *s.app.tcb;
  for (Seq* n : {&t.snd_una, &t.snd_nxt, &t.snd_max, &t.rtt_seq, &t.snd_wl2}) *n += bytes;
  t.iss += bytes;
  s.iss += bytes;
}

TEST(Recovery, OfLongAgoDoesNotHinderTheNext) {
  // Sequence numbers wrap: 2 to 4 GiB after a loss its end lies "ahead" again.
  for (const std::uint32_t later : {0x7fff'0000U, 0x8000'1000U, 0xc000'0000U, 0xfff0'0000U}) {
    for (const bool timeout : {false, true}) {
      Script s(Flight::config(CongestionControl::new_reno));
      s.listen();
      s.establish(mss_option(1000));
      StringOwner first(pattern(10000)), second(pattern(10000));
      s.stack.tcp_write(*s.app.tcb, first, 1, first.size(), s.now);
      s.tick();
      if (timeout) {
        s.until_output(kSecond);
      } else {
        for (int i = 0; i < 3; ++i) s.in(s.data("", 0, 0));
      }
      s.in(s.data("", 0, 10000));  // all of it
      s.stack.tcp_write(*s.app.tcb, second, 2, second.size(), s.now);
      s.tick();
      for (std::uint32_t to = 11000; to <= 16000; to += 1000) s.in(s.data("", 0, to));
      s.forget();
      skip(s, later);
      const auto before = s.stack.counters().fast_retransmits;
      for (int i = 0; i < 3; ++i) s.in(s.data("", 0, 16000));
      EXPECT_EQ(s.stack.counters().fast_retransmits, before + 1) << later << ' ' << timeout;
    }
  }
}

TEST(LimitedTransmit, IsTwoSegmentsHoweverManyDuplicatesCome) {  // RFC 3042
  Flight f(CongestionControl::new_reno);
  f.script.until_output(kSecond);
  EXPECT_EQ(f.all(), Flight::V{0}) << "a timeout: duplicates start no recovery now";
  StringOwner more(pattern(5000));
  for (int i = 0; i < 12; ++i) {
    f.ack(0);
    if (i == 5) {
      f.script.stack.tcp_write(*f.script.app.tcb, more, 2, more.size(), f.script.now);
      f.script.tick();
    }
  }
  f.script.stack.tcp_write(*f.script.app.tcb, more, 3, more.size(), f.script.now);
  f.script.tick();
  EXPECT_EQ(f.all(), (Flight::V{1, 2}));
}

TEST(Idle, TheWindowIsTheInitialOneAgainAfterAnRtoOfSilence) {  // RFC 5681 4.1
  Script s;
  s.listen();
  s.establish(mss_option(1000));
  StringOwner a(pattern(40000)), b(pattern(100000));
  s.stack.tcp_write(*s.app.tcb, a, 1, a.size(), s.now);
  s.tick();
  for (std::uint32_t acked = 1000; acked <= 40000; acked += 1000) s.in(s.data("", 0, acked));
  s.forget();
  s.advance(5 * kSecond);
  s.stack.tcp_write(*s.app.tcb, b, 2, b.size(), s.now);
  s.tick();
  EXPECT_EQ(s.sent.size(), 10u);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
