// SPDX-License-Identifier: Apache-2.0
// CUBIC's curve against its formula (RFC 9438), HyStart++ (RFC 9406).
#include "tcpip/cubic.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tcpip/congestion.h"

namespace stackrig::tcpip {
namespace {

constexpr std::uint32_t kMss = 1000;

// RFC 9438 figure 1 and 2, in segments.
double formula(double w_max, double w_begin, double t) {
  const double k = std::cbrt((w_max - w_begin) / 0.4);
  return 0.4 * std::pow(t - k, 3) + w_max;
}

// A flow of `srtt_ms` whose every window is acknowledged in a round trip; cwnd in segments at
// times.
struct Flow {
  Flow(double segments, std::uint32_t srtt_ms) : srtt(srtt_ms) {
    cubic::on_congestion(state, static_cast<std::uint32_t>(segments * kMss));
    cwnd = static_cast<std::uint32_t>(segments * kMss * cubic::kBeta);
  }
  void run_until(std::uint32_t ms) {
    while (now < ms) {
      const std::uint32_t n = cwnd / kMss;  // ACKs, one for each segment
      for (std::uint32_t i = 0; i < n; ++i) {
        cwnd = cubic::on_ack(state, cwnd, kMss, kMss, now + i * srtt / n, srtt * 1000);
      }
      now += srtt;
    }
  }
  [[nodiscard]] double segments() const { return static_cast<double>(cwnd) / kMss; }
  CubicState state{};
  std::uint32_t cwnd, srtt, now = 1000;
};

TEST(Cubic, FollowsItsFormula_ConcaveThenConvex) {
  // A long fat path: Reno's window stays below the curve.
  for (const double w_max : {500.0, 1000.0, 4000.0}) {
    Flow f(w_max, 100);
    const double begin = w_max * 0.7;
    const double k = std::cbrt((w_max - begin) / 0.4);
    for (double t = 1; t < 2 * k; t += 1) {
      f.run_until(1000 + static_cast<std::uint32_t>(t * 1000));
      // The window is where the curve will be a round trip later; it takes up to one to follow.
      const double low = formula(w_max, begin, t - 0.1);
      const double high = formula(w_max, begin, t + 0.2);
      EXPECT_GE(f.segments(), low * 0.98) << w_max << " at " << t;
      EXPECT_LE(f.segments(), high * 1.02) << w_max << " at " << t;
    }
  }
}

TEST(Cubic, IsFlatWhereItMetCongestion) {
  Flow f(1000, 100);
  const double k = std::cbrt(300 / 0.4);
  f.run_until(1000 + static_cast<std::uint32_t>((k - 1) * 1000));
  const double before = f.segments();
  f.run_until(1000 + static_cast<std::uint32_t>((k + 1) * 1000));
  EXPECT_NEAR(before, 1000, 5);
  EXPECT_NEAR(f.segments(), 1000, 5);
}

TEST(Cubic, IsNeverSlowerThanReno) {  // 4.3
  Flow f(20, 10);                     // a short path: the curve takes seconds, Reno half a second
  f.run_until(1000 + 400);
  // 40 round trips by alpha = 0.53 until 20, then 1 each.
  const double rounds_to_prior = (20 - 14) / (3 * 0.3 / 1.7);
  EXPECT_NEAR(f.segments(), 20 + (40 - rounds_to_prior), 4);
  EXPECT_GT(f.segments(), formula(20, 14, 0.4) + 10);
}

TEST(Cubic, AFlowThatIsCutBeforeItGotBackMakesRoom) {  // 4.7
  CubicState s{};
  cubic::on_congestion(s, 100000);
  EXPECT_EQ(s.w_max, 100000u);
  cubic::on_congestion(s, 80000);
  EXPECT_EQ(s.w_max, 68000u);
  cubic::on_congestion(s, 90000);
  EXPECT_EQ(s.w_max, 90000u);
}

TEST(Cubic, GrowsByHalfAWindowARoundTripAtMost) {  // 4.4
  CubicState s{};
  cubic::on_congestion(s, 10000);
  std::uint32_t cwnd = 7000;
  cwnd = cubic::on_ack(s, cwnd, kMss, kMss, 1000, 100000);
  // An hour later the curve is far away.
  const std::uint32_t next = cubic::on_ack(s, cwnd, cwnd, kMss, 3'601'000, 100000);
  EXPECT_LE(next, cwnd + cwnd / 2 + 1);
}

TEST(Cubic, KeepsSevenTenthsOfTheWindow) {
  Congestion c;
  CubicState s{};
  congestion::start(c, kMss, 10);
  congestion::on_congestion(c, CongestionControl::cubic, s, 100000, kMss);
  EXPECT_EQ(c.ssthresh, 70000u);
  congestion::on_congestion(c, CongestionControl::cubic, s, 1000, kMss);
  EXPECT_EQ(c.ssthresh, 2000u);
}

TEST(Cubic, TimeWithoutSendingDoesNotCount) {
  Flow f(1000, 100);
  f.run_until(3000);
  const std::uint32_t before = f.cwnd;
  cubic::pause(f.state, f.now);
  f.now += 3'600'000;
  f.cwnd = cubic::on_ack(f.state, f.cwnd, kMss, kMss, f.now, 100000);
  EXPECT_LE(f.cwnd, before + kMss);
}

TEST(Cubic, AfterAPauseTheCurveGoesOnWhereItWas) {
  Flow steady(1000, 100), paused(1000, 100);
  const std::uint32_t beyond = 12'000;  // well into the part that grows ever faster
  steady.run_until(beyond);
  paused.run_until(beyond);
  cubic::pause(paused.state, paused.now);
  cubic::pause(paused.state, paused.now + 50);  // is one pause, from where it began
  paused.now += 100;
  steady.run_until(beyond + 3'000);
  paused.run_until(beyond + 3'100);
  EXPECT_NEAR(paused.cwnd, steady.cwnd, 2.0 * kMss);
}

// --- HyStart++ ---

struct Rounds {
  // A round of `acks` whose round trips are `us`; true where slow start ended in it.
  bool round(std::uint32_t us, unsigned acks = 10) {
    const Seq next = at + 1000;
    bool over = false;
    for (unsigned i = 0; i < acks; ++i) {
      over = h.on_ack(i + 1 == acks ? next : at + 1 + i, next + 1000, us) || over;
    }
    at = next;
    return over;
  }
  HyStart h{};
  Seq at = 0xfffffc00U;
};

TEST(HyStart, ConstantRoundTripsEndNothing) {
  Rounds r;
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(r.round(20000));
  EXPECT_FALSE(r.h.in_css);
}

TEST(HyStart, GrowingRoundTripsSlowItDownThenEndIt) {
  Rounds r;
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(r.round(40000));
  EXPECT_FALSE(r.round(44000)) << "below an eighth";
  r.h.last_min = 40000;
  unsigned rounds = 0;
  bool over = false;
  for (; rounds < 20 && !over; ++rounds) over = r.round(46000 + rounds * 1000);
  EXPECT_TRUE(over);
  EXPECT_LE(rounds, 6u);
  EXPECT_GE(rounds, 5u);
  EXPECT_EQ(r.h.growth(4000, 1000), 1000u);
}

TEST(HyStart, APassingDelayIsForgiven) {
  Rounds r;
  for (int i = 0; i < 3; ++i) r.round(40000);
  r.round(60000);
  EXPECT_TRUE(r.h.in_css);
  r.round(40000);
  EXPECT_FALSE(r.h.in_css);
  EXPECT_EQ(r.h.growth(20000, 1000), 8000u);
}

TEST(HyStart, FewSamplesProveNothing) {
  Rounds r;
  for (int i = 0; i < 3; ++i) r.round(40000);
  r.round(90000, 7);
  EXPECT_FALSE(r.h.in_css);
}

TEST(HyStart, AFewMillisecondsAreNoise) {
  Rounds r;
  for (int i = 0; i < 3; ++i) r.round(1000);
  r.round(4900);
  EXPECT_FALSE(r.h.in_css);
  r.h.last_min = 1000;
  r.round(5100);
  EXPECT_TRUE(r.h.in_css);
}

}  // namespace
}  // namespace stackrig::tcpip
