// SPDX-License-Identifier: Apache-2.0
// The path's MTU: told by ICMP (RFC 1191, 5927), found without it (RFC 4821, 8899).
#include "tcpip/sack_sender.h"

namespace stackrig::tcpip::testing {
namespace {

// "Fragmentation needed" about `frame`, which we sent.
std::vector<std::byte> too_long(const std::vector<std::byte>& frame, std::uint16_t mtu,
                                wire::Ipv4Address router = {0x0a000003}) {
  wire::IcmpFrame f;
  f.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeIpv4};
  f.ip.source = router;
  f.ip.destination = kOurIp;
  f.icmp = {wire::kIcmpUnreachable, wire::kIcmpFragmentationNeeded, 0, mtu};
  f.payload.assign(frame.begin() + 14, frame.begin() + 14 + 28);
  return f.emit();
}

struct Path {
  explicit Path(bool sack = true, const Config& c = sender_config(), std::size_t bytes = 400000)
      : s(c), owner(pattern(bytes)) {
    s.listen();
    s.establish(sack ? sack_options(1460) : mss_option(1460), 65535, 20 * kMillisecond);
    s.stack.tcp_write(*s.app.tcb, owner, 1, owner.size(), s.now);
    s.tick();
  }
  Tcb& tcb() { return *s.app.tcb; }
  /// A receiver behind a path that passes `most` payload bytes of a segment, silently or with ICMP,
  /// until `bytes` have arrived or `rounds` of 20 ms have passed.
  void run(std::uint32_t most, bool told, std::size_t bytes, int rounds) {
    for (int r = 0; r < rounds && got.size() < bytes && s.app.tcb != nullptr; ++r) {
      std::deque<std::vector<std::byte>> frames;
      frames.swap(s.sent);
      for (const auto& bytes_of : frames) {
        const auto f = wire::TcpFrame::parse(bytes_of);
        if (!f) continue;
        longest = std::max(longest, f->payload.size());
        if (f->payload.size() > most) {
          if (told) s.in_frame(too_long(bytes_of, static_cast<std::uint16_t>(most + 40)));
          continue;
        }
        const std::size_t at = f->tcp.sequence - s.iss - 1;
        if (at > got.size()) continue;
        const std::string text(reinterpret_cast<const char*>(f->payload.data()), f->payload.size());
        if (at + text.size() > got.size()) {
          got += text.substr(got.size() - at);
          s.in(s.data("", 0, static_cast<std::uint32_t>(got.size())));
        }
      }
      s.advance(20 * kMillisecond);
    }
  }
  Script s;
  StringOwner owner;
  std::string got;
  std::size_t longest = 0;
};

TEST(PathMtu, IsTakenFromARouterAndWhatWasTooLongGoesAgain) {
  for (const bool sack : {false, true}) {
    SCOPED_TRACE(sack);
    Path p(sack);
    const auto first = p.s.sent.front();
    const std::uint32_t cwnd = p.tcb().cc.cwnd;
    p.s.forget();
    p.s.in_frame(too_long(first, 1240));
    ASSERT_FALSE(p.s.sent.empty());
    const Out again = p.s.out();
    EXPECT_EQ(again.seq(), p.s.iss + 1);
    EXPECT_EQ(again.payload().size(), 1200u);
    EXPECT_EQ(p.tcb().cc.cwnd, cwnd) << "no congestion";
    EXPECT_EQ(p.s.stack.counters().path_mtu_cuts, 1u);
    p.got = again.payload();
    p.s.in(p.s.data("", 0, 1200));
    p.run(1200, true, 100000, 200);
    EXPECT_GE(p.got.size(), 100000u);
    EXPECT_EQ(p.got, p.owner.text().substr(0, p.got.size()));
    EXPECT_EQ(p.s.stack.counters().rto_fired, 0u);
  }
}

TEST(PathMtu, ARouterThatDoesNotSayItsOwnIsTakenAtAPlateau) {  // RFC 1191 7
  Path p;
  const auto first = p.s.sent.front();
  p.s.in_frame(too_long(first, 0));
  EXPECT_EQ(p.tcb().mss, 1492 - 40);
}

TEST(PathMtu, OnlyWhatQuotesTheFlightIsBelieved) {  // RFC 5927 4.1
  Path p;
  const auto good = p.s.sent.front();
  const auto change = [&](std::size_t at, std::uint8_t by) {
    auto f = good;
    f[at] = std::byte{static_cast<std::uint8_t>(std::to_integer<unsigned>(f[at]) + by)};
    p.s.in_frame(too_long(f, 600));
    EXPECT_EQ(p.tcb().mss, 1460) << at;
  };
  change(34 + 4, 0x40);  // sequence number far away
  change(34 + 5, 0x10);  // beyond what was sent
  change(34 + 1, 1);     // another port
  change(34 + 3, 1);
  change(33, 1);  // another address
  EXPECT_EQ(p.s.stack.counters().icmp_ignored, 5u);
  p.s.in_frame(too_long(good, 1500));  // not less than it is
  p.s.in_frame(too_long(good, 9000));
  EXPECT_EQ(p.tcb().mss, 1460);
  p.s.in_frame(too_long(good, 600));
  EXPECT_EQ(p.tcb().mss, 560);
}

TEST(PathMtu, ATinyOneIsRefusedAHold) {
  Path p;
  p.s.in_frame(too_long(p.s.sent.front(), 68));
  EXPECT_EQ(p.tcb().mss, 216);
}

TEST(PathMtu, WhatLongSegmentsDisproveHasToTimeOutFirst) {  // RFC 5927 7.2
  Path p;
  p.run(1460, false, 50000, 100);
  ASSERT_FALSE(p.s.sent.empty());
  const auto one = p.s.sent.front();
  p.s.in_frame(too_long(one, 600));
  EXPECT_EQ(p.tcb().mss, 1460) << "they are acknowledged all the time";
  p.run(1460, false, 100000, 100);
  EXPECT_EQ(p.tcb().mss, 1460);
  // The path changed in truth: the segment times out.
  const auto two = p.s.sent.front();
  p.s.forget();
  p.s.in_frame(too_long(two, 600));
  p.s.advance(kSecond);
  EXPECT_EQ(p.tcb().mss, 560);
}

TEST(BlackHole, IsFoundWithoutIcmp) {
  for (const bool sack : {false, true}) {
    for (const std::uint32_t most : {1200U, 700U}) {
      SCOPED_TRACE(most);
      Path p(sack);
      p.run(most, false, 30000, 2000);
      EXPECT_GE(p.got.size(), 30000u);
      EXPECT_EQ(p.got, p.owner.text().substr(0, p.got.size()));
      EXPECT_GT(p.s.stack.counters().path_mtu_cuts, 0u);
      EXPECT_TRUE(p.s.app.ended.empty());
    }
  }
}

TEST(BlackHole, ShortSegmentsThatAreLostAreNone) {
  Path p(true, sender_config(), 500);
  p.s.advance(10 * kSecond);
  EXPECT_GT(p.s.stack.counters().rto_fired, 3u);
  EXPECT_EQ(p.tcb().mss, 1460);
}

TEST(Search, FindsWhatPassesWhereNobodyTold) {
  Path p(true, sender_config(), 4'000'000);
  p.run(1300, false, 30000, 2000);
  const auto cuts = p.s.stack.counters().path_mtu_cuts;
  EXPECT_GT(cuts, 0u);
  p.run(1300, false, 1'500'000, 20000);
  EXPECT_GT(p.tcb().mss, 1280);
  EXPECT_LE(p.tcb().mss, 1300);
  EXPECT_EQ(p.s.stack.counters().path_mtu_cuts, cuts);
  EXPECT_GT(p.s.stack.counters().path_mtu_raises, 0u);
  EXPECT_EQ(p.got, p.owner.text().substr(0, p.got.size()));
}

TEST(Search, AfterAnOutageTheOldLengthIsBackAtOnce) {
  Path p(true, sender_config(), 4'000'000);
  p.run(0, false, 1, 100);  // nothing passes for two seconds
  ASSERT_GT(p.s.stack.counters().path_mtu_cuts, 0u);
  p.run(1460, false, 300'000, 2000);
  EXPECT_EQ(p.tcb().mss, 1460);
}

TEST(Search, WhereARouterToldTenMinutesPassFirst) {  // RFC 8899 5.1.1
  Path p(true, sender_config(), 4'000'000);
  p.run(1300, true, 30000, 2000);
  const std::uint32_t before = p.tcb().mss;
  p.run(1460, true, 200'000, 5000);
  EXPECT_EQ(p.tcb().mss, before) << "not yet";
  p.s.now += 601 * kSecond;
  p.s.tick();
  p.run(1460, true, 1'500'000, 20000);
  EXPECT_EQ(p.tcb().mss, 1460);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
