// SPDX-License-Identifier: Apache-2.0
// A thread's DNS load in virtual time: what it asks, and what each answer counts as.
#include "rigload/dns_client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "dns/message.h"

namespace stackrig::rigload {
namespace {

using nmio::kMillisecond;
using nmio::kSecond;
using Bytes = std::vector<std::uint8_t>;

constexpr Time kStart = 100 * kSecond;

class FakeMeter final : public UsageMeter {
 public:
  Usage usage() override { return {}; }
};

/// The answer that a right server gives: the question and one record.
Bytes answer_to(const DnsOutgoing& o) {
  const auto* q = reinterpret_cast<const std::uint8_t*>(o.query->payload());
  Bytes answer(q, q + dns::Header::kSize + o.query->question_len);
  dns::Header& header = dns::Header::at(answer.data());
  header.id.set(o.id);
  header.flags.set(dns::flag::kResponse | dns::flag::kAuthoritative);
  header.answers.set(1);
  header.additionals.set(0);
  for (const std::uint8_t b : {0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1}) {
    answer.push_back(b);
  }
  return answer;
}

std::uint64_t digest_of_answer(const DnsQueries& queries) {
  const DnsOutgoing o{.query = &queries.at(0), .flow = 0, .id = 0};
  return *DnsDigest().of(answer_to(o));
}

/// A client, driven by hand.
class World {
 public:
  explicit World(DnsConfig config, std::uint32_t names = 1, bool with_contents = false)
      : stats(std::make_unique<RunStats>()) {
    const auto questions = names_of_pattern("h{}.example", names, "A");
    queries =
        std::make_unique<DnsQueries>(questions, std::vector<DnsExpected>{}, DnsQueries::Options{});
    if (with_contents) {
      std::vector<DnsExpected> expected(names, {.answers = 1});
      for (std::uint32_t i = 0; i < names; ++i) {
        const DnsOutgoing o{.query = &queries->at(i), .flow = 0, .id = 0};
        expected[i].digest = *DnsDigest().of(answer_to(o));
      }
      queries = std::make_unique<DnsQueries>(questions, expected, DnsQueries::Options{});
    }
    client = std::make_unique<DnsClient>(config, *queries, meter, control, *stats);
  }

  std::vector<DnsOutgoing> take(std::size_t room = 64) {
    std::vector<DnsOutgoing> out(room);
    client->turn(now);
    out.resize(client->take(out, now));
    return out;
  }
  void answer(const DnsOutgoing& o) { client->answer(o.flow, answer_to(o), now); }
  /// The server is reached and the run begins.
  void begin() {
    const auto probe = take();
    ASSERT_EQ(probe.size(), 1U);
    answer(probe[0]);
    control.start_at = kStart;
    now = kStart;
    client->turn(now);
  }
  void end() {
    for (unsigned i = 0; i < 10'000 && !client->done(); ++i) {
      now += 10 * kMillisecond;
      client->turn(now);
    }
  }
  [[nodiscard]] std::uint64_t errors(ErrorKind kind) const {
    std::uint64_t n = 0;
    for (const PhaseStats& s : *stats) n += s.error(kind);
    return n;
  }
  [[nodiscard]] const PhaseStats& measured() const { return stats->at(1); }

  FakeMeter meter;
  RunControl control;
  std::unique_ptr<RunStats> stats;
  std::unique_ptr<DnsQueries> queries;
  std::unique_ptr<DnsClient> client;
  Time now = kSecond;
};

// --- before the start

TEST(DnsClient, AsksAgainUntilTheServerIsThere) {
  World w({});
  EXPECT_EQ(w.take().size(), 1U);
  EXPECT_TRUE(w.take().empty()) << "not before 100 ms have passed";
  w.now += 100 * kMillisecond;
  const auto second = w.take();
  ASSERT_EQ(second.size(), 1U);
  w.answer(second[0]);
  EXPECT_EQ(w.control.connected, 1U);
}

TEST(DnsClient, FailsWhereTheServerNeverAnswers) {
  World w({.targets = {"10.0.0.1:53"}});
  w.end();
  EXPECT_TRUE(w.client->done());
  EXPECT_NE(w.client->failure().find("10.0.0.1:53: no right answer"), std::string::npos);
}

TEST(DnsClient, FailsAtOnceWhereThePortIsUnreachable) {
  World w({});
  w.take();
  w.client->refused(w.now);
  EXPECT_TRUE(w.client->done());
  EXPECT_NE(w.client->failure().find("port unreachable"), std::string::npos);
}

TEST(DnsClient, AWrongFirstAnswerDoesNotCountAsReached) {
  World w({});
  const auto probe = w.take();
  Bytes wrong = answer_to(probe[0]);
  wrong[13] ^= 1;  // the question's first letter
  w.client->answer(0, wrong, w.now);
  EXPECT_EQ(w.control.connected, 0U);
}

// --- which query is next

/// The places in the set of `n` queries, each answered at once.
std::vector<std::uint32_t> asked(World& w, unsigned n) {
  std::vector<std::uint32_t> places;
  for (unsigned i = 0; i < n; ++i) {
    const auto out = w.take(1);
    if (out.empty()) break;
    for (std::uint32_t q = 0; q < w.queries->size(); ++q) {
      if (out[0].query == &w.queries->at(q)) places.push_back(q);
    }
    w.answer(out[0]);
  }
  return places;
}

TEST(DnsClient, InTheFilesOrderBeginsAnewAtTheEnd) {
  World w({.order = DnsOrder::file}, 5);
  w.begin();
  EXPECT_EQ(asked(w, 11), (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0}));
}

TEST(DnsClient, InTheFilesOrderThreadsDealTheQueriesOutInTurn) {
  World first({.order = DnsOrder::file, .thread = 0, .threads = 2}, 5);
  World second({.order = DnsOrder::file, .thread = 1, .threads = 2}, 5);
  first.begin();
  second.begin();
  EXPECT_EQ(asked(first, 5), (std::vector<std::uint32_t>{0, 2, 4, 1, 3}));
  EXPECT_EQ(asked(second, 5), (std::vector<std::uint32_t>{1, 3, 0, 2, 4}));
}

TEST(DnsClient, MoreThreadsThanQueriesStillAskInTheFilesOrder) {
  World w({.order = DnsOrder::file, .thread = 5, .threads = 6}, 4);
  w.begin();
  EXPECT_EQ(asked(w, 5), (std::vector<std::uint32_t>{1, 3, 1, 3, 1}));
}

TEST(DnsClient, AtRandomIsTheRuleAndNotTheFilesOrder) {
  World w({}, 1000);
  w.begin();
  const auto places = asked(w, 8);
  ASSERT_EQ(places.size(), 8U);
  EXPECT_FALSE(std::ranges::is_sorted(places));
}

// --- closed loop

TEST(DnsClient, KeepsAsManyQueriesUnderWayAsAskedFor) {
  World w({.outstanding = 8, .flows = 4});
  w.begin();
  const auto out = w.take();
  EXPECT_EQ(out.size(), 8U);
  EXPECT_TRUE(w.take().empty());
  w.answer(out[3]);
  EXPECT_EQ(w.take().size(), 1U);
}

TEST(DnsClient, SpreadsQueriesOverFlowsEvenly) {
  World w({.outstanding = 8, .flows = 4});
  w.begin();
  std::vector<unsigned> of_flow(4);
  for (const DnsOutgoing& o : w.take()) ++of_flow[o.flow];
  EXPECT_EQ(of_flow, (std::vector<unsigned>{2, 2, 2, 2}));
}

TEST(DnsClient, LatencyCountsFromWhenTheLastAnswerCame) {
  World w({.outstanding = 1});
  w.begin();
  const auto first = w.take();
  w.now += 3 * kMillisecond;
  w.answer(first[0]);
  w.now += 2 * kMillisecond;  // the client was late: that is no excuse
  const auto second = w.take();
  w.now += kMillisecond;
  w.answer(second[0]);
  EXPECT_EQ(w.measured().requests, 2U);
  EXPECT_EQ(w.measured().latency.min, 3 * kMillisecond);
  EXPECT_EQ(w.measured().latency.max, 3 * kMillisecond);
}

TEST(DnsClient, PhasesHaveTheirOwnCounts) {
  World w({.outstanding = 1, .warmup = 10 * kMillisecond, .duration = 20 * kMillisecond});
  w.begin();
  w.answer(w.take()[0]);
  w.now += 10 * kMillisecond;
  w.answer(w.take()[0]);
  w.now += kMillisecond;
  const auto last = w.take();
  w.now += 20 * kMillisecond;
  w.client->tick(w.now);
  w.answer(last[0]);
  w.client->turn(w.now);
  EXPECT_TRUE(w.client->done());
  EXPECT_EQ(w.stats->at(0).requests, 1U);
  EXPECT_EQ(w.stats->at(1).requests, 1U);
  EXPECT_EQ(w.stats->at(2).requests, 1U);
  EXPECT_EQ(w.stats->at(0).latency.count, 2U) << "the second was due when the first was answered";
  EXPECT_EQ(w.stats->at(1).latency.count, 1U) << "and the last one while measuring";
}

// --- wrong answers

struct Wrong {
  const char* name;
  void (*spoil)(Bytes&);
  ErrorKind kind;
};

class DnsClientWrong : public testing::TestWithParam<Wrong> {};

TEST_P(DnsClientWrong, IsCountedAndNotTakenForRight) {
  World w({.outstanding = 1, .check_every = 1}, 1, true);
  w.begin();
  Bytes answer = answer_to(w.take()[0]);
  GetParam().spoil(answer);
  w.client->answer(0, answer, w.now);
  EXPECT_EQ(w.errors(GetParam().kind), 1U);
  EXPECT_EQ(w.measured().requests, 0U);
  EXPECT_EQ(w.measured().censored, 1U);
  EXPECT_EQ(w.take().size(), 1U) << "the slot is free for another query";
}

INSTANTIATE_TEST_SUITE_P(
    Answers, DnsClientWrong,
    testing::Values(Wrong{"AnotherRcode", [](Bytes& a) { a[3] = 3; }, ErrorKind::status},
                    Wrong{"Truncated", [](Bytes& a) { a[2] |= 2; }, ErrorKind::status},
                    Wrong{"NoResponse", [](Bytes& a) { a[2] = 0; }, ErrorKind::status},
                    Wrong{"AnotherName", [](Bytes& a) { a[13] = 'x'; }, ErrorKind::question},
                    Wrong{"AnotherCase", [](Bytes& a) { a[13] ^= 0x20; }, ErrorKind::question},
                    Wrong{"AnotherType", [](Bytes& a) { a[25] = 28; }, ErrorKind::question},
                    Wrong{"CutShort", [](Bytes& a) { a.resize(20); }, ErrorKind::question},
                    Wrong{"NoQuestion", [](Bytes& a) { a[5] = 0; }, ErrorKind::question},
                    Wrong{"NoRecord", [](Bytes& a) { a[7] = 0; }, ErrorKind::content},
                    Wrong{"AnotherAddress", [](Bytes& a) { a.back() = 2; }, ErrorKind::content},
                    Wrong{"AnotherTtl", [](Bytes& a) { a[a.size() - 7] ^= 1; }, ErrorKind::content},
                    Wrong{"RecordCutShort", [](Bytes& a) { a.pop_back(); }, ErrorKind::content}),
    [](const auto& wrong) { return wrong.param.name; });

TEST(DnsClient, LooksAtTheFirstAnswerOfEachNameAndThenAtEveryNth) {
  World w({.outstanding = 1, .check_every = 1'000'000}, 2, true);
  w.begin();
  std::set<const DnsQuery*> seen;
  unsigned wrong = 0;
  for (unsigned i = 0; i < 100; ++i) {
    const DnsOutgoing o = w.take()[0];
    Bytes answer = answer_to(o);
    answer.back() = 99;
    w.client->answer(o.flow, answer, w.now);
    wrong += seen.insert(o.query).second ? 1U : 0U;
  }
  EXPECT_EQ(wrong, 2U);
  EXPECT_EQ(w.errors(ErrorKind::content), 2U);
}

// --- what nobody asked for

TEST(DnsClient, AnAnswerThatComesTwiceCountsOnce) {
  World w({.outstanding = 1});
  w.begin();
  const DnsOutgoing o = w.take()[0];
  w.answer(o);
  w.answer(o);
  EXPECT_EQ(w.measured().requests, 1U);
  EXPECT_EQ(w.measured().unasked, 1U);
}

TEST(DnsClient, AnAnswerAfterTheTimeoutIsNotTakenForTheNextOne) {
  World w({.outstanding = 1, .timeout = 100 * kMillisecond});
  w.begin();
  const DnsOutgoing slow = w.take()[0];
  w.now += 200 * kMillisecond;
  const auto next = w.take();
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(w.errors(ErrorKind::timeout), 1U);
  w.answer(slow);
  EXPECT_EQ(w.measured().requests, 0U);
  EXPECT_EQ(w.measured().unasked, 1U);
  w.answer(next[0]);
  EXPECT_EQ(w.measured().requests, 1U);
}

TEST(DnsClient, AnAnswerOnAnotherFlowIsNotTaken) {
  World w({.outstanding = 2, .flows = 2});
  w.begin();
  const DnsOutgoing o = w.take()[0];
  w.client->answer(o.flow ^ 1U, answer_to(o), w.now);
  // The other flow's slot may have that id as well; the question is the same, so only its own
  // answer may complete it once.
  w.answer(o);
  EXPECT_LE(w.measured().requests, 2U);
  EXPECT_GE(w.measured().requests, 1U);
}

TEST(DnsClient, AShortDatagramIsCounted) {
  World w({.outstanding = 1});
  w.begin();
  w.take();
  const Bytes few(11, 0);
  w.client->answer(0, few, w.now);
  EXPECT_EQ(w.measured().unasked, 1U);
}

// --- open loop

DnsConfig open_loop(double rate, std::uint32_t outstanding) {
  return {.outstanding = outstanding,
          .arrivals = Arrivals::Config{.kind = ArrivalKind::uniform, .rate = rate},
          .queue_bound = 100,
          .duration = 100 * kMillisecond,
          .timeout = 50 * kMillisecond};
}

TEST(DnsClient, AsksWhenAQueryIsDueAndNotBefore) {
  World w(open_loop(1000, 64));
  w.begin();
  EXPECT_EQ(w.take().size(), 1U) << "the first is due at the start";
  w.now += kMillisecond / 2;
  EXPECT_TRUE(w.take().empty());
  w.now += 5 * kMillisecond;
  EXPECT_EQ(w.take().size(), 5U);
}

TEST(DnsClient, LatencyCountsFromTheDueTimeOfAQueryThatHadToWait) {
  World w(open_loop(1000, 1));
  w.begin();
  const DnsOutgoing first = w.take()[0];
  w.now = kStart + 10 * kMillisecond;
  w.answer(first);
  const auto second = w.take();  // due 1 ms after the start
  ASSERT_EQ(second.size(), 1U);
  w.answer(second[0]);
  EXPECT_EQ(w.measured().latency.max, 10 * kMillisecond);
  EXPECT_EQ(w.measured().latency.min, 9 * kMillisecond);
}

TEST(DnsClient, EveryQueryThatWasDueIsAnsweredOrCountedAsAnError) {
  World w(open_loop(10'000, 16));
  w.begin();
  std::uint64_t right = 0;
  while (!w.client->done() && w.now < kStart + kSecond) {
    for (const DnsOutgoing& o : w.take()) {
      if (o.id % 3 == 0) continue;  // lost
      w.answer(o);
      ++right;
    }
    w.now += kMillisecond;
  }
  EXPECT_TRUE(w.client->done());
  EXPECT_EQ(right + w.errors(ErrorKind::timeout) + w.errors(ErrorKind::unsent), 1000U);
  EXPECT_GT(w.errors(ErrorKind::unsent), 0U) << "lost queries held the slots";
  EXPECT_EQ(w.measured().latency.count, right);
  EXPECT_EQ(w.measured().censored, 1000 - right) << "all were due while measuring";
  EXPECT_GE(w.measured().censored_wait_max, 50 * kMillisecond) << "a timeout's";
}

TEST(DnsClient, AStopFromOutsideEndsItAtOnce) {
  World w({.outstanding = 4});
  std::atomic<bool> stop{false};
  w.control.interrupted = &stop;
  w.begin();
  w.take();
  stop = true;
  w.client->turn(w.now);
  EXPECT_TRUE(w.client->done());
  EXPECT_TRUE(w.client->was_interrupted());
  EXPECT_EQ(w.measured().censored, 4U) << "they were under way still";
}

// --- digests

TEST(DnsDigest, DependsOnWhatAnAnswerSaysAndNotOnHow) {
  const World w({}, 1);
  const DnsOutgoing o{.query = &w.queries->at(0), .flow = 0, .id = 7};
  const Bytes compressed = answer_to(o);
  Bytes plain = compressed;
  plain.resize(plain.size() - 16);
  plain.insert(plain.end(), compressed.begin() + 12, compressed.begin() + 24);  // the name
  plain.insert(plain.end(), compressed.end() - 14, compressed.end());
  plain[plain.size() - 14 - 11] = 'H';  // another case of its first letter
  EXPECT_EQ(DnsDigest().of(compressed), DnsDigest().of(plain));
  EXPECT_EQ(digest_of_answer(*w.queries), *DnsDigest().of(plain));
}

TEST(DnsDigest, RefusesPointersThatGoRound) {
  const World w({}, 1);
  Bytes message = answer_to({.query = &w.queries->at(0), .flow = 0, .id = 7});
  message[message.size() - 15] = static_cast<std::uint8_t>(message.size() - 16);
  EXPECT_EQ(DnsDigest().of(message), std::nullopt);
}

}  // namespace
}  // namespace stackrig::rigload
