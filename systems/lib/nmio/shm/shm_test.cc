// SPDX-License-Identifier: Apache-2.0
// Frames over the soft NIC, both sides in one thread: nothing moves but by our calls.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nmio/clock.h"
#include "nmio/shm/link_rate.h"
#include "nmio/shm/test_wire.h"
#include "nmio/test_frames.h"
#include "nmio/test_rough.h"

namespace stackrig::nmio {
namespace {

using namespace test;

TEST(Shm, AFrameArrivesWholeAtEveryLengthAndItsChunkComesHome) {
  Wire w;
  const std::uint32_t free = w.c().memory().free_count();
  for (std::size_t payload = 0; payload <= 1472; ++payload) {
    const Bytes f = make_frame({.payload = payload, .fill = static_cast<std::uint8_t>(payload)});
    ASSERT_TRUE(send_frame(w.c(), f));
    EXPECT_EQ(w.c().memory().free_count(), free - 1)
        << "the device has it until the peer has copied it";
    const auto all = receive_all(w.s());
    ASSERT_EQ(all.size(), 1U);
    ASSERT_EQ(all[0].bytes, f);
    EXPECT_EQ(all[0].flags, 0) << "nobody has checked it";
    w.c().reap();
    EXPECT_EQ(w.c().memory().free_count(), free);
  }
}

TEST(Shm, NothingIsSeenBeforeTheDoorbell) {
  Wire w;
  TxPacket p = in_chunk(w.c().memory(), make_frame({}));
  ASSERT_EQ(w.c().put({&p, 1}), 1U);
  EXPECT_TRUE(receive_all(w.s()).empty());
  w.c().flush();
  EXPECT_EQ(receive_all(w.s()).size(), 1U);
}

TEST(Shm, AFrameLongerThanTheReceiversMtuIsDropped) {
  Wire w;
  send_frame(w.c(), Bytes(1515));
  send_frame(w.c(), Bytes(1514));
  EXPECT_EQ(receive_all(w.s()).size(), 1U);
  EXPECT_EQ(w.s().counters().rx_dropped, 1U);
}

TEST(Shm, JumboFramesPass) {
  Wire w("&mtu=9000", "&mtu=9000");
  const Bytes f = make_frame({.payload = 8972});
  send_frame(w.c(), f);
  const auto all = receive_all(w.s());
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].bytes, f);
}

TEST(Shm, GathersTheDescriptorsOfAPacket) {
  Wire w;
  const Bytes f = make_frame({.payload = 1000});
  std::vector<TxPacket> parts;
  for (std::size_t at = 0; at < f.size(); at += 100) {
    parts.push_back(in_chunk(w.c().memory(), {&f[at], std::min<std::size_t>(100, f.size() - at)}));
    parts.back().flags = TxPacket::kMore;
  }
  parts.back().flags = 0;
  EXPECT_EQ(w.c().put({parts.data(), parts.size() - 1}), 0U) << "never part of a packet";
  ASSERT_EQ(w.c().put(parts), parts.size());
  w.c().flush();
  RxPacket one[1];  // room for one: the packet's descriptors are taken together all the same
  ASSERT_EQ(w.s().receive(one), 1U);
  EXPECT_EQ(Bytes(one[0].data, one[0].data + one[0].len), f);
  EXPECT_EQ(w.c().reap(), parts.size());
}

TEST(Shm, AFullReceiverDropsTheTail) {
  Wire w("&ring=64", "&chunks=256");
  for (unsigned i = 0; i < 100; ++i)
    EXPECT_TRUE(send_frame(w.c(), make_frame({.fill = static_cast<std::uint8_t>(i)})));
  EXPECT_EQ(w.c().counters().tx_dropped, 36U);
  const auto all = receive_all(w.s());
  ASSERT_EQ(all.size(), 64U);
  EXPECT_EQ(all.back().bytes[42], std::byte{63}) << "the first came in, the tail was lost";
  EXPECT_EQ(w.c().reap(), 100U);
  EXPECT_EQ(w.c().memory().free_count(), 256U);
}

TEST(Shm, WithPauseAFullReceiverStopsTheSender) {
  Wire w("&ring=64", "&pause=on");
  EXPECT_EQ(w.c().tx_room(), 64U);
  for (unsigned i = 0; i < 64; ++i) EXPECT_TRUE(send_frame(w.c(), make_frame({})));
  EXPECT_EQ(w.c().tx_room(), 0U);
  EXPECT_FALSE(send_frame(w.c(), make_frame({})));
  EXPECT_EQ(receive_all(w.s()).size(), 64U);
  EXPECT_EQ(w.c().tx_room(), 64U);
  EXPECT_EQ(w.c().counters().tx_dropped, 0U);
}

TEST(Shm, AReceiverWithoutBuffersDrops) {
  Wire w("&chunks=16");
  for (unsigned i = 0; i < 20; ++i) send_frame(w.c(), make_frame({}));
  RxPacket burst[32];
  EXPECT_EQ(w.s().receive(burst), 16U);
  EXPECT_EQ(w.s().counters().rx_dropped, 4U);
}

TEST(LinkRate, FramesFollowBackToBackAndIdleTimeIsLost) {
  shm::LinkRate rate(1'000'000'000);  // a byte in 8 ns
  rate.idle(1000);
  EXPECT_TRUE(rate.may_send(1000));
  rate.sent(976, 1);
  EXPECT_EQ(rate.free_at(), 1000U + 8000);
  EXPECT_FALSE(rate.may_send(8999));
  rate.sent(976, 1);  // late or not, the second follows the first
  EXPECT_EQ(rate.free_at(), 17'000U);
  rate.idle(20'000);
  rate.sent(2 * 976, 2);
  EXPECT_EQ(rate.free_at(), 36'000U);
}

TEST(LinkRate, NoBitIsGainedByRounding) {
  shm::LinkRate rate(100'000'000'000);
  for (unsigned i = 0; i < 1'000'000; ++i) rate.sent(64, 1);
  EXPECT_EQ(rate.free_at(), 1'000'000ULL * 88 * 8 / 100);
}

TEST(Shm, TheSlowerSidesRateHoldsBothWays) {
  Wire w("&rate=100M&ring=256", "&ring=256");
  for (Queue* from : {&w.s(), &w.c()}) {
    Queue& to = from == &w.s() ? w.c() : w.s();
    // 100 frames of 1000 + 24 bytes at 100 Mb/s: 8.192 ms. The link cannot be faster; slower is no
    // fault.
    const Time start = Clock::monotonic();
    for (unsigned i = 0; i < 100; ++i) EXPECT_TRUE(send_frame(*from, Bytes(1000)));
    EXPECT_GT(from->tx_room(), 100U);
    EXPECT_LT(from->tx_room(), 256U) << "the ring holds what waits for the wire";
    unsigned arrived = 0;
    while (arrived < 100) {
      from->reap();
      arrived += static_cast<unsigned>(receive_all(to).size());
    }
    EXPECT_GE(Clock::monotonic() - start, 99 * 81'920U - 100 * kMicrosecond);
    EXPECT_EQ(from->counters().tx_dropped, 0U);
  }
}

void million(const std::string& server_keys, const std::string& client_keys) {
  Wire w(server_keys + "&chunks=700", client_keys + "&chunks=500");
  Rough a(*w.server, 1);
  Rough b(*w.client, 2);
  while (a.sent + b.sent < 1'000'000) {
    a.turn();
    b.turn();
  }
  for (Rough* side : {&a, &b}) {
    while (!side->kept.empty()) side->let_go();
  }
  for (int round = 0; round < 200; ++round) {  // until all is through: a paced link takes a moment
    for (Rough* side : {&a, &b}) {
      for (unsigned i = 0; i < side->port.queues(); ++i) {
        side->port.queue(i).flush();
        receive_all(side->port.queue(i));
        side->port.queue(i).reap();
      }
    }
  }
  std::uint64_t lost = 0;
  for (unsigned i = 0; i < w.server->queues(); ++i) {
    EXPECT_EQ(w.s(i).memory().free_count(), 700U);
    lost += w.s(i).counters().tx_dropped + w.s(i).counters().rx_dropped;
  }
  for (unsigned i = 0; i < w.client->queues(); ++i) EXPECT_EQ(w.c(i).memory().free_count(), 500U);
  EXPECT_GT(lost, 100U) << "the test meant to drop packets";
}

TEST(Shm, AMillionPacketsOfRandomSizesLoseNoBuffer) {
  million("&ring=256", "&ring=128");
}
TEST(Shm, AMillionOverSeveralQueuesLoseNoBuffer) {
  million("&ring=64&queues=3", "&ring=64&queues=2");
}
TEST(Shm, AMillionOverASlowLinkLoseNoBuffer) {
  million("&ring=64&rate=100G", "&ring=64");
}

}  // namespace
}  // namespace stackrig::nmio
