// SPDX-License-Identifier: Apache-2.0
// The echo, over a simulated wire in virtual time.
#include "echo/echo_service.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "test_world.h"
#include "wire/frame.h"

namespace stackrig::rtc::testing {
namespace {

using EchoWorld = World<EchoService>;

std::string word(std::uint32_t size) {
  const auto bytes = echo::size_word(size);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Data segments that the server sent.
std::uint64_t data_segments(const EchoWorld& w) {
  return w.stack->counters().data_segs_out;
}

class EchoSize : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(EchoSize, EachBufferComesBackOnceWhole) {
  const std::uint32_t size = GetParam();
  EchoWorld w;
  Client& c = w.connect();
  c.send(word(size));
  std::string sent;
  for (unsigned i = 0; i < 5; ++i) {
    const std::string buffer = pattern(size, i);
    c.send(buffer.substr(0, size - 1));
    w.run(100 * kMillisecond);
    EXPECT_EQ(c.received(), sent) << "before it is whole, nothing is said";
    c.send(buffer.substr(size - 1));
    w.run(100 * kMillisecond);
    sent += buffer;
    ASSERT_EQ(c.received(), sent);
  }
  EXPECT_EQ(w.service->counters().buffers, 5U);
  EXPECT_EQ(w.service->counters().bytes, 5U * size);
  c.close();
  w.run(kSecond);
  EXPECT_TRUE(c.server_closed());
  w.expect_all_home();
}
INSTANTIATE_TEST_SUITE_P(Sizes, EchoSize,
                         ::testing::Values(1, 2, 32, 128, 1447, 1448, 1449, 4096, 16384, 65535,
                                           65536));

TEST(Echo, SplitAtEveryByte) {
  const std::string all = word(11) + pattern(44);
  EchoWorld w;
  for (std::size_t cut = 1; cut < all.size(); ++cut) {
    Client& c = w.connect();
    c.send(all.substr(0, cut));
    w.run(kMillisecond);
    EXPECT_EQ(c.received().size(), cut < 4 ? 0 : (cut - 4) / 11 * 11);
    c.send(all.substr(cut));
    w.run(kMillisecond);
    EXPECT_EQ(c.received(), all.substr(4)) << "cut at " << cut;
    c.close();
  }
  Client& c = w.connect();
  for (const char byte : all) {
    c.send(std::string(1, byte));
    w.run(kMillisecond);
  }
  w.run(kSecond);
  EXPECT_EQ(c.received(), all.substr(4));
}

TEST(Echo, WhatCameTogetherGoesBackTogether) {
  EchoWorld w;
  Client& c = w.connect();
  c.send(word(32));
  w.run(kMillisecond);
  const std::uint64_t before = data_segments(w);
  const std::string forty = pattern(40 * 32);
  c.send(forty);
  w.run(kMillisecond);
  EXPECT_EQ(c.received(), forty);
  EXPECT_EQ(data_segments(w) - before, 1U);
}

TEST(Echo, SegmentsOfOneBurstGoBackInAsFewAsTheyFit) {
  WorldConfig config;
  config.client_port.out.rate = 0;  // they arrive at one moment
  EchoWorld w(config);
  Client& c = w.connect();
  c.send(word(64));
  w.run(kMillisecond);
  const std::uint64_t before = data_segments(w);
  for (int i = 0; i < 8; ++i) c.send(pattern(64));
  w.run(kMillisecond);
  EXPECT_EQ(c.received().size(), 8U * 64);
  EXPECT_LE(data_segments(w) - before, 2U);
}

TEST(Echo, ASizeThatIsNotAllowedEndsTheConnection) {
  for (const std::uint32_t size : {0U, 65537U, ~0U}) {
    EchoWorld w;
    Client& other = w.connect();
    other.send(word(4));
    Client& c = w.connect();
    c.send(word(size) + "more");
    w.run(100 * kMillisecond);
    EXPECT_TRUE(c.server_closed() || c.gone());
    EXPECT_EQ(c.received(), "");
    EXPECT_EQ(w.service->counters().refused_sizes, 1U);
    other.send("abcd");
    w.run(100 * kMillisecond);
    EXPECT_EQ(other.received(), "abcd") << "nobody else notices";
    other.close();
    if (!c.gone()) c.close();
    w.run(kSecond);
    w.expect_all_home();
  }
}

TEST(Echo, WhatWasWholeComesBackAfterAHalfClose) {
  EchoWorld w;
  Client& c = w.connect();
  const std::string whole = pattern(30000);
  c.send(word(10000) + whole + "a piece");
  c.close();
  w.run(kSecond);
  EXPECT_EQ(c.received(), whole);
  EXPECT_TRUE(c.server_closed());
  EXPECT_EQ(w.service->counters().cut_short, 1U);
  w.expect_all_home();
}

TEST(Echo, AHalfCloseBehindThePauseWaitsForAll) {
  EchoWorld w;
  Client& c = w.connect();
  c.stop_reading();
  const std::string whole = pattern(800'000);
  c.send(word(1000) + whole);
  c.close();
  w.run(5 * kSecond);
  EXPECT_FALSE(c.server_closed());
  c.read_again();
  w.run(20 * kSecond);
  EXPECT_EQ(c.received(), whole);
  EXPECT_TRUE(c.server_closed());
  w.expect_all_home();
}

TEST(Echo, AClientThatDoesNotReadIsNotReadFrom) {
  EchoWorld w;
  Client& c = w.connect();
  c.stop_reading();
  const std::string much = pattern(2'000'000);
  c.send(word(100) + much);
  w.run(10 * kSecond);
  EXPECT_GT(w.service->counters().paused, 0U);
  EXPECT_LE(w.service->counters().bytes, 350'000U) << "bounded by what may be pending, and windows";
  Client& other = w.connect();
  other.send(word(4) + "abcd");
  w.run(kSecond);
  EXPECT_EQ(other.received(), "abcd");
  c.read_again();
  w.run(60 * kSecond);
  EXPECT_EQ(c.received(), much);
  c.close();
  other.close();
  w.run(kSecond);
  w.expect_all_home();
}

TEST(Echo, AClientThatNeverReadsIsDroppedInTheEnd) {
  WorldConfig config;
  config.service.send_timeout = 20 * kSecond;
  EchoWorld w(config);
  Client& c = w.connect();
  c.stop_reading();
  c.send(word(100) + pattern(900'000));
  w.run(120 * kSecond);
  EXPECT_EQ(w.service->counters().timed_out, 1U);
  w.run(60 * kSecond);
  w.expect_all_home();
}

TEST(Echo, OneThatSaysNothingIsDroppedInTheEnd) {
  WorldConfig config;
  config.service.idle_timeout = 10 * kSecond;
  EchoWorld w(config);
  w.connect();
  Client& talks = w.connect();
  talks.send(word(4));
  for (int i = 0; i < 10; ++i) {
    talks.send("abcd");
    w.run(5 * kSecond);
  }
  EXPECT_EQ(w.service->counters().timed_out, 1U);
  EXPECT_EQ(talks.received().size(), 40U);
}

TEST(Echo, AWireThatLosesReordersAndDoublesChangesNothing) {
  WorldConfig config;
  for (nmio::SimPortConfig* p : {&config.server_port, &config.client_port}) {
    p->out.loss = p->in.loss = 0.01;
    p->out.reorder = 0.02;
    p->out.duplicate = 0.01;
    p->out.corrupt = 0.005;
  }
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    config.seed = seed;
    EchoWorld w(config);
    std::vector<std::pair<Client*, std::string>> all;
    for (unsigned i = 0; i < 20; ++i) {
      Client& c = w.connect();
      const std::uint32_t size = 1 + i * 1021 % 20000;
      all.emplace_back(&c, pattern(std::size_t{size} * (i % 7 + 1), i));
      c.send(word(size) + all.back().second);
    }
    w.run(120 * kSecond);
    for (auto& [c, sent] : all) {
      EXPECT_EQ(c->received(), sent);
      c->close();
    }
    w.run(300 * kSecond);
    w.expect_all_home();
  }
}

TEST(Echo, AnOffloadingDeviceSendsByReference) {
  WorldConfig config;
  config.server_port.tx_checksum = config.server_port.rx_checksum = config.server_port.segment =
      config.server_port.scatter_gather = true;
  config.server_port.out.loss = 0.02;
  config.pool.reference_from = 256;
  config.pool.spare_blocks = 256;
  EchoWorld w(config);
  Client& c = w.connect();
  const std::string sent = pattern(20 * 16384);
  c.send(word(16384) + sent);
  w.run(20 * kSecond);
  EXPECT_EQ(c.received(), sent);
  c.close();
  w.run(kSecond);
  w.expect_all_home();
}

TEST(Echo, FloodsFindTheirLimitsAndOthersGoOn) {
  WorldConfig config;
  config.service.connections = 16;
  EchoWorld w(config);
  Client& first = w.connect();
  first.send(word(4) + "abcd");
  std::vector<Client*> all;
  all.reserve(100);
  for (int i = 0; i < 100; ++i) all.push_back(&w.connect());
  w.run(kSecond);
  EXPECT_EQ(std::ranges::count_if(all, [](Client* c) { return c->was_reset(); }), 85);
  first.send("efgh");
  w.run(kSecond);
  EXPECT_EQ(first.received(), "abcdefgh");
  for (Client* c : all) {
    if (!c->gone()) c->abort();
  }
  w.run(kSecond);
  Client& late = w.connect();
  late.send(word(2) + "ab");
  w.run(kSecond);
  EXPECT_EQ(late.received(), "ab");
}

TEST(Echo, MemoryThatIsSetAsideIsNeverMoreThanThereIs) {
  WorldConfig config;
  config.pool.blocks = 100;  // three connections with buffers of 65536 bytes: 33 blocks each
  EchoWorld w(config);
  std::vector<Client*> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(&w.connect());
    all.back()->send(word(65536));
  }
  w.run(kSecond);
  EXPECT_EQ(w.service->counters().no_memory, 2U);
  // Each of the three sends all of a buffer but the end, and can still send the end.
  for (int i = 0; i < 3; ++i) all[i]->send(pattern(65535, i));
  w.run(kSecond);
  for (int i = 0; i < 3; ++i) all[i]->send("!" + pattern(65536, i));
  w.run(kSecond);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(all[i]->received().size(), 2U * 65536);
  for (int i = 0; i < 3; ++i) all[i]->abort();
  w.run(kSecond);
  Client& late = w.connect();
  late.send(word(65536) + pattern(65536));
  w.run(kSecond);
  EXPECT_EQ(late.received(), pattern(65536));
}

TEST(Echo, ClientsThatVanishLeaveNothingBehind) {
  EchoWorld w;
  for (unsigned i = 0; i < 200; ++i) {
    Client& c = w.connect();
    if (i % 3 != 0) c.stop_reading();
    c.send(word(1 + i * 97 % 9000) + pattern(i * 331));
    w.run(i % 5 * kMillisecond);
    c.abort();
    w.run(kMillisecond);
    w.forget_clients();
  }
  w.run(kSecond);
  w.expect_all_home();
}

}  // namespace
}  // namespace stackrig::rtc::testing
