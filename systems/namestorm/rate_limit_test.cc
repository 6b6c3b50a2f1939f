// SPDX-License-Identifier: Apache-2.0
#include "rate_limit.h"

#include <gtest/gtest.h>

namespace stackrig::namestorm {
namespace {

constexpr wire::Ipv4Address kClient{0x0a4d0101};     // 10.77.1.1
constexpr wire::Ipv4Address kNeighbour{0x0a4d01fe};  // 10.77.1.254: the same /24
constexpr wire::Ipv4Address kStranger{0x0a4d0201};   // 10.77.2.1

struct Sent {
  unsigned whole = 0, truncated = 0, dropped = 0;
};

Sent ask(RateLimit& limit, wire::Ipv4Address client, unsigned queries, Time from, Time every) {
  Sent s;
  for (unsigned i = 0; i < queries; ++i) {
    switch (limit.check(client, from + i * every)) {
      case Verdict::send:
        ++s.whole;
        break;
      case Verdict::truncate:
        ++s.truncated;
        break;
      case Verdict::drop:
        ++s.dropped;
        break;
    }
  }
  return s;
}

TEST(RateLimit, IsOffUnlessARateIsGiven) {
  EXPECT_FALSE(RateLimit({}).is_on());
  EXPECT_TRUE(RateLimit({.per_second = 1}).is_on());
}

TEST(RateLimit, LetsASecondsWorthThroughAtOnce) {
  RateLimit limit({.per_second = 100, .slip = 0});
  const Sent s = ask(limit, kClient, 150, nmio::kSecond, 0);
  EXPECT_EQ(s.whole, 100U);
  EXPECT_EQ(s.dropped, 50U);
}

TEST(RateLimit, LeaksAtItsRate) {
  RateLimit limit({.per_second = 100, .slip = 0});
  ask(limit, kClient, 100, nmio::kSecond, 0);
  // Ten seconds at ten times the rate: the bucket is full all the time.
  const Sent s = ask(limit, kClient, 10000, nmio::kSecond, nmio::kMillisecond);
  EXPECT_NEAR(s.whole, 1000, 2);
}

TEST(RateLimit, BelowTheRateNothingIsLost) {
  RateLimit limit({.per_second = 100});
  EXPECT_EQ(ask(limit, kClient, 1000, nmio::kSecond, nmio::kSecond / 99).whole, 1000U);
}

TEST(RateLimit, EverySlipthAnswerOverTheRateIsTruncated) {
  for (const auto& [slip, truncated] : {std::pair{1U, 60U}, {2U, 30U}, {3U, 20U}, {0U, 0U}}) {
    RateLimit limit({.per_second = 40, .slip = slip});
    const Sent s = ask(limit, kClient, 100, nmio::kSecond, 0);
    EXPECT_EQ(s.whole, 40U);
    EXPECT_EQ(s.truncated, truncated) << slip;
    EXPECT_EQ(s.dropped, 60U - truncated);
  }
}

TEST(RateLimit, ClientsOfOnePrefixShareARateAndOthersHaveTheirOwn) {
  RateLimit limit({.per_second = 10, .slip = 0});
  ask(limit, kClient, 10, nmio::kSecond, 0);
  EXPECT_EQ(limit.check(kNeighbour, nmio::kSecond), Verdict::drop);
  EXPECT_EQ(limit.check(kStranger, nmio::kSecond), Verdict::send);
  RateLimit each({.per_second = 10, .slip = 0, .prefix = 32});
  ask(each, kClient, 10, nmio::kSecond, 0);
  EXPECT_EQ(each.check(kNeighbour, nmio::kSecond), Verdict::send);
}

TEST(RateLimit, AFloodFromManyPrefixesDoesNotFreeOneThatIsLimited) {
  RateLimit limit({.per_second = 10, .slip = 0, .sets = 4});
  ask(limit, kClient, 10, nmio::kSecond, 0);
  for (std::uint32_t i = 0; i < 10000; ++i)
    limit.check({0x0b000000U + (i << 8)}, nmio::kSecond);  // one answer each: nearly empty buckets
  EXPECT_EQ(limit.check(kClient, nmio::kSecond), Verdict::drop);
}

}  // namespace
}  // namespace stackrig::namestorm
