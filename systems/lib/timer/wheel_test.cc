// SPDX-License-Identifier: Apache-2.0
#include "timer/wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace stackrig::timer {
namespace {

constexpr unsigned kShift = 17;
constexpr Time kTick = Time{1} << kShift;

std::vector<Node*> fire(Wheel& wheel, Time now) {
  std::vector<Node*> fired;
  wheel.advance(now, [&](Node& n) { fired.push_back(&n); });
  return fired;
}

TEST(Wheel, FiresAtTheDeadlineRoundedUpToATickAndNeverBefore) {
  Wheel wheel;
  Node n;
  wheel.arm(n, 10 * kTick + 1);
  EXPECT_TRUE(fire(wheel, 10 * kTick + 1).empty());
  EXPECT_TRUE(fire(wheel, 11 * kTick - 1).empty());
  EXPECT_EQ(fire(wheel, 11 * kTick), std::vector<Node*>{&n});
  EXPECT_FALSE(n.armed());
  EXPECT_EQ(wheel.armed(), 0U);
}

TEST(Wheel, ADeadlineOnATickFiresOnThatTick) {
  Wheel wheel;
  Node n;
  wheel.arm(n, 10 * kTick);
  EXPECT_TRUE(fire(wheel, 10 * kTick - 1).empty());
  EXPECT_EQ(fire(wheel, 10 * kTick).size(), 1U);
}

TEST(Wheel, FiresInTheOrderOfTicks) {
  Wheel wheel;
  std::vector<Node> nodes(5);
  const Time deadlines[] = {70'000 * kTick, 3 * kTick, 65 * kTick, 64 * kTick, 5'000 * kTick};
  for (std::size_t i = 0; i < nodes.size(); ++i) wheel.arm(nodes[i], deadlines[i]);
  const std::vector<Node*> expected = {&nodes[1], &nodes[3], &nodes[2], &nodes[4], &nodes[0]};
  EXPECT_EQ(fire(wheel, 80'000 * kTick), expected);
}

TEST(Wheel, ACancelledTimerDoesNotFire) {
  Wheel wheel;
  Node a, b, c;
  for (Node* n : {&a, &b, &c}) wheel.arm(*n, 5 * kTick);
  wheel.cancel(b);
  wheel.cancel(b);
  auto fired = fire(wheel, 5 * kTick);
  EXPECT_EQ(fired.size(), 2U);
  EXPECT_EQ(std::count(fired.begin(), fired.end(), &b), 0);
}

TEST(Wheel, ArmingAgainMovesATimer) {
  Wheel wheel;
  Node n;
  wheel.arm(n, 5 * kTick);
  wheel.arm(n, 500 * kTick);
  EXPECT_TRUE(fire(wheel, 499 * kTick).empty());
  EXPECT_EQ(fire(wheel, 500 * kTick).size(), 1U);
}

TEST(Wheel, ArmingForNeverCancels) {
  Wheel wheel;
  Node n;
  wheel.arm(n, 5 * kTick);
  wheel.arm(n, kNever);
  EXPECT_FALSE(n.armed());
  EXPECT_EQ(wheel.next_deadline(), kNever);
}

TEST(Wheel, ADeadlineInThePastFiresAtTheNextTick) {
  Wheel wheel(1000 * kTick);
  Node n;
  wheel.arm(n, 3 * kTick);
  EXPECT_TRUE(fire(wheel, 1000 * kTick).empty());
  EXPECT_EQ(fire(wheel, 1001 * kTick).size(), 1U);
}

TEST(Wheel, ACallbackMayArmItsOwnTimerWithoutAnEndlessLoop) {
  Wheel wheel;
  Node n;
  wheel.arm(n, kTick);
  int fired = 0;
  wheel.advance(100 * kTick, [&](Node& node) {
    ++fired;
    wheel.arm(node, 0);
  });
  EXPECT_EQ(fired, 1);
  EXPECT_TRUE(n.armed());
  EXPECT_EQ(fire(wheel, 101 * kTick).size(), 1U);
}

TEST(Wheel, ACallbackMayCancelATimerThatIsDueAtTheSameTick) {
  Wheel wheel;
  Node a, b;
  wheel.arm(a, kTick);
  wheel.arm(b, kTick);
  int fired = 0;
  wheel.advance(kTick, [&](Node& n) {
    ++fired;
    wheel.cancel(&n == &a ? b : a);
  });
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(wheel.armed(), 0U);
}

TEST(Wheel, TheNextDeadlineIsNeverLate) {
  Wheel wheel;
  Node n;
  EXPECT_EQ(wheel.next_deadline(), kNever);
  wheel.arm(n, 7 * kTick);
  EXPECT_EQ(wheel.next_deadline(), 7 * kTick);
  wheel.arm(n, 70'000 * kTick);
  // Following next_deadline() alone reaches the timer in a few steps: one per level.
  int steps = 0;
  while (n.armed() && steps < 10) {
    const Time next = wheel.next_deadline();
    ASSERT_LE(next, 70'000 * kTick);
    fire(wheel, next);
    ++steps;
  }
  EXPECT_FALSE(n.armed());
  EXPECT_LE(steps, 3);
}

TEST(Wheel, TimeThatGoesBackFiresNothing) {
  Wheel wheel(100 * kTick);
  Node n;
  wheel.arm(n, 101 * kTick);
  EXPECT_TRUE(fire(wheel, 5 * kTick).empty());
  EXPECT_EQ(fire(wheel, 101 * kTick).size(), 1U);
}

TEST(Wheel, DeadlinesAtTheEndOfTimeAndAcrossEveryDigitBoundaryAreKept) {
  for (unsigned bit = kShift + 2; bit < 63; ++bit) {
    const Time boundary = Time{1} << bit;
    Wheel wheel(boundary - 2 * kTick);
    Node before, after, far;
    wheel.arm(before, boundary - kTick);
    wheel.arm(after, boundary + kTick);
    wheel.arm(far, kNever - kTick);
    EXPECT_EQ(fire(wheel, boundary - kTick), std::vector<Node*>{&before}) << bit;
    EXPECT_EQ(fire(wheel, boundary + kTick), std::vector<Node*>{&after}) << bit;
    EXPECT_TRUE(far.armed());
  }
}

// Against a model that keeps a list and scans it: random arms, cancels, moves and steps of time of
// all sizes, with callbacks that arm again.
TEST(Wheel, AgreesWithAModelOverRandomOperations) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937_64 random(seed);
    Time now = random() >> (10 + random() % 40);
    Wheel wheel(now, kShift);
    std::vector<Node> nodes(200);
    std::vector<Time> model(nodes.size(), kNever);  // tick at which it is due
    const auto due_tick = [&](Time deadline, std::uint64_t not_before) {
      return std::max((deadline + kTick - 1) >> kShift, not_before);
    };
    const auto random_span = [&] { return random() >> (24 + random() % 40); };
    for (int step = 0; step < 3000; ++step) {
      const std::size_t i = random() % nodes.size();
      switch (random() % 4) {
        case 0:
        case 1: {
          const Time deadline = now + random_span() - std::min<Time>(now, random() % kTick);
          wheel.arm(nodes[i], deadline);
          model[i] = due_tick(deadline, (now >> kShift) + 1);
          break;
        }
        case 2:
          wheel.cancel(nodes[i]);
          model[i] = kNever;
          break;
        default: {
          const Time next = wheel.next_deadline();
          now += random_span();
          std::vector<std::size_t> expected, fired;
          for (std::size_t k = 0; k < nodes.size(); ++k) {
            if (model[k] <= now >> kShift) {
              ASSERT_LE(next, model[k] << kShift);
              expected.push_back(k);
            }
          }
          std::uint64_t last_tick = 0;
          wheel.advance(now, [&](Node& n) {
            const auto k = static_cast<std::size_t>(&n - nodes.data());
            fired.push_back(k);
            ASSERT_GE(model[k], last_tick);
            last_tick = model[k];
            model[k] = kNever;
            if (random() % 8 == 0) {
              const Time deadline = now + random_span();
              wheel.arm(n, deadline);
              model[k] = due_tick(deadline, (now >> kShift) + 1);
            }
          });
          std::sort(fired.begin(), fired.end());
          ASSERT_EQ(fired, expected) << "seed " << seed << " step " << step;
        }
      }
      const auto armed = static_cast<std::size_t>(
          std::count_if(model.begin(), model.end(), [](Time t) { return t != kNever; }));
      ASSERT_EQ(wheel.armed(), armed);
      ASSERT_EQ(wheel.next_deadline() == kNever, armed == 0);
    }
  }
}

}  // namespace
}  // namespace stackrig::timer
