// SPDX-License-Identifier: Apache-2.0
// The delay box between simulated wires, in virtual time.
#include "delaybox/box.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "delaybox/test_world.h"

namespace stackrig::delaybox {
namespace {

using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kSecond;
using nmio::test::get16;
using nmio::test::get32;

constexpr Time kTick = Time{1} << Buckets::kTickShift;

LinkConfig link(const char* text) {
  return parse_link("test", text);
}

std::uint32_t number_of(const Bytes& frame) {
  return get32(&frame[38]);  // a TCP sequence number
}

FrameSpec numbered(std::uint32_t n, std::size_t payload = 64) {
  return {.payload = payload, .tcp = true, .seq = n};
}

TEST(Box, AFramePassesAsItIsAfterItsDelay) {
  World w({.to_server = link("delay=10ms"), .to_clients = link("delay=3ms")});
  const Time sent = w.now();
  w.from_client(numbered(7));
  w.from_server(numbered(8, 1400));
  w.run_for(kSecond);
  ASSERT_EQ(w.at_server.size(), 1U);
  ASSERT_EQ(w.at_client.size(), 1U);
  FrameSpec spec = numbered(7);
  spec.destination = kServerMac;
  spec.source = kClientMac;
  EXPECT_EQ(w.at_server[0].bytes, make_frame(spec));
  EXPECT_GE(w.at_server[0].at, sent + 10 * kMillisecond);
  EXPECT_LE(w.at_server[0].at, sent + 10 * kMillisecond + kTick);
  EXPECT_GE(w.at_client[0].at, sent + 3 * kMillisecond);
  EXPECT_LE(w.at_client[0].at, sent + 3 * kMillisecond + kTick);
}

TEST(Box, AConstantDelayReordersNothing) {
  World w({.to_server = link("delay=5ms")});
  for (std::uint32_t n = 0; n < 500; ++n) {
    w.from_client(numbered(n));
    w.run_for(n % 7 * kMicrosecond);
  }
  w.run_for(kSecond);
  ASSERT_EQ(w.at_server.size(), 500U);
  for (std::uint32_t n = 0; n < 500; ++n) EXPECT_EQ(number_of(w.at_server[n].bytes), n);
}

TEST(Box, AFlowStaysInItsBandAndFlowsAreSpreadOverAll) {
  World w({.to_server = link("bands=10ms-40ms/4")});
  std::map<unsigned, std::set<Time>> delays;  // by source port
  for (int round = 0; round < 3; ++round) {
    const Time sent = w.now();
    for (unsigned flow = 0; flow < 200; ++flow) {
      FrameSpec spec = numbered(1);
      spec.source_port = static_cast<std::uint16_t>(2000 + flow);
      w.from_client(spec);
    }
    w.run_for(kSecond);
    for (const Arrived& a : w.at_server) {
      delays[get16(&a.bytes[34])].insert((a.at - sent) / kMillisecond);
    }
    w.at_server.clear();
  }
  std::map<Time, unsigned> flows;
  ASSERT_EQ(delays.size(), 200U);
  for (const auto& [flow, seen] : delays) {
    ASSERT_EQ(seen.size(), 1U) << "flow " << flow << " had several delays";
    ++flows[*seen.begin()];
  }
  ASSERT_EQ(flows.size(), 4U);
  for (const Time delay : {10, 20, 30, 40}) EXPECT_GT(flows[delay], 30U) << delay << " ms";
}

/// Numbers that arrive of `count` sent, a microsecond apart.
std::vector<std::uint32_t> survivors(const char* words, std::uint64_t seed, std::uint32_t count) {
  World w({.to_server = link(words), .seed = seed});
  for (std::uint32_t n = 0; n < count; ++n) {
    w.from_client(numbered(n));
    w.run_for(kMicrosecond);
  }
  w.run_for(kSecond);
  EXPECT_EQ(w.box.to_server().lost + w.at_server.size(), count);
  std::vector<std::uint32_t> numbers;
  for (const Arrived& a : w.at_server) numbers.push_back(number_of(a.bytes));
  return numbers;
}

TEST(Box, LossTakesItsShareAndTheSeedSaysWhich) {
  const auto first = survivors("loss=5%,delay=1ms", 1, 4000);
  EXPECT_NEAR(4000.0 - static_cast<double>(first.size()), 200, 60);
  EXPECT_EQ(first, survivors("loss=5%,delay=1ms", 1, 4000));
  EXPECT_NE(first, survivors("loss=5%,delay=1ms", 2, 4000));
}

TEST(Box, TheDirectionsHaveDiceOfTheirOwn) {
  const LinkConfig lossy = link("loss=50%");
  World w({.to_server = lossy, .to_clients = lossy});
  for (std::uint32_t n = 0; n < 100; ++n) {
    w.from_client(numbered(n));
    w.from_server(numbered(n));
    w.run_for(10 * kMicrosecond);
  }
  std::set<std::uint32_t> there, back;
  for (const Arrived& a : w.at_server) there.insert(number_of(a.bytes));
  for (const Arrived& a : w.at_client) back.insert(number_of(a.bytes));
  EXPECT_NE(there, back);
}

TEST(Box, ReorderingHoldsSomeBackAndMovesNoLoss) {
  const auto plain = survivors("loss=5%", 3, 2000);
  auto mixed = survivors("loss=5%,reorder=10%,reorder-by=1ms", 3, 2000);
  EXPECT_NE(mixed, plain);
  std::uint32_t overtaken = 0;
  for (std::size_t i = 1; i < mixed.size(); ++i) overtaken += mixed[i] < mixed[i - 1] ? 1 : 0;
  // Those held back in the first millisecond come between later ones, the others behind all.
  EXPECT_NEAR(overtaken, 95, 40);
  std::sort(mixed.begin(), mixed.end());
  EXPECT_EQ(mixed, plain);
}

TEST(Box, ARateSpacesPacketsAndItsQueueIsBounded) {
  // 1,000 bytes and Ethernet's 24: 8.192 us each at 1 Gb/s.
  World w({.to_server = link("rate=1G,queue=10240")});
  const Time sent = w.now();
  for (std::uint32_t n = 0; n < 100; ++n) w.from_client(numbered(n, 946));
  w.run_for(kSecond);
  // One is on the wire at once, and those whose wait is at most what 10,240 bytes take.
  ASSERT_EQ(w.at_server.size(), 11U);
  EXPECT_EQ(w.box.to_server().queue_full, 89U);
  for (std::size_t i = 0; i < w.at_server.size(); ++i) {
    const Time due = sent + (i + 1) * 8192;
    EXPECT_GE(w.at_server[i].at, due);
    EXPECT_LE(w.at_server[i].at, due + kTick);
  }
}

TEST(Box, WhatWaitsForTheRateIsDelayedBesides) {
  World w({.to_server = link("rate=1G,delay=2ms")});
  const Time sent = w.now();
  w.from_client(numbered(1, 946));
  w.run_for(kSecond);
  EXPECT_GE(w.at_server.at(0).at, sent + 8192 + 2 * kMillisecond);
}

TEST(Box, MemoryIsBoundedAndWhatFindsNoneIsCounted) {
  World w({.to_server = link("delay=1s")}, 256);
  for (std::uint32_t n = 0; n < 400; ++n) {
    w.from_client(numbered(n));
    w.run_for(kMicrosecond);
  }
  EXPECT_EQ(w.box.to_server().held_now, 256U);
  EXPECT_EQ(w.box.to_server().no_buffer, 144U);
  w.run_for(2 * kSecond);
  EXPECT_EQ(w.at_server.size(), 256U);
  EXPECT_EQ(w.box.to_server().held_now, 0U);
  EXPECT_EQ(w.server_side.queue(0).memory().free_count(), 256U);
  EXPECT_EQ(w.client_side.queue(0).memory().free_count(), 256U);
}

TEST(Box, WhatIsNoIpv4PassesAtOnceAndIsNeverLost) {
  World w({.to_server = link("delay=1s,loss=100%")});
  Bytes arp = make_frame({.destination = kServerMac, .source = kClientMac});
  arp[13] = std::byte{0x06};
  World::send(w.client, arp);
  w.run_for(kMillisecond);
  ASSERT_EQ(w.at_server.size(), 1U);
  EXPECT_EQ(w.at_server[0].bytes, arp);
  EXPECT_EQ(w.box.to_server().passed, 1U);
}

TEST(Box, ItsCountersAddUp) {
  World w({.to_server = link("delay=1ms,loss=10%,rate=100M,queue=20k,reorder=5%")}, 64);
  for (std::uint32_t n = 0; n < 3000; ++n) {
    w.from_client(numbered(n, n % 1400));
    w.run_for(20 * kMicrosecond);
  }
  w.run_for(kSecond);
  const DirectionCounters& c = w.box.to_server();
  EXPECT_EQ(c.received, 3000U);
  EXPECT_EQ(c.received, c.forwarded + c.lost + c.queue_full + c.no_buffer + c.held_now);
  EXPECT_EQ(c.forwarded, w.at_server.size());
  EXPECT_GT(c.queue_full, 0U);
  EXPECT_GT(c.reordered, 0U);
}

}  // namespace
}  // namespace stackrig::delaybox
