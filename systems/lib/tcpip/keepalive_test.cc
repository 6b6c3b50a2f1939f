// SPDX-License-Identifier: Apache-2.0
// A silent peer is given up when it was said, not before: keep-alive (RFC 1122 4.2.3.6), user
// timeout (RFC 9293 3.9.1, RFC 5482).
#include "tcpip/sack_sender.h"

namespace stackrig::tcpip::testing {
namespace {

constexpr KeepAlive kKeep = {100 * kSecond, 10 * kSecond, 3};
constexpr Time kSlack = 3 * kMillisecond;

Config keeping() {
  Config c = script_config();
  c.keepalive = kKeep;
  return c;
}

TEST(KeepAlive, IsOffUnlessSaidSo) {
  Script s;
  s.listen();
  s.establish();
  s.advance(24ULL * 3600 * kSecond);
  s.expect_silence();
  EXPECT_TRUE(s.app.ended.empty());
}

TEST(KeepAlive, AsksAndGivesUpWhenSaid) {
  Script s(keeping());
  s.listen();
  s.establish();
  s.advance(kKeep.idle - kSlack);
  s.expect_silence();
  s.advance(2 * kSlack);
  const Out probe = s.out();
  EXPECT_EQ(probe.seq(), s.iss) << "a byte too old";
  EXPECT_EQ(probe.payload(), "");
  EXPECT_EQ(probe.flags(), kAck);
  s.advance(2 * kKeep.interval);
  EXPECT_EQ(s.sent.size(), 2u);
  s.forget();
  s.advance(kKeep.interval - 3 * kSlack);
  s.expect_silence();
  EXPECT_TRUE(s.app.ended.empty()) << "not before";
  s.advance(6 * kSlack);
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::timed_out});
  EXPECT_TRUE(s.out().flags() & kRst);
  EXPECT_EQ(s.stack.counters().keepalive_probes, 3u);
}

TEST(KeepAlive, APeerThatAnswersIsKept) {
  Script s(keeping());
  s.listen();
  s.establish();
  for (int i = 0; i < 20; ++i) {
    s.advance(kKeep.idle + kSlack);
    EXPECT_EQ(s.sent.size(), 1u) << i;
    s.forget();
    s.in(s.data(""));
  }
  EXPECT_TRUE(s.app.ended.empty());
}

TEST(KeepAlive, DataPutsItOff) {
  Script s(keeping());
  s.listen();
  s.establish();
  for (std::uint32_t i = 0; i < 5; ++i) {
    s.advance(kKeep.idle * 3 / 4);
    s.in(s.data("x", i));
    s.advance(kSecond);
    EXPECT_EQ(s.stack.counters().keepalive_probes, 0u);
  }
  s.forget();
  s.advance(kKeep.idle - 2 * kSecond);
  s.expect_silence();
  s.advance(2 * kSecond);
  EXPECT_EQ(s.stack.counters().keepalive_probes, 1u);
}

TEST(KeepAlive, GoesOnAfterDataWasAcknowledged) {
  Script s(keeping());
  s.listen();
  s.establish();
  StringOwner o("answer");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  s.in(s.data("", 0, 6));
  s.forget();
  s.advance(kKeep.idle + kSlack);
  EXPECT_EQ(s.stack.counters().keepalive_probes, 1u);
}

TEST(KeepAlive, OfOneConnectionAndOffAgain) {
  Script s;
  s.listen();
  s.establish();
  s.stack.tcp_keepalive(*s.app.tcb, kKeep, s.now);
  s.advance(kKeep.idle + kSlack);
  EXPECT_EQ(s.sent.size(), 1u);
  s.forget();
  s.stack.tcp_keepalive(*s.app.tcb, {}, s.now);
  s.advance(10 * kKeep.idle);
  s.expect_silence();
  EXPECT_TRUE(s.app.ended.empty());
}

TEST(UserTimeout, EndsAConnectionThatMakesNoProgressWhenSaid) {
  for (const Time timeout : {50 * kMillisecond, kSecond, 30 * kSecond, 1000 * kSecond}) {
    SCOPED_TRACE(timeout);
    Script s;
    s.listen();
    s.establish();
    s.stack.tcp_user_timeout(*s.app.tcb, timeout, s.now);
    s.advance(5 * kSecond);  // nothing is waited for
    StringOwner o("data");
    s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
    s.tick();
    s.advance(timeout - kMillisecond);
    EXPECT_TRUE(s.app.ended.empty()) << "not before";
    s.advance(kSlack);
    EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::timed_out});
  }
}

TEST(UserTimeout, ProgressPutsItOff) {
  Sender f;
  f.s.stack.tcp_user_timeout(f.tcb(), kSecond, f.s.now);
  for (std::uint32_t i = 1; i <= 5; ++i) {
    f.s.advance(900 * kMillisecond);
    f.ack(i);
    EXPECT_TRUE(f.s.app.ended.empty());
  }
  f.s.advance(kSecond + kSlack);
  EXPECT_EQ(f.s.app.ended, std::vector<Ended>{Ended::timed_out});
}

TEST(UserTimeout, AClosedWindowWhosePeerAnswersIsNoReason) {
  Script s;
  s.listen();
  s.establish({}, 0);
  s.stack.tcp_user_timeout(*s.app.tcb, 3 * kSecond, s.now);
  StringOwner o("data");
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  for (int i = 0; i < 20; ++i) {
    s.advance(kSecond);
    In closed = s.data("", 0, 0);
    closed.window = 0;
    s.in(closed);
  }
  EXPECT_TRUE(s.app.ended.empty());
  s.advance(3 * kSecond + kSlack);
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::timed_out});
}

// A SYN with the option of RFC 5482: kind 28, `value`.
std::vector<std::byte> syn_with_user_timeout(const Script& s, std::uint16_t value) {
  std::vector<std::byte> frame =
      s.frame_of({.flags = kSyn, .seq = s.irs, .options = mss_option(1000)}).emit();
  frame[54] = std::byte{28};  // in the MSS option's place: it is as long
  frame[56] = std::byte{static_cast<std::uint8_t>(value >> 8)};
  frame[57] = std::byte{static_cast<std::uint8_t>(value)};
  return frame;
}

TEST(UserTimeoutOption, IsTakenWhereTheConfigurationSaysSo) {
  for (const bool on : {false, true}) {
    Config c = script_config();
    c.user_timeout_option = on;
    Script s(c);
    s.listen();
    s.in_frame(syn_with_user_timeout(s, 20), nmio::RxPacket::kChecksumGood);
    s.iss = s.out().seq();
    s.in(s.data(""));
    StringOwner o("data");
    s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
    s.tick();
    s.advance(19 * kSecond);
    EXPECT_TRUE(s.app.ended.empty());
    s.advance(2 * kSecond);
    EXPECT_EQ(s.app.ended.size(), on ? 1u : 0u);
  }
}

}  // namespace
}  // namespace stackrig::tcpip::testing
