// SPDX-License-Identifier: Apache-2.0
// Arrivals in virtual time: rate, distribution, seeds and shares.
#include "rigload/arrivals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace stackrig::rigload {
namespace {

using nmio::kSecond;

std::vector<Time> take(Arrivals::Config config, unsigned n, Time start = 0) {
  Arrivals arrivals(config);
  arrivals.start(start);
  std::vector<Time> due;
  for (unsigned i = 0; i < n; ++i) {
    due.push_back(arrivals.next());
    arrivals.advance();
  }
  return due;
}

TEST(Arrivals, PoissonMeetsItsRate) {
  const auto due = take({.rate = 1e6, .seed = 7}, 1'000'000);
  // The time of the n-th arrival has a standard deviation of 1/sqrt(n): 0.1 % here.
  EXPECT_NEAR(static_cast<double>(due.back()), 1e9, 5e6);
  EXPECT_TRUE(std::is_sorted(due.begin(), due.end()));
}

TEST(Arrivals, PoissonGapsAreExponential) {
  const unsigned n = 200'000;
  const auto due = take({.rate = 1e5, .seed = 3}, n);
  std::vector<double> gaps;
  for (unsigned i = 1; i < n; ++i) gaps.push_back(static_cast<double>(due[i] - due[i - 1]));
  std::sort(gaps.begin(), gaps.end());
  // Kolmogorov-Smirnov: the greatest distance from 1 - exp(-x / mean), against the 0.1 % point.
  double worst = 0;
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    const double expected = 1 - std::exp(-gaps[i] / 1e4);
    worst = std::max(
        worst, std::abs(expected - static_cast<double>(i) / static_cast<double>(gaps.size())));
  }
  EXPECT_LT(worst, 1.95 / std::sqrt(static_cast<double>(gaps.size())));
}

TEST(Arrivals, UniformArrivalsAreEvenlySpaced) {
  const auto due = take({.kind = ArrivalKind::uniform, .rate = 3e6}, 3'000'001, kSecond);
  EXPECT_EQ(due.front(), kSecond);
  EXPECT_NEAR(static_cast<double>(due.back()), 2e9,
              2);  // no drift, though 1/3 us is no whole number
  for (std::size_t i = 1; i < due.size(); ++i) {
    ASSERT_GE(due[i] - due[i - 1], 333U);
    ASSERT_LE(due[i] - due[i - 1], 334U);
  }
}

TEST(Arrivals, SharesOfUniformArrivalsInterleave) {
  std::vector<Time> all;
  for (unsigned share = 0; share < 4; ++share) {
    const auto due =
        take({.kind = ArrivalKind::uniform, .rate = 1e6, .share = share, .shares = 4}, 1000);
    all.insert(all.end(), due.begin(), due.end());
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], i * 1000);
}

TEST(Arrivals, SharesOfPoissonArrivalsAddUpToTheRate) {
  std::size_t within_a_second = 0;
  for (unsigned share = 0; share < 4; ++share) {
    const auto due = take({.rate = 1e5, .share = share, .shares = 4, .seed = 11}, 50'000);
    within_a_second +=
        static_cast<std::size_t>(std::lower_bound(due.begin(), due.end(), kSecond) - due.begin());
  }
  EXPECT_NEAR(static_cast<double>(within_a_second), 1e5, 5 * std::sqrt(1e5));
}

TEST(Arrivals, ASeedRepeatsAndAnotherDiffers) {
  EXPECT_EQ(take({.rate = 1e6, .seed = 1}, 1000), take({.rate = 1e6, .seed = 1}, 1000));
  EXPECT_NE(take({.rate = 1e6, .seed = 1}, 1000), take({.rate = 1e6, .seed = 2}, 1000));
}

TEST(DueQueue, IsFirstInFirstOutAndBounded) {
  DueQueue queue(3);
  for (unsigned round = 0; round < 5; ++round) {  // goes round the ring's end
    EXPECT_TRUE(queue.push(round + 1));
    EXPECT_TRUE(queue.push(round + 2));
    EXPECT_TRUE(queue.push(round + 3));
    EXPECT_FALSE(queue.push(99));
    EXPECT_EQ(queue.pop(), round + 1);
    EXPECT_EQ(queue.pop(), round + 2);
    EXPECT_EQ(queue.size(), 1U);
    EXPECT_EQ(queue.pop(), round + 3);
    EXPECT_TRUE(queue.empty());
    EXPECT_TRUE(queue.push(0));  // moves the ring on by one
    EXPECT_EQ(queue.pop(), 0U);
  }
}

}  // namespace
}  // namespace stackrig::rigload
