// SPDX-License-Identifier: Apache-2.0
// Each variant answers each question, in bursts of each length, with the bytes that the general
// path would have composed.
#include <gtest/gtest.h>

#include "test_world.h"

namespace stackrig::namestorm::testing {
namespace {

constexpr std::uint16_t kTypes[] = {dns::type::kA,   dns::type::kAaaa, dns::type::kNs,
                                    dns::type::kMx,  dns::type::kTxt,  dns::type::kSoa,
                                    dns::type::kAny, dns::type::kDs,   dns::type::kCname};
constexpr const char* kNames[] = {"example.com",
                                  "www.example.com",
                                  "WwW.eXaMpLe.CoM",
                                  "mail.example.com",
                                  "alias.example.com",
                                  "x.wild.example.com",
                                  "none.example.com",
                                  "deep.example.com",
                                  "c.deep.example.com",
                                  "sub.example.com",
                                  "a.sub.example.com",
                                  "ns.sub.example.com",
                                  "medium.example.com",
                                  "large.example.com",
                                  "huge.example.com",
                                  "host7.example.com",
                                  "HOST49.example.com",
                                  "example.org",
                                  "x.example.org",
                                  "example.net",
                                  "com",
                                  ""};

std::vector<Ask> ways_to_ask() {
  return {{.id = 0},
          {.id = 1, .flags = 0},
          {.id = 0xffff},
          {.id = 2, .edns = true},
          {.id = 3, .edns = true, .dnssec_ok = true},
          {.id = 4, .edns = true, .payload_size = 512},
          {.id = 5, .edns = true, .payload_size = 4096}};
}

std::vector<Message> all_questions() {
  std::vector<Message> all;
  for (const char* name : kNames) {
    for (const std::uint16_t type : kTypes) {
      for (const Ask& ask : ways_to_ask()) all.push_back(query(name, type, ask));
    }
  }
  return all;
}

template <class V>
class Answers : public ::testing::Test {};
TYPED_TEST_SUITE(Answers, Variants);

TYPED_TEST(Answers, AreWhatTheGeneralPathComposes) {
  World<typename TypeParam::Key> w(TypeParam::config());
  for (int round = 0; round < 3; ++round) {  // copies are used again
    for (const Message& q : all_questions())
      ASSERT_EQ(w.ask(q), composed(w.served(), q)) << ::testing::PrintToString(q);
  }
  EXPECT_GT(w.server().counters().cut, 0U);
  EXPECT_GT(w.server().counters().composed, 0U);
  EXPECT_EQ(w.server().counters().errors, 0U);
  w.expect_all_home();
}

TYPED_TEST(Answers, AreTheSameInBurstsOfEachLength) {
  const auto questions = all_questions();
  for (const unsigned burst : {1U, 2U, 31U, 32U, 33U, 64U, 256U}) {
    WorldConfig config = TypeParam::config();
    config.loop.burst = burst;
    World<typename TypeParam::Key> w(config);
    for (std::size_t at = 0; at < questions.size(); at += burst) {
      const std::size_t n = std::min<std::size_t>(burst, questions.size() - at);
      for (std::size_t i = 0; i < n; ++i) w.send(questions[at + i]);
      w.run();
      const auto answers = w.take_answers();
      ASSERT_EQ(answers.size(), n) << "burst " << burst;
      // What was composed leaves in its turn: the order of the questions is kept.
      for (std::size_t i = 0; i < n; ++i)
        ASSERT_EQ(answers[i], composed(w.served(), questions[at + i])) << "burst " << burst;
    }
    w.expect_all_home();
  }
}

TYPED_TEST(Answers, OfOneNameManyTimesInABurst) {
  World<typename TypeParam::Key> w(TypeParam::config());
  for (unsigned i = 0; i < 200; ++i)
    w.send(query(i % 2 == 0 ? "www.example.com" : "WWW.example.com", dns::type::kA,
                 {.id = static_cast<std::uint16_t>(i), .edns = i % 3 == 0}));
  w.run();
  const auto answers = w.take_answers();
  ASSERT_EQ(answers.size(), 200U);
  for (unsigned i = 0; i < 200; ++i) {
    EXPECT_EQ(answers[i],
              composed(w.served(),
                       query(i % 2 == 0 ? "www.example.com" : "WWW.example.com", dns::type::kA,
                             {.id = static_cast<std::uint16_t>(i), .edns = i % 3 == 0})));
  }
  EXPECT_EQ(w.server().counters().cut, 200U);
  w.expect_all_home();
}

TYPED_TEST(Answers, AreRightWhereTheDeviceComputesChecksums) {
  WorldConfig config = TypeParam::config();
  config.server_port.tx_checksum = config.server_port.rx_checksum = true;
  World<typename TypeParam::Key> w(config);
  for (const Message& q : all_questions()) ASSERT_EQ(w.ask(q), composed(w.served(), q));
}

TYPED_TEST(Answers, WithoutFreeChunksForCopiesEveryQueryIsStillAnswered) {
  WorldConfig config = TypeParam::config();
  config.server_port.chunks = 256;
  World<typename TypeParam::Key> w(config);
  for (unsigned round = 0; round < 20; ++round) {
    for (unsigned i = 0; i < 60; ++i) w.send(query("www.example.com", dns::type::kA));
    w.run();
    ASSERT_EQ(w.take_answers().size(), 60U);
  }
  w.expect_all_home();
}

TYPED_TEST(Answers, ComeFromEveryQueue) {
  WorldConfig config = TypeParam::config();
  config.server_port.queues = 4;
  World<typename TypeParam::Key> w(config);
  const Message q = query("host1.example.com", dns::type::kA);
  for (std::uint16_t port = 1024; port < 1424; ++port) w.send(q, port);
  w.run();
  ASSERT_EQ(w.clients.answers.size(), 400U);
  std::set<std::uint16_t> ports;
  for (const wire::UdpFrame& f : w.clients.answers) ports.insert(f.udp.destination_port);
  EXPECT_EQ(ports.size(), 400U) << "each to who asked";
  for (const Message& a : w.take_answers()) EXPECT_EQ(a, composed(w.served(), q));
  for (unsigned i = 0; i < 4; ++i) EXPECT_GT(w.server(i).counters().queries, 50U) << "queue " << i;
  w.expect_all_home();
}

TYPED_TEST(Answers, BeyondTheTransmitRingAreDroppedAndCounted) {
  WorldConfig config = TypeParam::config();
  config.server_port.ring = 64;
  config.loop.burst = 256;
  World<typename TypeParam::Key> w(config);
  const Message q = query("www.example.com", dns::type::kA);
  for (unsigned round = 0; round < 50; ++round) {
    for (unsigned i = 0; i < 300; ++i) w.send(q);
    w.run();
    for (const Message& a : w.take_answers()) ASSERT_EQ(a, composed(w.served(), q));
  }
  w.expect_all_home();
  EXPECT_EQ(w.ask(q), composed(w.served(), q)) << "and then it goes on";
}

TEST(RateLimited, AClientOverItsRateGetsEverySecondAnswerTruncated) {
  WorldConfig config;
  config.server.udp.rate_limit = {.per_second = 20, .slip = 2};
  World<> w(config);
  const Message q = query("www.example.com", dns::type::kA, {.edns = true});
  for (unsigned i = 0; i < 60; ++i) w.send(q);
  w.run();
  unsigned whole = 0, truncated = 0;
  for (const Message& a : w.take_answers()) {
    if (a == composed(w.served(), q)) {
      ++whole;
    } else {
      ++truncated;
      const auto& h = dns::Header::at(a.data());
      EXPECT_EQ(h.id.get(), 0x4711);
      EXPECT_NE(h.flags.get() & dns::flag::kTruncated, 0);
      EXPECT_EQ(h.answers.get(), 0);
      EXPECT_LE(a.size(), q.size()) << "nothing is amplified";
    }
  }
  EXPECT_EQ(whole, 20U);
  EXPECT_EQ(truncated, 20U);
  EXPECT_EQ(w.server().counters().rate_limited, 20U);
  EXPECT_EQ(w.server().counters().slipped, 20U);
  EXPECT_EQ(w.ask(q, 4242, {0x0a4d0201}), composed(w.served(), q)) << "others are served";
  w.run(2 * kSecond);
  EXPECT_EQ(w.ask(q), composed(w.served(), q)) << "and the client itself, later";
  w.expect_all_home();
}

TEST(RateLimited, ErrorsCountToo) {
  WorldConfig config;
  config.server.udp.rate_limit = {.per_second = 5, .slip = 0};
  World<> w(config);
  const Message q = query("www.example.com", dns::type::kA, {.flags = 0x2800});  // an UPDATE
  for (unsigned i = 0; i < 20; ++i) w.send(q);
  w.run();
  EXPECT_EQ(w.take_answers().size(), 5U);
  w.expect_all_home();
}

TEST(RateLimited, AnErrorThatSlipsSaysWhichItIs) {
  WorldConfig config;
  config.server.udp.rate_limit = {.per_second = 1, .slip = 1};
  World<> w(config);
  Message formerr = query("www.example.com", dns::type::kA);
  formerr.pop_back();
  Message badvers = query("www.example.com", dns::type::kA, {.edns = true});
  badvers[badvers.size() - 5] = 1;
  const Message update = query("www.example.com", dns::type::kA, {.flags = 0x2800});
  const Message notify = query("www.example.com", dns::type::kA, {.flags = 0x2000});
  for (const Message& m : {update, notify, formerr, badvers}) {
    const Message right = composed(w.served(), m);
    for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(w.ask(m), right) << ::testing::PrintToString(m);
  }
  EXPECT_EQ(w.server().counters().slipped, 15U);
  w.expect_all_home();
}

TEST(RateLimited, WhatIsOverTheRateCountsAsAsked) {
  for (const unsigned slip : {0U, 2U}) {
    WorldConfig config;
    config.server.udp.rate_limit = {.per_second = 5, .slip = slip};
    World<> w(config);
    for (unsigned i = 0; i < 20; ++i) w.send(query("www.example.com", dns::type::kA));
    for (unsigned i = 0; i < 20; ++i)
      w.send(query("www.example.com", dns::type::kA, {.flags = 0x2800}));
    w.run();
    const DnsCounters& seen = w.server().counters();
    EXPECT_EQ(seen.queries, 20U);
    EXPECT_EQ(seen.errors, 20U);
    EXPECT_EQ(seen.rate_limited + seen.slipped, 35U);
  }
}

TEST(SetUp, AnMtuThatTheLongestAnswerDoesNotFitIsRefused) {
  WorldConfig config;
  config.server_port.mtu = 1200;
  EXPECT_THROW(World<> w(config), nmio::SetupError);
}

}  // namespace
}  // namespace stackrig::namestorm::testing
