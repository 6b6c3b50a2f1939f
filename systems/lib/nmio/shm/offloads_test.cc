// SPDX-License-Identifier: Apache-2.0
// What the soft NIC does for its owners: checksums, TSO, large receive, RSS, sending by reference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "nmio/rss.h"
#include "nmio/shm/test_wire.h"
#include "nmio/test_frames.h"

namespace stackrig::nmio {
namespace {

using namespace test;

TEST(Shm, ApplicationMemoryIsSentByReference) {
  Wire w;
  PacketMemory& m = w.c().memory();
  const ChunkId first = m.reserve_contiguous(3);
  Bytes content(5000);
  std::iota(reinterpret_cast<std::uint8_t*>(content.data()),
            reinterpret_cast<std::uint8_t*>(content.data()) + content.size(), std::uint8_t{0});
  std::memcpy(m.data(first), content.data(), content.size());
  Bytes f = make_frame({.payload = 0, .tcp = true});
  TxPacket parts[2] = {in_chunk(m, f), {.data = m.data(first) + 1000, .len = 3000, .chunk = first}};
  parts[0].flags = TxPacket::kSegment | TxPacket::kMore;
  parts[0].segment_size = 1400;
  parts[0].l4_offset = 34;
  parts[0].header_len = 54;
  m.add_in_flight(first);
  ASSERT_EQ(w.c().put(parts), 2U);
  w.c().flush();
  Bytes arrived;
  for (const Received& r : receive_all(w.s()))
    arrived.insert(arrived.end(), r.bytes.begin() + 54, r.bytes.end());
  EXPECT_EQ(arrived, Bytes(content.begin() + 1000, content.begin() + 4000));
  EXPECT_EQ(m.in_flight(first), 1U);
  w.c().reap();
  EXPECT_EQ(m.in_flight(first), 0U);
}

/// A large TCP frame as one descriptor.
TxPacket large_packet(PacketMemory& m, const Bytes& frame, std::uint16_t segment_size) {
  TxPacket p = in_chunk(m, frame);
  p.flags = TxPacket::kSegment;
  p.segment_size = segment_size;
  p.l4_offset = 34;
  p.header_len = 54;
  return p;
}

TEST(Shm, CutsLargeSegmentsOverSeveralBursts) {
  Wire w("&csum=off", "&mtu=9000");  // large chunks to send from; sums filled in to be looked at
  const Bytes large = make_frame({.payload = 8000, .tcp = true, .tcp_flags = 0x19, .seq = 77});
  TxPacket p = large_packet(w.c().memory(), large, 1460);
  const std::uint32_t free = w.c().memory().free_count();
  ASSERT_EQ(w.c().put({&p, 1}), 1U);
  w.c().flush();
  std::vector<Bytes> frames;
  RxPacket burst[2];
  while (const unsigned n = w.s().receive(burst)) {
    for (unsigned i = 0; i < n; ++i) {
      frames.emplace_back(burst[i].data, burst[i].data + burst[i].len);
      EXPECT_EQ(burst[i].flags, 0) << "csum=off offers no receive checksums";
      w.s().memory().give_back(burst[i].chunk);
    }
    if (frames.size() < 6) {
      w.c().reap();
      EXPECT_EQ(w.c().memory().free_count(), free) << "still being read";
    }
  }
  ASSERT_EQ(frames.size(), 6U);
  w.c().reap();
  EXPECT_EQ(w.c().memory().free_count(), free + 1);
  std::uint32_t seq = 77;
  Bytes payload;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const Bytes& f = frames[i];
    L4Place place;
    ASSERT_TRUE(find_l4(f, place));
    EXPECT_TRUE(checksum_is_good(f, place));
    EXPECT_EQ(get32(&f[38]), seq);
    EXPECT_EQ(get16(&f[18]), 0x1234 + i);
    EXPECT_EQ(std::to_integer<int>(f[47]), i == 5 ? 0x19 : 0x10);
    payload.insert(payload.end(), f.begin() + 54, f.end());
    seq += static_cast<std::uint32_t>(f.size() - 54);
  }
  EXPECT_EQ(payload, Bytes(large.begin() + 54, large.end()));
}

TEST(Shm, WithLargeReceiveALargePacketArrivesInPiecesOfWholeSegments) {
  Wire w("&lro=on", "&mtu=40000");
  const Bytes large = make_frame({.payload = 35000, .tcp = true, .tcp_flags = 0x19, .seq = 77});
  TxPacket p = large_packet(w.c().memory(), large, 1460);
  ASSERT_EQ(w.c().put({&p, 1}), 1U);
  w.c().flush();
  const auto pieces = receive_all(w.s());
  ASSERT_EQ(pieces.size(), 3U);
  Bytes payload;
  std::uint32_t seq = 77;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const Bytes& f = pieces[i].bytes;
    EXPECT_EQ(f.size() - 54, i == 2 ? 35000U - 2 * 14600 : 14600U) << "ten segments of 1460";
    EXPECT_EQ(get16(&f[16]), f.size() - 14) << "IP length";
    EXPECT_EQ(get32(&f[38]), seq);
    EXPECT_EQ(std::to_integer<int>(f[47]), i == 2 ? 0x19 : 0x10);
    EXPECT_TRUE((pieces[i].flags & RxPacket::kChecksumGood) != 0);
    payload.insert(payload.end(), f.begin() + 54, f.end());
    seq += static_cast<std::uint32_t>(f.size() - 54);
  }
  EXPECT_EQ(payload, Bytes(large.begin() + 54, large.end()));
}

TEST(Shm, LargeReceiveLeavesFramesAndLongSegmentsAsTheyAre) {
  Wire w("&lro=on&mtu=20000", "&mtu=40000");
  ASSERT_TRUE(send_frame(w.c(), make_frame({.payload = 18000})));
  const auto frame = receive_all(w.s());
  ASSERT_EQ(frame.size(), 1U);
  EXPECT_EQ(frame[0].bytes.size(), 18042U);
  TxPacket p = large_packet(w.c().memory(), make_frame({.payload = 35000, .tcp = true}), 17500);
  ASSERT_EQ(w.c().put({&p, 1}), 1U);
  w.c().flush();
  EXPECT_EQ(receive_all(w.s()).size(), 2U);
}

TEST(Shm, LargeReceiveWithoutChecksumOffloadIsRefused) {
  for (const char* csum : {"&csum=off", "&csum=verify"}) {
    EXPECT_THAT(open_error("shm:" + unique_name() + "?side=server&pages=plain&lro=on" + csum),
                ::testing::HasSubstr("lro=on needs csum=on"));
  }
}

TEST(Shm, ALargeSegmentThatCannotBeCutIsDroppedWhole) {
  Wire w;
  const Bytes tcp = make_frame({.payload = 1000, .tcp = true});
  std::uint64_t dropped = 0;
  const auto refused = [&](TxPacket p) {
    const std::uint32_t free = w.c().memory().free_count();
    EXPECT_EQ(w.c().put({&p, 1}), 1U);
    w.c().flush();
    EXPECT_TRUE(receive_all(w.s()).empty());
    EXPECT_EQ(w.s().counters().rx_dropped, ++dropped);
    w.c().reap();
    EXPECT_EQ(w.c().memory().free_count(), free + 1);
  };
  TxPacket p = large_packet(w.c().memory(), tcp, 0);
  refused(p);
  p = large_packet(w.c().memory(), tcp, 1461);  // segments longer than the MTU
  refused(p);
  p = large_packet(w.c().memory(), make_frame({.payload = 1000}), 500);  // UDP
  refused(p);
  p = large_packet(w.c().memory(), tcp, 500);
  p.header_len = 255;
  refused(p);
}

TEST(Shm, TheChecksumLeftToTheDeviceIsGoodOrFilledIn) {
  for (const bool tcp : {true, false}) {
    const Bytes right = make_frame({.payload = 333, .tcp = tcp});
    Bytes open = right;
    put16(&open[tcp ? 50 : 40], 0xdead);  // whatever the sender left there
    {
      Wire w;
      send_frame(w.c(), open, TxPacket::kChecksum);
      const auto all = receive_all(w.s());
      ASSERT_EQ(all.size(), 1U);
      EXPECT_EQ(all[0].flags, RxPacket::kChecksumGood);
    }
    {
      Wire w("&csum=off");
      send_frame(w.c(), open, TxPacket::kChecksum);
      const auto all = receive_all(w.s());
      ASSERT_EQ(all.size(), 1U);
      EXPECT_EQ(all[0].flags, 0);
      EXPECT_EQ(all[0].bytes, right);
    }
    {
      Wire w("&csum=verify");
      send_frame(w.c(), open, TxPacket::kChecksum);
      send_frame(w.c(), right);
      send_frame(w.c(), open);
      const auto all = receive_all(w.s());
      ASSERT_EQ(all.size(), 3U);
      EXPECT_EQ(all[0].flags, RxPacket::kChecksumGood);
      EXPECT_EQ(all[0].bytes, right);
      EXPECT_EQ(all[1].flags, RxPacket::kChecksumGood);
      EXPECT_EQ(all[2].flags, 0) << "wrong, and delivered as a NIC does";
    }
  }
}

TEST(Shm, OffloadsAreWhatTheKeysSay) {
  Wire w("&tso=off&csum=off");
  EXPECT_FALSE(w.s().offload().segment || w.s().offload().tx_checksum ||
               w.s().offload().rx_checksum);
  const Offload& o = w.c().offload();
  EXPECT_TRUE(o.segment && o.tx_checksum && o.rx_checksum && o.scatter_gather);
  EXPECT_EQ(o.max_frame, 1514U);
}

TEST(Shm, RssChoosesTheReceiversQueue) {
  Wire w("&queues=4", "&queues=2");
  unsigned from = 0;
  for (unsigned c = 0; c < 400; ++c) {
    send_frame(w.c(from ^= 1),
               make_frame({.source_port = static_cast<std::uint16_t>(10'000 + c / 2)}));
  }
  for (unsigned i = 0; i < 4; ++i) {
    const auto all = receive_all(w.s(i));
    EXPECT_GT(all.size(), 40U) << "spread";
    std::set<std::uint32_t> ports;
    for (const Received& r : all) {
      EXPECT_EQ(r.hash, rss_hash_frame(r.bytes));
      EXPECT_EQ(rss_queue(r.hash, 4), i);
      ports.insert(get16(&r.bytes[34]));
    }
    EXPECT_EQ(all.size(), 2 * ports.size()) << "from both of the sender's queues";
  }
  for (unsigned i = 0; i < 2; ++i) w.c(i).reap();
}

}  // namespace
}  // namespace stackrig::nmio
