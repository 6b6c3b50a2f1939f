// SPDX-License-Identifier: Apache-2.0
// TIME_WAIT: bounded, answered, and left early for a new connection where that is safe (RFC 6191).
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

// One connection from `port`, closed by us first; leaves an entry in TIME_WAIT.
Seq leave_time_wait(Script& s, std::uint16_t port, Seq irs, std::optional<std::uint32_t> ts,
                    std::uint16_t to_port = 80) {
  wire::TcpOptions o;
  if (ts) o.timestamps = wire::Timestamps{*ts, 0};
  In in{.flags = kSyn, .seq = irs, .options = o, .from_port = port, .to_port = to_port};
  s.in(in);
  const Out synack = s.out();
  if (ts) in.options.timestamps = wire::Timestamps{*ts, synack.tcp().options.timestamps->value};
  in.flags = kAck;
  in.seq = irs + 1;
  in.ack = synack.seq() + 1;
  s.in(in);
  s.stack.tcp_close(*s.app.tcb, s.now);
  s.tick();
  in.flags = kFin | kAck;
  in.ack = synack.seq() + 2;
  s.in(in);
  s.forget();
  return synack.seq();
}

In syn(Seq seq, std::uint16_t port, std::optional<std::uint32_t> ts) {
  In s{.flags = kSyn, .seq = seq, .from_port = port};
  if (ts) s.options.timestamps = wire::Timestamps{*ts, 0};
  return s;
}

TEST(TimeWait, ANewerTimestampReopens) {
  Script s;
  s.listen();
  const Seq iss = leave_time_wait(s, 4000, 1000, 50);
  s.in(syn(10, 4000, 51));  // an older sequence number, a newer time
  const Out o = s.out();
  EXPECT_EQ(o.flags(), kSyn | kAck);
  EXPECT_EQ(o.ack(), 11u);
  EXPECT_TRUE(seq_gt(o.seq(), iss + 2)) << "beyond all that the old one sent";
  EXPECT_EQ(s.stack.counters().time_wait_reused, 1u);
  EXPECT_EQ(s.stack.counters().time_wait_now, 0u);
}

TEST(TimeWait, AGreaterSequenceNumberReopensWithoutTimestamps) {
  Script s;
  s.listen();
  leave_time_wait(s, 4000, 1000, std::nullopt);
  s.in(syn(1003, 4000, std::nullopt));
  EXPECT_EQ(s.out().flags(), kSyn | kAck);
}

TEST(TimeWait, AnOldSynIsAnsweredWithAnAckAndNothingElse) {
  Script s;
  s.listen();
  leave_time_wait(s, 4000, 1000, 50);
  s.in(syn(900, 4000, 49));
  EXPECT_EQ(s.out().flags(), kAck);
  s.in(syn(2000, 4000, 40));  // newer number, older time: an old duplicate
  EXPECT_EQ(s.out().flags(), kAck);
  EXPECT_EQ(s.stack.counters().time_wait_now, 1u);
}

TEST(TimeWait, WithEqualTimestampsTheSequenceNumberDecides) {
  Script s;
  s.listen();
  leave_time_wait(s, 4000, 1000, 50);
  s.in(syn(900, 4000, 50));
  EXPECT_EQ(s.out().flags(), kAck);
  s.in(syn(5000, 4000, 50));
  EXPECT_EQ(s.out().flags(), kSyn | kAck);
}

TEST(TimeWait, AResetDoesNotEndIt) {  // RFC 1337
  Script s;
  s.listen();
  leave_time_wait(s, 4000, 1000, std::nullopt);
  s.in({.flags = kRst, .seq = 1002});
  EXPECT_EQ(s.stack.counters().time_wait_now, 1u);
  s.expect_silence();
}

TEST(TimeWait, EndsAfterTwoMslWithoutTraffic) {
  Script s;
  s.listen();
  leave_time_wait(s, 4000, 1000, std::nullopt);
  s.advance(59 * kSecond);
  EXPECT_EQ(s.stack.counters().time_wait_now, 1u);
  s.advance(2 * kSecond);
  EXPECT_EQ(s.stack.counters().time_wait_now, 0u);
  EXPECT_EQ(s.stack.next_deadline(), nmio::kNever);
}

TEST(TimeWait, TheOldestGoesWhenAllEntriesAreTaken) {
  Script s;  // 64 entries
  s.listen();
  for (std::uint16_t i = 0; i < 70; ++i) {
    leave_time_wait(s, static_cast<std::uint16_t>(4000 + i), 1000, std::nullopt);
  }
  EXPECT_EQ(s.stack.counters().time_wait_now, 64u);
  EXPECT_EQ(s.stack.counters().time_wait_recycled, 6u);
  s.in({.flags = kFin | kAck, .seq = 1001, .ack = 1, .from_port = 4000});
  EXPECT_EQ(s.out().flags(), kRst) << "the oldest is forgotten";
  s.in({.flags = kFin | kAck, .seq = 1001, .ack = 1, .from_port = 4069});
  EXPECT_EQ(s.out().flags(), kAck);
}

TEST(TimeWait, APortThatIsUsedAgainAtOnceIsNeverRefused) {
  Script s;
  s.listen();
  std::uint32_t ts = 1;
  Seq irs = 1000;
  for (int i = 0; i < 5000; ++i) {
    leave_time_wait(s, static_cast<std::uint16_t>(4000 + i % 50), irs, ts);
    if (HasFailure()) return;
    ts += i % 50 == 49 ? 1 : 0;
    irs += 50000;
  }
  EXPECT_EQ(s.app.accepted, 5000u);
  EXPECT_EQ(s.stack.counters().rst_out, 0u);
}

// Three seconds of it: more flows than entries, some that come again while their entry is there and
// some whose entry had to go. A minute is the same, twenty times.
TEST(TimeWait, AHundredThousandConnectionsASecondFromOneAddress_NoneRefused) {
  Config c = script_config();
  c.max_time_wait = 65536;  // the last 0.66 s
  Script s(c);
  s.listen(80);
  s.listen(81);
  constexpr unsigned kSoon = 20000;  // ports of flows that come again after 0.4 s
  constexpr unsigned kLate = 50000;  // after 1 s
  constexpr unsigned kConnections = 300'000;
  for (unsigned i = 0; i < kConnections && !HasFailure(); ++i) {
    s.now += 10 * kMicrosecond;
    if (i % 100 == 0) s.tick();
    const auto ms = static_cast<std::uint32_t>(s.now / kMillisecond);
    const bool soon = i % 2 == 0;
    const unsigned port = 1024 + i / 2 % (soon ? kSoon : kLate);
    // The peer's numbers rise with its clock, as a kernel's do.
    leave_time_wait(s, static_cast<std::uint16_t>(port), static_cast<Seq>(s.now >> 12), ms,
                    soon ? 80 : 81);
  }
  EXPECT_EQ(s.app.accepted, kConnections);
  EXPECT_EQ(s.stack.counters().rst_out, 0u);
  EXPECT_EQ(s.stack.counters().time_wait_reused, kConnections / 2 - kSoon);
  EXPECT_GT(s.stack.counters().time_wait_recycled, kConnections / 2 - kLate);
  EXPECT_LE(s.stack.counters().time_wait_now, 65536u);
}

void know_the_peer(Script& s) {
  wire::ArpFrame a;
  a.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeArp};
  a.arp = {wire::kArpRequest, kPeerMac, kPeerIp, {}, kOurIp};
  s.in_frame(a.emit());
  s.forget();
}

TEST(TimeWait, WhereAllPortsAreInItConnectTakesOneThatMayBeLeftEarly) {
  Config c = script_config();
  c.max_time_wait = 65536;
  Script s(c);
  know_the_peer(s);
  constexpr unsigned kPorts = 55536;  // 10000 to 65535
  const auto connect = [&] {
    Tcb* t = s.stack.tcp_new();
    const Result r = s.stack.tcp_connect(*t, {kPeerIp, 80}, s.now);
    if (r != Result::ok) s.stack.tcp_abort(*t, s.now);
    s.tick();
    if (r != Result::ok) return r;
    const Out syn = s.out();
    In in{.flags = kSyn | kAck,
          .seq = 7,
          .ack = syn.seq() + 1,
          .options = timestamp_option(5, syn.tcp().options.timestamps->value),
          .from_port = 80,
          .to_port = syn.tcp().source_port};
    s.in(in);
    s.stack.tcp_close(*t, s.now);
    s.tick();
    in.flags = kFin | kAck;
    in.seq = 8;
    in.ack = syn.seq() + 2;
    s.in(in);
    s.forget();
    return r;
  };
  for (unsigned i = 0; i < kPorts; ++i) {
    ASSERT_EQ(connect(), Result::ok) << i;
    s.now += 10 * kMicrosecond;
  }
  ASSERT_EQ(s.stack.counters().time_wait_now, kPorts);
  EXPECT_EQ(connect(), Result::in_use) << "not within a second";
  s.advance(kSecond);
  for (unsigned i = 0; i < 5000; ++i) {
    ASSERT_EQ(connect(), Result::ok) << i;
    s.now += 10 * kMicrosecond;
  }
  EXPECT_EQ(s.stack.counters().time_wait_reused, 5000u);
}

TEST(TimeWait, WeDoNotOpenIntoOurOwnBeforeASecond) {
  Script s;
  Tcb* first = s.stack.tcp_new();
  know_the_peer(s);
  s.stack.tcp_bind(*first, kOurIp, 80);
  s.stack.tcp_connect(*first, {kPeerIp, 4000}, s.now);
  s.collect();
  const Out o = s.out();
  const std::uint32_t echo = o.tcp().options.timestamps->value;
  s.in({.flags = kSyn | kAck, .seq = 7, .ack = o.seq() + 1, .options = timestamp_option(5, echo)});
  s.stack.tcp_close(*first, s.now);
  s.tick();
  s.in({.flags = kFin | kAck, .seq = 8, .ack = o.seq() + 2, .options = timestamp_option(5, echo)});
  EXPECT_EQ(s.stack.counters().time_wait_now, 1u);
  s.forget();
  Tcb* again = s.stack.tcp_new();
  s.stack.tcp_bind(*again, kOurIp, 80);
  EXPECT_EQ(s.stack.tcp_connect(*again, {kPeerIp, 4000}, s.now), Result::in_use);
  s.advance(1100 * kMillisecond);
  EXPECT_EQ(s.stack.tcp_connect(*again, {kPeerIp, 4000}, s.now), Result::ok);
  s.collect();
  EXPECT_TRUE(seq_gt(s.out().seq(), o.seq() + 2));
}

}  // namespace
}  // namespace stackrig::tcpip::testing
