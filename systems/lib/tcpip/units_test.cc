// SPDX-License-Identifier: Apache-2.0
// The parts by themselves: numbers, hashes, the table, the congestion window, the timer's length.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tcpip/congestion.h"
#include "tcpip/flow_key.h"
#include "tcpip/isn.h"
#include "tcpip/rtt.h"
#include "tcpip/seq.h"
#include "tcpip/syn_cookie.h"
#include "tcpip/table.h"
#include "tcpip/tcb.h"
#include "tcpip/time_wait.h"

namespace stackrig::tcpip {
namespace {

using nmio::kSecond;

TEST(Sequence, ComparesRoundTheEnd) {
  EXPECT_TRUE(seq_lt(0xfffffff0, 0x10));
  EXPECT_TRUE(seq_gt(0x10, 0xfffffff0));
  EXPECT_TRUE(seq_le(5, 5));
  EXPECT_EQ(seq_max(0xfffffff0, 0x10), 0x10u);
}

TEST(Isn, RisesWithTimeAndDiffersByFlowAndKey) {
  const std::uint64_t key[2] = {1, 2}, other[2] = {1, 3};
  const FlowKey a = FlowKey::of({{1}, 80}, {{2}, 4000});
  const FlowKey b = FlowKey::of({{1}, 80}, {{2}, 4001});
  const auto s = flow_secrets(a, key);
  EXPECT_NE(s.isn, flow_secrets(b, key).isn);
  EXPECT_NE(s.isn, flow_secrets(a, other).isn);
  // RFC 6528: one every 4 us, nearly.
  EXPECT_NEAR(initial_sequence(s, 11 * kSecond) - initial_sequence(s, 10 * kSecond), 250000, 7000);
}

TEST(FlowKey, TheSameFromBothSides) {
  const wire::Endpoint local{{0x0a000001}, 80}, remote{{0x0a000002}, 4000};
  const FlowKey ours = FlowKey::of(local, remote);
  const FlowKey theirs = FlowKey::of(remote, local);
  EXPECT_EQ(ours.local(), local);
  EXPECT_EQ(ours.remote(), remote);
  std::byte header[12];
  std::memcpy(header, &theirs.addresses, 8);
  std::memcpy(header + 8, &theirs.ports, 4);
  EXPECT_EQ(FlowKey::received(header, header + 8), ours);
}

TEST(Table, BehavesLikeAMap) {
  constexpr std::uint32_t kEntries = 500;
  ConnectionTable table(kEntries);
  std::map<std::uint32_t, std::uint32_t> model;  // ref -> hash
  std::mt19937 random(3);
  for (int i = 0; i < 200000; ++i) {
    const bool full = model.size() == kEntries;
    if (!full && (model.empty() || random() % 2 == 0)) {
      std::uint32_t ref = static_cast<std::uint32_t>(random() % 100000);
      // Few different buckets: chains over several of them.
      const std::uint32_t hash = static_cast<std::uint32_t>(random() % 16) |
                                 static_cast<std::uint32_t>(random() % 4) << 16;
      if (model.count(ref) != 0) continue;
      table.insert(hash, Ref::tcb(ref));
      model[ref] = hash;
    } else {
      auto it = model.begin();
      std::advance(it, random() % model.size());
      if (random() % 4 == 0) {
        const std::uint32_t to = it->first + 100000;
        table.replace(it->second, Ref::tcb(it->first), Ref::tcb(to));
        table.erase(it->second, Ref::tcb(to));
      } else {
        table.erase(it->second, Ref::tcb(it->first));
      }
      model.erase(it);
    }
    if (i % 1000 == 0) {
      ASSERT_EQ(table.size(), model.size());
      for (const auto& [ref, hash] : model) {
        const Ref found = table.find(hash, [r = ref](Ref x) { return x == Ref::tcb(r); });
        ASSERT_FALSE(found.none());
      }
      ASSERT_TRUE(
          table.find(static_cast<std::uint32_t>(random() % 16), [](Ref) { return false; }).none());
    }
  }
}

TEST(Table, CostsWhatItSays) {
  EXPECT_LE(sizeof(TimeWaitEntry), 64u);
  EXPECT_EQ(sizeof(Tcb), 384u);
}

TEST(Congestion, SlowStartDoublesAvoidanceAddsOne) {
  Congestion c;
  congestion::start(c, 1000, 10);
  EXPECT_EQ(c.cwnd, 10000u);
  for (int i = 0; i < 10; ++i) congestion::on_ack(c, 1000, 1000);
  EXPECT_EQ(c.cwnd, 20000u);
  c.ssthresh = 20000;
  for (int i = 0; i < 20; ++i) congestion::on_ack(c, 1000, 1000);
  EXPECT_EQ(c.cwnd, 21000u);
}

TEST(Congestion, AvoidanceAddsOnePerRoundTripThoughTheWindowIsNotOfWholeSegments) {
  Congestion c;
  c.cwnd = c.ssthresh = 4500;
  for (int i = 0; i < 4; ++i) congestion::on_ack(c, 1000, 1000);
  EXPECT_EQ(c.cwnd, 5500u);
  for (int i = 0; i < 5; ++i) congestion::on_ack(c, 1000, 1000);
  EXPECT_EQ(c.cwnd, 6500u);
}

TEST(Congestion, InitialWindowOfLargeSegmentsIsBoundedInBytes) {
  Congestion c;
  congestion::start(c, 8960, 10);
  EXPECT_EQ(c.cwnd, 17920u);  // RFC 6928: max(2 MSS, 14600)
  congestion::start(c, 1460, 10);
  EXPECT_EQ(c.cwnd, 14600u);
}

TEST(Congestion, LossHalvesTimeoutStartsOver) {
  Congestion c;
  congestion::start(c, 1000, 10);
  CubicState unused{};
  congestion::on_congestion(c, CongestionControl::new_reno, unused, 10000, 1000);
  congestion::on_loss(c, 3, 1000);
  EXPECT_EQ(c.ssthresh, 5000u);
  EXPECT_EQ(c.cwnd, 8000u);
  congestion::on_partial_ack(c, 2000, 1000);
  EXPECT_EQ(c.cwnd, 7000u);
  congestion::on_recovered(c, CongestionControl::new_reno, 2000, 1000);
  EXPECT_EQ(c.cwnd, 3000u);
  congestion::on_congestion(c, CongestionControl::reno, unused, 3000, 1000);
  congestion::on_rto(c, 1000);
  EXPECT_EQ(c.cwnd, 1000u);
  EXPECT_EQ(c.ssthresh, 2000u);  // never below two segments
}

TEST(Rto, FollowsRfc6298) {
  RttEstimator r;
  r.start(1000000);
  EXPECT_EQ(r.rto_us(200000), 1000000u);
  r.sample(100000);
  EXPECT_EQ(r.srtt_us(), 100000u);
  EXPECT_EQ(r.rto_us(200000), 300000u);  // R + 4 * R/2
  for (int i = 0; i < 100; ++i) r.sample(100000);
  EXPECT_NEAR(r.srtt_us(), 100000, 10);
  EXPECT_EQ(r.rto_us(200000), 200000u);
  EXPECT_EQ(r.rto_us(200000, 3), 1600000u);
  EXPECT_EQ(r.rto_us(200000, 60), kMaxRtoUs);
}

TEST(SynCookies, CarryTheMssRoundedDown) {
  const SynCookies c({5, 6});
  const FlowKey flow = FlowKey::of({{1}, 80}, {{2}, 4000});
  constexpr std::pair<std::uint16_t, std::uint16_t> kPairs[] = {
      {1460, 1460}, {1459, 1440}, {536, 536}, {535, 216}, {9000, 8960}};
  for (const auto& [mss, kept] : kPairs) {
    const Seq cookie = c.make(flow, 42, mss, 1000 * kSecond);
    EXPECT_EQ(c.check(flow, 42, cookie, 1000 * kSecond), kept);
    EXPECT_EQ(c.check(flow, 42, cookie, 1064 * kSecond), kept);
    EXPECT_FALSE(c.check(flow, 42, cookie, 1200 * kSecond));
    EXPECT_FALSE(c.check(flow, 43, cookie, 1000 * kSecond));
    EXPECT_FALSE(c.check(flow, 42, cookie ^ 0x01000000, 1000 * kSecond))
        << "the MSS is covered too";
  }
}

TEST(SynCookies, ClockCarriesTheOptionsAndIsNeverAhead) {
  for (std::uint32_t clock = 1000; clock < 1200; ++clock) {
    for (std::uint8_t scale = 0; scale <= 14; ++scale) {
      const std::uint32_t sent =
          SynCookies::fold_into_clock(clock, {scale, (scale & 1) != 0, (scale & 2) != 0});
      EXPECT_LE(sent, clock);
      EXPECT_GT(sent + 64, clock);
      const CookieOptions o = SynCookies::options_of(sent);
      EXPECT_EQ(o.window_scale, scale);
      EXPECT_EQ(o.sack, (scale & 1) != 0);
      EXPECT_EQ(o.ecn, (scale & 2) != 0);
    }
    EXPECT_FALSE(SynCookies::options_of(SynCookies::fold_into_clock(clock, {})).window_scale);
  }
}

}  // namespace
}  // namespace stackrig::tcpip
