// SPDX-License-Identifier: Apache-2.0
// The scoreboard against a model that keeps a state for every byte.
#include "tcpip/scoreboard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

namespace stackrig::tcpip {
namespace {

struct Flight {
  explicit Flight(std::uint32_t ranges) : board(ranges) {
    t.sent_first = t.sent_last = Scoreboard::kNone;
    t.sent_count = 0;
  }
  std::vector<SentRange> list() {
    std::vector<SentRange> v;
    for (std::uint32_t i = t.sent_first; i != Scoreboard::kNone; i = board[i].next) {
      v.push_back(board[i]);
    }
    return v;
  }
  Tcb t{};
  Scoreboard board;
  BoardSums sums{};
};

struct Byte {
  bool sacked = false, lost = false, again = false;
};

// The list covers the flight without gaps or overlaps, and its sums are right.
void check(Flight& f, Seq una, Seq max) {
  std::uint32_t sacked = 0, lost = 0;
  Seq at = una;
  const auto v = f.list();
  for (const SentRange& r : v) {
    ASSERT_EQ(r.from, at);
    ASSERT_TRUE(seq_lt(r.from, r.to));
    at = r.to;
    if (r.is(kRangeSacked)) sacked += r.bytes();
    if (r.is(kRangeLost)) lost += r.bytes();
    ASSERT_FALSE(r.is(kRangeSacked) && r.is(kRangeLost));
  }
  ASSERT_EQ(at, max);
  ASSERT_EQ(v.size(), f.t.sent_count);
  ASSERT_LE(v.size(), Scoreboard::kMostRanges);
  ASSERT_EQ(f.sums.sacked, sacked);
  ASSERT_EQ(f.sums.lost, lost);
  ASSERT_EQ(f.board.pool().used(), v.size());
}

class AgainstModel : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(AgainstModel, RandomReportsLossesAndAcks) {
  const bool ample = GetParam() > 1000;
  for (unsigned seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Flight f(GetParam());
    const Seq base = 0xffffff00U + seed;  // wraps
    std::vector<Byte> bytes;              // from `base` on
    std::uint32_t una = 0, now = 1;
    const auto size = [&] { return static_cast<std::uint32_t>(bytes.size()); };
    for (int step = 0; step < 400; ++step) {
      now += static_cast<std::uint32_t>(random() % 20);
      const std::uint32_t in_flight = size() - una;
      switch (random() % 6) {
        case 0:
        case 1: {
          if (in_flight == 0 && f.t.sent_first != Scoreboard::kNone) FAIL();
          const std::uint32_t n = 1 + static_cast<std::uint32_t>(random() % 50);
          if (!f.board.append(f.t, base + size(), base + size() + n, now, 10)) {
            ASSERT_FALSE(ample);
            f.board.drop(f.t);
            f.sums = {};
            una = size();
            bytes.resize(una);
            break;
          }
          bytes.resize(size() + n);
          break;
        }
        case 2: {
          if (in_flight == 0) break;
          const std::uint32_t to = una + 1 + static_cast<std::uint32_t>(random() % in_flight);
          std::uint32_t news = 0, expected = 0;
          for (std::uint32_t i = una; i < to; ++i) expected += bytes[i].sacked ? 0 : 1;
          f.board.ack(f.t, base + to, f.sums, [&](const SentRange& r) { news += r.bytes(); });
          if (ample) {
            ASSERT_EQ(news, expected);
          }
          una = to;
          break;
        }
        case 3: {
          if (in_flight < 4) break;
          std::array<std::uint32_t, 4> cuts;
          for (auto& c : cuts) c = una + static_cast<std::uint32_t>(random() % (in_flight + 1));
          std::sort(cuts.begin(), cuts.end());
          std::vector<wire::SackBlock> blocks;
          if (cuts[0] < cuts[1]) blocks.push_back({base + cuts[0], base + cuts[1]});
          if (cuts[2] < cuts[3]) {
            if (!blocks.empty() && cuts[2] == cuts[1]) {
              blocks.back().right = base + cuts[3];
            } else {
              blocks.push_back({base + cuts[2], base + cuts[3]});
            }
          }
          std::uint32_t news = 0, expected = 0;
          for (const auto& b : blocks) {
            for (std::uint32_t i = b.left - base; i < b.right - base; ++i) {
              expected += bytes[i].sacked ? 0 : 1;
              bytes[i].sacked = true;
              bytes[i].lost = false;
            }
          }
          f.board.sack(f.t, blocks, f.sums, [&](const SentRange& r) { news += r.bytes(); });
          if (ample) {
            ASSERT_EQ(news, expected);
          }
          break;
        }
        case 4: {  // something is lost, some of it goes out again
          for (std::uint32_t i = f.t.sent_first; i != Scoreboard::kNone; i = f.board[i].next) {
            if (random() % 3 != 0 || f.board[i].is(kRangeSacked)) continue;
            f.board.mark_lost(i, f.sums);
            for (Seq at = f.board[i].from; at != f.board[i].to; ++at) bytes[at - base].lost = true;
          }
          for (const SentRange& r : f.list()) {
            if (!r.is(kRangeLost) || random() % 2 != 0) continue;
            const std::uint32_t n = 1 + static_cast<std::uint32_t>(random() % r.bytes());
            f.board.resent(f.t, r.from, r.from + n, now, 10, f.sums);
            for (std::uint32_t i = 0; i < n; ++i) {
              bytes[r.from + i - base].lost = false;
              bytes[r.from + i - base].again = true;
            }
          }
          break;
        }
        default: {
          if (random() % 20 == 0) {
            f.board.lose_all(f.t, f.sums);
            for (std::uint32_t i = una; i < size(); ++i) bytes[i] = {false, true, true};
          } else if (random() % 10 == 0) {
            f.board.lose_none(f.t, f.sums);
            for (auto& b : bytes) b.lost = false;
          }
          break;
        }
      }
      check(f, f.t.sent_first == Scoreboard::kNone ? base + size() : base + una, base + size());
      if (HasFatalFailure()) return;
      if (!ample) continue;
      for (const SentRange& r : f.list()) {
        for (Seq at = r.from; at != r.to; ++at) {
          const Byte& b = bytes[at - base];
          ASSERT_EQ(r.is(kRangeSacked), b.sacked);
          ASSERT_EQ(r.is(kRangeLost), b.lost);
          if (!b.sacked) {
            ASSERT_EQ(r.is(kRangeAgain), b.again);
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ranges, AgainstModel, ::testing::Values(4000U, 8U, 2U));

TEST(Scoreboard, AListOfAnyLengthKeepsWithinItsLimit) {
  Flight f(100000);
  for (std::uint32_t i = 0; i < 5000; ++i) {
    ASSERT_TRUE(f.board.append(f.t, i * 10, i * 10 + 10, i * 1000, 0));
  }
  EXPECT_LE(f.t.sent_count, Scoreboard::kMostRanges / 2);
  const std::uint64_t before = f.board.visits();
  for (std::uint32_t i = 0; i < 5000; i += 2) {
    const wire::SackBlock b{i * 10 + 3, i * 10 + 5};
    f.board.sack(f.t, {&b, 1}, f.sums, [](const SentRange&) {});
  }
  EXPECT_LE(f.t.sent_count, Scoreboard::kMostRanges);
  EXPECT_LE(f.board.visits() - before, 2500U * (Scoreboard::kMostRanges + 2))
      << "a report costs one walk";
  check(f, 0, 50000);
}

}  // namespace
}  // namespace stackrig::tcpip
