// SPDX-License-Identifier: Apache-2.0
// Explicit congestion notification (RFC 3168).
#include "tcpip/sack_sender.h"

namespace stackrig::tcpip::testing {
namespace {

constexpr std::uint8_t kEce = wire::kTcpEce, kCwr = wire::kTcpCwr;
constexpr std::uint8_t kEct = 2, kCe = 3;

Config with(Ecn ecn) {
  Config c = script_config();
  c.ecn = ecn;
  c.congestion_control = CongestionControl::new_reno;
  return c;
}

// A server whose peer asked for ECN.
struct Marked : Script {
  explicit Marked(wire::TcpOptions options = mss_option(1000)) : Script(with(Ecn::accept)) {
    listen();
    in({.flags = kSyn | kEce | kCwr, .seq = irs, .options = options});
    const Out synack = out();
    EXPECT_EQ(synack.flags(), kSyn | kAck | kEce);
    EXPECT_EQ(synack.frame.ip.tos, 0) << "6.1.1: never on a SYN-ACK";
    iss = synack.seq();
    now += 20 * kMillisecond;
    in(data(""));
  }
  void write(ByteOwner& o, std::uint64_t bytes) {
    stack.tcp_write(*app.tcb, o, 1, bytes, now);
    tick();
  }
};

TEST(EcnAgreed, OnlyWhereBothSaySo) {
  for (const Ecn ecn : {Ecn::off, Ecn::accept, Ecn::request}) {
    for (const std::uint8_t asked :
         {std::uint8_t{0}, kEce, kCwr, static_cast<std::uint8_t>(kEce | kCwr)}) {
      Script s(with(ecn));
      s.listen();
      s.in({.flags = static_cast<std::uint8_t>(kSyn | asked), .seq = 1});
      const bool agreed = ecn != Ecn::off && asked == (kEce | kCwr);
      EXPECT_EQ(s.out().flags(), kSyn | kAck | (agreed ? kEce : 0));
    }
  }
}

struct Client : Script {
  explicit Client(Ecn ecn) : Script(with(ecn)) {
    wire::ArpFrame a;
    a.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeArp};
    a.arp = {wire::kArpRequest, kPeerMac, kPeerIp, {}, kOurIp};
    in_frame(a.emit());
    forget();
    t = stack.tcp_new();
    stack.tcp_bind(*t, kOurIp, 80);
    set_callbacks(stack, *t, app);
    EXPECT_EQ(stack.tcp_connect(*t, {kPeerIp, 4000}, now), Result::ok);
    collect();
  }
  // Data after a SYN-ACK with `flags`: its TOS.
  std::uint8_t tos_after(std::uint8_t flags) {
    const Out syn = out();
    in({.flags = flags, .seq = 9000, .ack = syn.seq() + 1, .options = mss_option(1000)});
    forget();
    stack.tcp_write(*t, owner, 1, owner.size(), now);
    tick();
    return out().frame.ip.tos;
  }
  Tcb* t;
  StringOwner owner{"data"};
};

TEST(EcnAgreed, AClientAsksWhereItShallAndBelievesOneBitOnly) {
  EXPECT_EQ(Client(Ecn::accept).out().flags(), kSyn);
  EXPECT_EQ(Client(Ecn::request).out().flags(), kSyn | kEce | kCwr);
  EXPECT_EQ(Client(Ecn::request).tos_after(kSyn | kAck | kEce), kEct);
  EXPECT_EQ(Client(Ecn::request).tos_after(kSyn | kAck), 0);
  EXPECT_EQ(Client(Ecn::request).tos_after(kSyn | kAck | kEce | kCwr), 0) << "flags reflected";
  EXPECT_EQ(Client(Ecn::accept).tos_after(kSyn | kAck | kEce), 0) << "nobody asked";
}

TEST(EcnAgreed, ALostSynGoesAgainWithoutIt) {  // 6.1.1.1
  Client s(Ecn::request);
  s.out();
  s.advance(1100 * kMillisecond);
  EXPECT_EQ(s.out().flags(), kSyn);
}

TEST(EcnAgreed, SurvivesACookie) {
  Config c = with(Ecn::accept);
  c.max_backlog = 1;
  Script s(c);
  s.listen();
  s.in({.flags = kSyn, .seq = 1, .from_port = 9});
  s.forget();
  wire::TcpOptions o = mss_option(1000);
  o.timestamps = wire::Timestamps{5, 0};
  s.in({.flags = kSyn | kEce | kCwr, .seq = s.irs, .options = o});
  const Out cookie = s.out();
  EXPECT_EQ(cookie.flags(), kSyn | kAck | kEce);
  s.iss = cookie.seq();
  s.ts_on = true;
  s.in(s.data(""));
  In marked = s.data("abc");
  marked.tos = kCe;
  s.in(marked);
  s.advance(kSecond);
  EXPECT_EQ(s.last_out().flags(), kAck | kEce);
}

TEST(EcnMarks, GoOnNewDataOnly) {  // 6.1.4, 6.1.5
  Marked s;
  StringOwner o(pattern(3000));
  s.write(o, o.size());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(s.out().frame.ip.tos, kEct);
  s.until_output(kSecond);
  EXPECT_EQ(s.out().frame.ip.tos, 0) << "a retransmission";
  s.in(s.data("x", 0, 3000));
  s.advance(kSecond);
  EXPECT_EQ(s.out().frame.ip.tos, 0) << "an acknowledgement";
}

TEST(EcnMarks, NotOnWindowProbes) {  // 6.1.6
  Marked s;
  StringOwner first(pattern(1000)), more(pattern(1000));
  s.write(first, first.size());
  s.forget();
  In closed = s.data("", 0, 1000);
  closed.window = 0;
  s.in(closed);
  s.write(more, more.size());
  s.expect_silence();
  s.until_output(2 * kSecond);
  const Out probe = s.out();
  EXPECT_EQ(probe.payload().size(), 1u);
  EXPECT_EQ(probe.frame.ip.tos, 0);
}

TEST(EcnEcho, UntilTheSenderHasReducedItsWindow) {  // 6.1.3
  Marked s;
  In marked = s.data("abc");
  marked.tos = kCe;
  s.in(marked);
  s.advance(kSecond);
  EXPECT_EQ(s.last_out().flags(), kAck | kEce);
  s.in(s.data("def", 3));
  s.advance(kSecond);
  EXPECT_EQ(s.last_out().flags(), kAck | kEce) << "again and again";
  s.in(s.data("ghi", 6, 0, kAck | kCwr));
  s.advance(kSecond);
  EXPECT_EQ(s.last_out().flags(), kAck);
  EXPECT_EQ(s.stack.counters().ce_in, 1u);
}

TEST(EcnEcho, NotWhereItWasNotAgreedOn) {
  Script s(with(Ecn::accept));
  s.listen();
  s.establish(mss_option(1000));
  In marked = s.data("abc");
  marked.tos = kCe;
  s.in(marked);
  s.advance(kSecond);
  EXPECT_EQ(s.last_out().flags(), kAck);
}

TEST(EcnReaction, HalvesOncePerRoundTripAndSaysSo) {  // 6.1.2
  Marked s;
  StringOwner o(pattern(200000));
  s.write(o, o.size());
  EXPECT_EQ(s.sent.size(), 10u);
  s.forget();
  const auto cwnd = [&] { return s.app.tcb->cc.cwnd; };
  s.now += 20 * kMillisecond;
  s.in(s.data("", 0, 1000, kAck | kEce));
  EXPECT_EQ(cwnd(), 5000u);
  s.in(s.data("", 0, 2000, kAck | kEce));
  s.in(s.data("", 0, 8000, kAck | kEce));
  EXPECT_EQ(cwnd(), 5000u) << "of the same flight, and no growth";
  const Out first = s.out();
  EXPECT_EQ(first.flags() & kCwr, kCwr);
  EXPECT_EQ(first.payload().size(), 1000u) << "on new data";
  while (!s.sent.empty()) EXPECT_EQ(s.out().flags() & kCwr, 0) << "once";
  s.now += 20 * kMillisecond;
  s.in(s.data("", 0, 11000, kAck | kEce));
  EXPECT_EQ(cwnd(), 2500u) << "marked again in the next";
  EXPECT_EQ(s.stack.counters().ecn_reductions, 2u);
  EXPECT_EQ(s.stack.counters().retransmits, 0u);
}

TEST(EcnReaction, ALossIsAnsweredOnceNotTwice) {
  wire::TcpOptions o = sack_options();
  Marked s(o);
  StringOwner owner(pattern(200000));
  s.write(owner, owner.size());
  s.forget();
  s.now += 20 * kMillisecond;
  for (std::uint32_t to = 2; to <= 6; ++to) {
    In i = s.data("", 0, 0, kAck | (to > 4 ? kEce : 0));
    i.options.sack_blocks = 1;
    i.options.sack[0] = {s.iss + 1 + 1000, s.iss + 1 + to * 1000};
    s.in(i);
  }
  EXPECT_EQ(s.stack.counters().fast_retransmits, 1u);
  EXPECT_EQ(s.stack.counters().ecn_reductions, 0u);
  s.in(s.data("", 0, 10000));
  unsigned said = 0;
  while (!s.sent.empty()) said += (s.out().flags() & kCwr) != 0 ? 1 : 0;
  EXPECT_EQ(said, 1u);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
