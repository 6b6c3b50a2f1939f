// SPDX-License-Identifier: Apache-2.0
#include "nmio/sim.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "nmio/test_frames.h"

namespace stackrig::nmio {
namespace {

using namespace test;

Mac mac_of(const Port& p) {
  Mac m;
  std::copy(p.mac().begin(), p.mac().end(), m.begin());
  return m;
}

/// Two ports; a sends numbered UDP frames to b.
struct Pair {
  explicit Pair(std::uint64_t seed, SimPortConfig ca = {}, SimPortConfig cb = {})
      : net(seed), a(net.add_port(std::move(ca))), b(net.add_port(std::move(cb))) {}

  Bytes frame(std::uint8_t number, std::size_t payload = 64) {
    return make_frame(
        {.destination = mac_of(b), .source = mac_of(a), .payload = payload, .fill = number});
  }
  void send(std::uint8_t number, std::size_t payload = 64) {
    send_frame(a.queue(0), frame(number, payload));
    a.queue(0).reap();
  }
  /// Numbers of what b has received, in order.
  std::vector<int> received() {
    std::vector<int> numbers;
    for (const Received& r : receive_all(b.queue(0)))
      numbers.push_back(std::to_integer<int>(r.bytes[42]));
    return numbers;
  }
  SimNetwork net;
  SimPort& a;
  SimPort& b;
};

TEST(Sim, AFrameArrivesWholeAfterBothLinksDelay) {
  Pair p(1, {.out = {.delay = 3 * kMicrosecond}}, {.in = {.delay = 4 * kMicrosecond}});
  const Time start = p.net.now();
  p.send(7, 100);
  EXPECT_EQ(p.net.next_event(), start + 3 * kMicrosecond) << "at the switch";
  EXPECT_TRUE(p.net.step());
  EXPECT_TRUE(p.received().empty());
  EXPECT_TRUE(p.net.step());
  EXPECT_EQ(p.net.now(), start + 7 * kMicrosecond);
  const auto all = receive_all(p.b.queue(0));
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].bytes, p.frame(7, 100));
  EXPECT_FALSE(p.net.step());
  EXPECT_EQ(p.net.next_event(), kNever);
}

TEST(Sim, TheSwitchSendsToTheMacAndBroadcastsToAllOthers) {
  SimNetwork net(1);
  SimPort& a = net.add_port();
  SimPort& b = net.add_port();
  SimPort& c = net.add_port();
  send_frame(a.queue(0), make_frame({.destination = mac_of(c)}));
  send_frame(a.queue(0), make_frame({.destination = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}));
  send_frame(a.queue(0), make_frame({.destination = {2, 9, 9, 9, 9, 9}}));
  net.run_until(net.now() + kSecond);
  EXPECT_EQ(receive_all(a.queue(0)).size(), 0U);
  EXPECT_EQ(receive_all(b.queue(0)).size(), 1U);
  EXPECT_EQ(receive_all(c.queue(0)).size(), 2U);
  EXPECT_EQ(net.count(SimFate::no_such_port), 1U);
}

TEST(Sim, TheRateSpacesFramesAndTheLinksQueueDropsItsTail) {
  // 1 Gb/s: a frame of 1000 bytes takes (1000 + 24) * 8 ns.
  Pair p(1, {.out = {.delay = 0, .rate = 1'000'000'000, .queue_bytes = 3000}},
         {.in = {.delay = 0}});
  const Time start = p.net.now();
  for (std::uint8_t i = 0; i < 5; ++i) p.send(i, 958);
  EXPECT_EQ(p.net.count(SimFate::queue_full), 3U);
  std::vector<Time> arrivals;
  while (p.net.step()) arrivals.push_back(p.net.now() - start);
  EXPECT_EQ(arrivals, (std::vector<Time>{8192, 16384}));
  EXPECT_EQ(p.received(), (std::vector<int>{0, 1}));
}

TEST(Sim, RulesActOnTheFramesThatTheySay) {
  Pair p(1);
  const auto is = [](int number) {
    return [number](const SimFrame& f) { return std::to_integer<int>(f.bytes[42]) == number; };
  };
  p.net.drop_first(is(1));
  const auto third = p.net.add_rule({.match = is(2), .count = 1, .skip = 2});
  p.net.add_rule({.match = is(3), .action = SimRule::Action::duplicate});
  p.net.add_rule({.match = is(4), .action = SimRule::Action::delay, .by = kSecond});
  for (const int n : {1, 1, 2, 2, 2, 2, 3, 4, 5}) p.send(static_cast<std::uint8_t>(n));
  p.net.run_until(p.net.now() + 2 * kSecond);
  EXPECT_EQ(p.received(), (std::vector<int>{1, 2, 2, 2, 3, 3, 5, 4}));
  EXPECT_EQ(p.net.rule_hits(third), 1U);
  EXPECT_EQ(p.net.count(SimFate::rule_dropped), 2U);
}

TEST(Sim, ARemovedRuleActsNoMore) {
  Pair p(1);
  const auto all = p.net.drop_first([](const SimFrame&) { return true; }, ~0U);
  p.send(1);
  p.net.remove_rule(all);
  p.send(2);
  p.net.run_until(p.net.now() + kSecond);
  EXPECT_EQ(p.received(), (std::vector<int>{2}));
}

TEST(Sim, APartitionHoldsInTheDirectionsAskedFor) {
  Pair p(1);
  const auto both_ways = [&] {
    p.send(1);
    send_frame(p.b.queue(0), make_frame({.destination = mac_of(p.a)}));
    p.net.run_until(p.net.now() + kSecond);
    return std::pair(p.received().size(), receive_all(p.a.queue(0)).size());
  };
  EXPECT_EQ(both_ways(), std::pair(1UL, 1UL));
  p.net.partition(p.a, p.b);
  EXPECT_EQ(both_ways(), std::pair(0UL, 0UL));
  p.net.partition(p.a, p.b, false);
  p.net.partition_one_way(p.a, p.b);
  EXPECT_EQ(both_ways(), std::pair(0UL, 1UL));
}

TEST(Sim, ImpairmentsComeAboutAsOftenAsTheySay) {
  constexpr unsigned kFrames = 20'000;
  Pair p(99, {.out = {.loss = 0.1, .duplicate = 0.05, .corrupt = 0.02}});
  unsigned corrupted = 0;
  unsigned arrived = 0;
  const Bytes sent = p.frame(0);
  for (unsigned i = 0; i < kFrames; ++i) {
    p.send(0);
    p.net.run_until(p.net.now() + kMillisecond);
    for (const Received& r : receive_all(p.b.queue(0))) {
      ++arrived;
      corrupted += r.bytes != sent ? 1 : 0;
    }
  }
  EXPECT_NEAR(static_cast<double>(p.net.count(SimFate::lost)), 0.1 * kFrames, 200);
  EXPECT_NEAR(arrived, 0.9 * 1.05 * kFrames, 300);
  EXPECT_NEAR(corrupted, 0.02 * 0.9 * 1.05 * kFrames, 100);
}

TEST(Sim, AMarkTurnsEctIntoCeAndKeepsTheHeadersChecksumRight) {
  Pair p(1, {.out = {.mark = 1}});
  const auto header_sum = [](const Bytes& b) {
    unsigned sum = 0;
    for (std::size_t i = 14; i < 34; i += 2) {
      sum += std::to_integer<unsigned>(b[i]) << 8 | std::to_integer<unsigned>(b[i + 1]);
    }
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
  };
  for (const unsigned ecn : {0U, 1U, 2U, 3U}) {
    Bytes f = p.frame(1);
    const unsigned before = header_sum(f);
    f[15] |= static_cast<std::byte>(ecn);
    send_frame(p.a.queue(0), f);
    p.net.run_until(p.net.now() + kSecond);
    const auto got = receive_all(p.b.queue(0));
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(std::to_integer<unsigned>(got[0].bytes[15]), ecn == 0 ? 0U : 3U);
    // The sum of all words moved by what the sender put in; the mark changed nothing of it.
    EXPECT_EQ(header_sum(got[0].bytes),
              (before + ecn) % 0xffff == 0 ? 0xffff : (before + ecn) % 0xffff);
  }
}

TEST(Sim, JitterKeepsTheOrderAndReorderDoesNot) {
  Pair jitter(5, {.out = {.jitter = kMillisecond}});
  Pair reorder(5, {.out = {.reorder = 0.2}});
  std::vector<int> in_order;
  for (int i = 0; i < 100; ++i) {
    jitter.send(static_cast<std::uint8_t>(i));
    reorder.send(static_cast<std::uint8_t>(i));
    in_order.push_back(i);
  }
  jitter.net.run_until(jitter.net.now() + kSecond);
  reorder.net.run_until(reorder.net.now() + kSecond);
  EXPECT_EQ(jitter.received(), in_order);
  auto other = reorder.received();
  EXPECT_NE(other, in_order);
  std::sort(other.begin(), other.end());
  EXPECT_EQ(other, in_order) << "none is lost";
}

std::uint64_t digest_of_a_rough_run(std::uint64_t seed) {
  const SimLink rough = {.jitter = kMillisecond,
                         .rate = 100'000'000,
                         .queue_bytes = 50'000,
                         .loss = 0.1,
                         .duplicate = 0.1,
                         .corrupt = 0.1,
                         .reorder = 0.1};
  Pair p(seed, {.out = rough}, {.in = rough});
  for (unsigned i = 0; i < 500; ++i) {
    p.send(static_cast<std::uint8_t>(i), 64 + i);
    p.net.run_until(p.net.now() + 50 * kMicrosecond);
    p.received();
  }
  p.net.run_until(p.net.now() + kSecond);
  return p.net.digest();
}

TEST(Sim, OneSeedIsOneRun) {
  EXPECT_EQ(digest_of_a_rough_run(7), digest_of_a_rough_run(7));
  EXPECT_NE(digest_of_a_rough_run(7), digest_of_a_rough_run(8));
}

TEST(Sim, OffloadsAreTheDevices) {
  Pair p(1, {.tx_checksum = true, .segment = true, .scatter_gather = true}, {.rx_checksum = true});
  Queue& q = p.a.queue(0);
  const Bytes large = make_frame({.destination = mac_of(p.b), .payload = 4000, .tcp = true});
  // Headers in one chunk, payload in two others, the TCP checksum left to the device.
  TxPacket parts[3] = {in_chunk(q.memory(), {large.data(), 54}),
                       in_chunk(q.memory(), {&large[54], 1999}),
                       in_chunk(q.memory(), {&large[54 + 1999], 2001})};
  parts[0].flags = TxPacket::kSegment | TxPacket::kMore;
  parts[0].segment_size = 1460;
  parts[0].l4_offset = 34;
  parts[0].header_len = 54;
  parts[1].flags = TxPacket::kMore;
  ASSERT_EQ(q.put(parts), 3U);
  q.flush();
  EXPECT_EQ(q.reap(), 3U);
  p.net.run_until(p.net.now() + kSecond);
  const auto all = receive_all(p.b.queue(0));
  ASSERT_EQ(all.size(), 3U);
  Bytes payload;
  for (const Received& r : all) {
    EXPECT_TRUE(r.flags & RxPacket::kChecksumGood);
    payload.insert(payload.end(), r.bytes.begin() + 54, r.bytes.end());
  }
  EXPECT_EQ(payload, Bytes(large.begin() + 54, large.end()));
}

TEST(Sim, WhatADeviceDoesNotOfferIsDroppedAndCounted) {
  Pair p(1);
  send_frame(p.a.queue(0), p.frame(1), TxPacket::kChecksum);
  send_frame(p.a.queue(0), p.frame(1, 1473));  // longer than the MTU
  p.net.run_until(p.net.now() + kSecond);
  EXPECT_EQ(p.a.queue(0).counters().tx_dropped, 2U);
  EXPECT_TRUE(p.received().empty());
}

TEST(Sim, ACorruptedFrameIsNotCalledGood) {
  Pair p(1, {.out = {.corrupt = 1}}, {.rx_checksum = true});
  for (int i = 0; i < 200; ++i) p.send(0);
  p.net.run_until(p.net.now() + kSecond);
  for (const Received& r : receive_all(p.b.queue(0))) {
    L4Place place;
    const bool good = find_l4(r.bytes, place) && checksum_is_good(r.bytes, place);
    EXPECT_EQ((r.flags & RxPacket::kChecksumGood) != 0, good);
  }
}

TEST(Sim, RssSpreadsConnectionsAndKeepsEachOnOneQueue) {
  Pair p(1, {}, {.queues = 4});
  for (unsigned round = 0; round < 2; ++round) {
    for (unsigned c = 0; c < 200; ++c) {
      send_frame(p.a.queue(0), make_frame({.destination = mac_of(p.b),
                                           .source_port = static_cast<std::uint16_t>(20'000 + c)}));
      p.a.queue(0).reap();
    }
  }
  p.net.run_until(p.net.now() + kSecond);
  std::set<std::uint32_t> seen_elsewhere;
  for (unsigned i = 0; i < 4; ++i) {
    const auto all = receive_all(p.b.queue(i));
    EXPECT_GT(all.size(), 40U);
    std::set<std::uint32_t> ports;
    for (const Received& r : all) ports.insert(get16(&r.bytes[34]));
    EXPECT_EQ(all.size(), 2 * ports.size()) << "both frames of a connection came to this queue";
  }
}

TEST(Sim, AMillionPacketsOfRandomSizesLoseNoBuffer) {
  const SimLink rough = {
      .rate = 10'000'000'000, .queue_bytes = 300'000, .loss = 0.02, .duplicate = 0.02};
  Pair p(3, {.ring = 256, .chunks = 512, .out = rough}, {.ring = 128, .chunks = 256});
  std::mt19937 random(3);
  Queue& tx = p.a.queue(0);
  Queue& rx = p.b.queue(0);
  const Bytes largest = p.frame(0, 1472);
  std::vector<ChunkId> kept;
  RxPacket burst[64];
  for (std::uint64_t sent = 0; sent < 1'000'000;) {
    for (unsigned i = random() % 128; i > 0; --i) {
      TxPacket t = {.chunk = tx.memory().take()};
      if (t.chunk == kNoChunk) break;
      t.data = tx.memory().data(t.chunk);
      t.len = 14 + random() % (largest.size() - 13);
      std::memcpy(tx.memory().data(t.chunk), largest.data(), t.len);
      if (tx.put({&t, 1}) == 0) tx.memory().give_back(t.chunk);
      ++sent;
    }
    if (random() % 4 != 0) tx.flush();
    if (random() % 4 != 0) tx.reap();
    p.net.run_until(p.net.now() + random() % (50 * kMicrosecond));
    const unsigned n = rx.receive({burst, random() % 64});
    for (unsigned i = 0; i < n; ++i) kept.push_back(burst[i].chunk);
    while (!kept.empty() && random() % 8 != 0) {
      rx.memory().give_back(kept.back());
      kept.pop_back();
    }
  }
  tx.flush();
  tx.reap();
  p.net.run_until(p.net.now() + kSecond);
  receive_all(rx);
  for (const ChunkId c : kept) rx.memory().give_back(c);
  EXPECT_EQ(tx.memory().free_count(), 512U);
  EXPECT_EQ(rx.memory().free_count(), 256U);
  EXPECT_GT(rx.counters().rx_dropped, 1000U) << "the test meant to run out of buffers";
  EXPECT_EQ(p.net.count(SimFate::delivered), rx.counters().rx_packets);
}

}  // namespace
}  // namespace stackrig::nmio
