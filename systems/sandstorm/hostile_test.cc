// SPDX-License-Identifier: Apache-2.0
// Slow, greedy, broken and hostile peers: bounded in memory and time, and others are served
// meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "test_world.h"

namespace stackrig::sandstorm::testing {
namespace {

using ::testing::StartsWith;

const std::string kGet = "GET /f64 HTTP/1.1\r\nHost: a\r\n\r\n";

Site default_site() {
  return site({{"/f64", pattern(64)}, {"/large", pattern(2'000'000)}});
}

void expect_served(World& w) {
  EXPECT_THAT(w.ask(kGet), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST(Hostile, AHeadThatDoesNotEndIsGivenUpWhenItsTimeIsOver) {
  World w(default_site(), {.server = {.header_timeout = 10 * kSecond}});
  Client& c = w.connect();
  for (int i = 0; i < 9; ++i) {
    c.send("X");  // a byte a second does not buy more time
    w.run(kSecond);
  }
  EXPECT_FALSE(c.gone());
  for (int i = 0; i < 4 && !c.gone(); ++i) {
    c.send("X");
    w.run(kSecond);
  }
  EXPECT_TRUE(c.was_reset());
  EXPECT_EQ(w.server->counters().timed_out, 1U);
  w.expect_all_home();
}

TEST(Hostile, AConnectionThatAsksForNothingIsGivenUp) {
  World w(default_site(), {.server = {.header_timeout = 10 * kSecond}});
  Client& c = w.connect();
  w.run(9 * kSecond);
  EXPECT_FALSE(c.gone());
  w.run(3 * kSecond);
  EXPECT_TRUE(c.gone());
  w.expect_all_home();
}

TEST(Hostile, APersistentConnectionMayRestForItsTimeOnly) {
  World w(default_site(),
          {.server = {.header_timeout = 5 * kSecond, .keepalive_timeout = 20 * kSecond}});
  Client& c = w.connect();
  c.send(kGet);
  w.run(19 * kSecond);
  EXPECT_FALSE(c.gone()) << "longer than a head may take, shorter than a rest may last";
  c.send(kGet);
  w.run(19 * kSecond);
  EXPECT_FALSE(c.gone());
  w.run(4 * kSecond);
  EXPECT_TRUE(c.gone());
  EXPECT_EQ(w.server->counters().requests, 2U);
  w.expect_all_home();
}

TEST(Hostile, APeerThatReadsNothingIsGivenUp) {
  World w(default_site(), {.server = {.send_timeout = 10 * kSecond}});
  Client& c = w.connect();
  c.stop_reading();
  c.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
  w.run(8 * kSecond);
  EXPECT_FALSE(c.gone());
  w.run(10 * kSecond);
  EXPECT_TRUE(c.gone());
  EXPECT_EQ(w.server->counters().timed_out, 1U);
  w.run(kSecond);
  w.expect_all_home();
}

TEST(Hostile, APeerThatReadsSlowlyIsServedToItsEnd) {
  World w(default_site(), {.server = {.send_timeout = 5 * kSecond}});
  Client& c = w.connect();
  c.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  for (int i = 0; i < 60 && !c.server_closed(); ++i) {
    c.stop_reading();
    w.run(3 * kSecond);
    c.read_again();
    w.run(20 * kMillisecond);
  }
  EXPECT_THAT(c.received(), ::testing::EndsWith(pattern(2'000'000)));
}

TEST(Hostile, HeadsInPiecesHaveNoMoreMemoryThanTheirPool) {
  World w(default_site(), {.server = {.request_buffers = 4}, .tcp = {.max_connections = 64}});
  std::vector<Client*> slow;
  for (int i = 0; i < 4; ++i) {
    slow.push_back(&w.connect());
    slow.back()->send("GET /f64 HTTP/1.1\r\nHo");
  }
  w.run(kMillisecond);
  Client& fifth = w.connect();
  fifth.send("GET /f64 HTTP/1.1\r\nHo");
  w.run(100 * kMillisecond);
  EXPECT_TRUE(fifth.was_reset());
  EXPECT_EQ(w.server->counters().no_request_buffer, 1U);
  expect_served(w);  // a request in one piece needs none
  for (Client* c : slow) {
    c->send("st: a\r\nConnection: close\r\n\r\n");
    w.run(100 * kMillisecond);
    EXPECT_THAT(c->received(), StartsWith("HTTP/1.1 200 OK\r\n"));
  }
}

TEST(Hostile, BeyondItsConnectionsItRefusesAndServesAgainWhenOneIsFree) {
  // One slot is the listener's.
  World w(default_site(), {.tcp = {.max_connections = 9}});
  std::vector<Client*> held;
  for (int i = 0; i < 8; ++i) held.push_back(&w.connect());
  for (Client* c : held) {
    EXPECT_TRUE(c->connected());
    c->send(kGet);  // who has said nothing would give way
  }
  w.run(100 * kMillisecond);
  Client& more = w.connect(2 * kSecond);
  more.send(kGet);
  w.run(kSecond);
  EXPECT_EQ(more.received(), "");
  held[0]->send(kGet);
  w.run(100 * kMillisecond);
  EXPECT_THAT(held[0]->received(), StartsWith("HTTP/1.1 200 OK\r\n"))
      << "those that are in are served";
  for (Client* c : held) c->abort();
  w.run(5 * kSecond);
  expect_served(w);
}

TEST(Hostile, APipelineWithoutEndIsBoundedByWhatIsPending) {
  World w(default_site(), {.server_port = {.chunks = 8192}});
  Client& c = w.connect();
  c.stop_reading();
  std::string many;
  for (int i = 0; i < 2000; ++i) many += "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
  c.send(many);
  w.run(3 * kSecond);
  EXPECT_LE(w.server->counters().requests, tcpip::kMaxWrites);
  EXPECT_GT(w.server->counters().paused, 0U);
  EXPECT_LT(w.stack->counters().held_chunks_now, 64U);
  expect_served(w);
  c.abort();
  w.run(kSecond);
  w.expect_all_home();
}

// --- bytes that are no request, segments that are no TCP
// --------------------------------------------

TEST(Hostile, RandomBytesOnManyConnectionsBesideAGoodOne) {
  World w(default_site());
  std::mt19937_64 random(1);
  Client& good = w.connect();
  std::size_t answers = 0;
  for (int round = 0; round < 150; ++round) {
    Client& bad = w.connect(kMillisecond);
    std::string noise(1 + random() % 4000, '\0');
    for (char& b : noise)
      b = static_cast<char>(random() % 4 == 0 ? random() : "GET / HTP1.\r\n:"[random() % 14]);
    bad.send(noise);
    good.send(kGet);
    w.run(5 * kMillisecond);
    const std::size_t now = good.received().size();
    EXPECT_GT(now, answers) << "round " << round;
    answers = now;
    if (!bad.gone()) bad.abort();
  }
  good.abort();
  w.run(kSecond);
  w.expect_all_home();
}

/// Frames made of a good one with bytes changed, cut short or drawn out, checksums right in every
/// second one.
std::vector<std::byte> mangled(std::mt19937_64& random, const wire::MacAddress& to,
                               const wire::MacAddress& from) {
  wire::TcpFrame f;
  f.ethernet = {to, from, wire::kEtherTypeIpv4};
  f.ip.source = {kClientIp.value + 1 + static_cast<std::uint32_t>(random() % 50)};
  f.ip.destination = kServerIp;
  f.tcp.source_port = static_cast<std::uint16_t>(1024 + random() % 8);
  f.tcp.destination_port =
      random() % 8 == 0 ? static_cast<std::uint16_t>(random()) : std::uint16_t{80};
  f.tcp.flags = static_cast<std::uint8_t>(random());
  f.tcp.sequence = static_cast<std::uint32_t>(random());
  f.tcp.acknowledgement = static_cast<std::uint32_t>(random());
  f.tcp.window = static_cast<std::uint16_t>(random());
  if (random() % 2 == 0) f.tcp.options.mss = static_cast<std::uint16_t>(random() % 2000);
  f.payload.resize(random() % 100);
  auto bytes = f.emit();
  if (random() % 2 == 0) {
    for (int i = 0; i < 4; ++i) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    bytes.resize(14 + random() % 200);
  }
  return bytes;
}

TEST(Hostile, GarbageSegmentsBesideAGoodClient) {
  World w(default_site(), {.tcp = {.max_connections = 64, .max_backlog = 32}});
  std::mt19937_64 random(2);
  auto& attacker = w.net.add_port({.name = "attacker"});
  wire::MacAddress from, to;
  std::copy(attacker.mac().begin(), attacker.mac().end(), from.bytes.begin());
  std::copy(w.server_port.mac().begin(), w.server_port.mac().end(), to.bytes.begin());
  nmio::Queue& q = attacker.queue(0);
  Client& good = w.connect();
  std::size_t answers = 0;
  for (int round = 0; round < 400; ++round) {
    for (int i = 0; i < 50; ++i) {
      const auto bytes = mangled(random, to, from);
      const nmio::ChunkId chunk = q.memory().take();
      ASSERT_NE(chunk, nmio::kNoChunk);
      std::memcpy(q.memory().data(chunk), bytes.data(), bytes.size());
      const nmio::TxPacket p{.data = q.memory().data(chunk),
                             .len = static_cast<std::uint32_t>(bytes.size()),
                             .chunk = chunk,
                             .flags = 0,
                             .segment_size = 0,
                             .l4_offset = 0,
                             .header_len = 0};
      ASSERT_EQ(q.put({&p, 1}), 1U);
    }
    q.flush();
    q.reap();
    nmio::RxPacket drained[64];
    for (unsigned n = q.receive(drained); n != 0; n = q.receive(drained)) {
      for (unsigned i = 0; i < n; ++i) q.memory().give_back(drained[i].chunk);
    }
    good.send(kGet);
    w.run(2 * kMillisecond);
    const std::size_t now = good.received().size();
    ASSERT_GT(now, answers) << "round " << round;
    answers = now;
  }
  good.abort();
  w.run(300 * kSecond);
  w.expect_all_home();
}

}  // namespace
}  // namespace stackrig::sandstorm::testing
