// SPDX-License-Identifier: Apache-2.0
// A tap queue whose "device" is this test: virtio-net headers that cannot be true, frames that are
// cut short, a device that takes nothing. No root: the descriptor is a socket's.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "nmio/tap/queue.h"
#include "nmio/test_frames.h"

namespace stackrig::nmio::tap {
namespace {

using namespace test;

constexpr std::uint32_t kChunks = 64;

struct Hostile : ::testing::Test {
  void SetUp() override { make({}); }
  void TearDown() override { close_both(); }
  void close_both() {
    queue.reset();
    for (int& fd : ends) {
      if (fd >= 0) close(fd);
      fd = -1;
    }
  }
  void make(QueueConfig config) {
    close_both();
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    const int room = 4 << 20;
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    config.chunks = kChunks;
    config.huge_pages = false;
    queue = std::make_unique<TapQueue>(ends[0], config);
  }
  void say(const VnetHeader& header, const Bytes& frame) const {
    iovec parts[2] = {{const_cast<VnetHeader*>(&header), sizeof header},
                      {const_cast<std::byte*>(frame.data()), frame.size()}};
    ASSERT_EQ(writev(ends[1], parts, 2), static_cast<ssize_t>(sizeof header + frame.size()));
  }
  /// What comes of one frame; all chunks are home again afterwards.
  std::vector<Received> got(const VnetHeader& header, const Bytes& frame) {
    say(header, frame);
    auto all = receive_all(*queue);
    EXPECT_EQ(queue->memory().free_count(), kChunks);
    return all;
  }
  int ends[2] = {-1, -1};
  std::unique_ptr<TapQueue> queue;
};

VnetHeader needs_checksum(std::uint16_t start, std::uint16_t offset) {
  return {.flags = VnetHeader::kNeedsChecksum, .csum_start = start, .csum_offset = offset};
}

VnetHeader large(std::uint16_t segment_size) {
  VnetHeader h = needs_checksum(34, 16);
  h.gso_type = VnetHeader::kTcpIpv4;
  h.gso_size = segment_size;
  h.hdr_len = 54;
  return h;
}

TEST_F(Hostile, AHeaderThatIsTrueIsTaken) {
  const Bytes udp = make_frame({});
  const Bytes tcp = make_frame({.tcp = true});
  for (const auto& [header, frame, good] :
       {std::tuple{VnetHeader{}, udp, false}, std::tuple{needs_checksum(34, 6), udp, true},
        std::tuple{needs_checksum(34, 16), tcp, true}}) {
    const auto all = got(header, frame);
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].bytes, frame);
    EXPECT_EQ((all[0].flags & RxPacket::kChecksumGood) != 0, good);
  }
  VnetHeader checked{};
  checked.flags = VnetHeader::kDataValid;
  EXPECT_EQ(got(checked, udp).at(0).flags, RxPacket::kChecksumGood);
  EXPECT_EQ(queue->counters().rx_dropped, 0U);
}

TEST_F(Hostile, WithoutChecksumOffloadASumThatWasLeftIsFilledIn) {
  make({.segment = false, .checksum = false});
  const Bytes right = make_frame({});
  Bytes left = right;
  left[40] = left[41] = std::byte{0};
  const auto all = got(needs_checksum(34, 6), left);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].bytes, right);
  EXPECT_EQ(all[0].flags, 0);
}

TEST_F(Hostile, AHeaderThatCannotBeTrueIsDroppedAndCounted) {
  const Bytes udp = make_frame({});
  const Bytes tcp = make_frame({.payload = 400, .tcp = true});
  Bytes wrong_length = tcp;
  put16(&wrong_length[16], 9000);
  Bytes no_room_for_options = tcp;
  no_room_for_options[46] = std::byte{0xf0};
  no_room_for_options.resize(60);
  put16(&no_room_for_options[16], 46);
  Bytes fragment = tcp;
  put16(&fragment[20], 0x2000);
  Bytes other = tcp;
  put16(&other[12], 0x86dd);
  VnetHeader udp_large = large(100), v6 = large(100), only_ecn = large(100), no_sum = large(100);
  udp_large.gso_type = VnetHeader::kUdp;
  v6.gso_type = VnetHeader::kTcpIpv6;
  only_ecn.gso_type = VnetHeader::kEcn;
  no_sum.flags = 0;
  VnetHeader elsewhere = large(100), wrong_field = large(100);
  elsewhere.csum_start = 38;
  wrong_field.csum_offset = 6;
  const std::vector<std::tuple<const char*, VnetHeader, Bytes>> bad = {
      {"the sum's place behind the frame", needs_checksum(60000, 6), udp},
      {"the sum's field behind the frame", needs_checksum(34, 60000), udp},
      {"the sum's place in the IP header", needs_checksum(14, 10), udp},
      {"TCP's field in UDP", needs_checksum(34, 16), udp},
      {"a sum left in a frame without one", needs_checksum(34, 6), Bytes(60)},
      {"segments of no size", large(0), tcp},
      {"UDP in segments", udp_large, tcp},
      {"IPv6 in segments", v6, tcp},
      {"ECN and no segments", only_ecn, tcp},
      {"segments without a sum", no_sum, tcp},
      {"the TCP header elsewhere", elsewhere, tcp},
      {"another field", wrong_field, tcp},
      {"a length that IP denies", large(100), wrong_length},
      {"options behind the end", large(100), no_room_for_options},
      {"a fragment in segments", large(100), fragment},
      {"another protocol in segments", large(100), other},
      {"no payload", large(100), make_frame({.payload = 0, .tcp = true})},
      {"segments longer than a chunk", large(60000), tcp},
      {"less than an Ethernet header", {}, Bytes(13)},
      {"longer than the MTU", {}, make_frame({.payload = 1473})},
      {"longer than any packet", {}, Bytes(65549)},
  };
  std::uint64_t dropped = 0;
  for (const auto& [what, header, frame] : bad) {
    EXPECT_TRUE(got(header, frame).empty()) << what;
    EXPECT_EQ(queue->counters().rx_dropped, ++dropped) << what;
  }
  EXPECT_EQ(got({}, udp).size(), 1U) << "it goes on";
}

TEST_F(Hostile, AReadOfLessThanAHeaderIsNoFrame) {
  for (std::size_t n = 1; n < sizeof(VnetHeader); ++n) {
    const Bytes some(n);
    ASSERT_EQ(send(ends[1], some.data(), n, 0), static_cast<ssize_t>(n));
  }
  EXPECT_TRUE(receive_all(*queue).empty());
  EXPECT_EQ(queue->counters().rx_dropped, sizeof(VnetHeader) - 1);
  EXPECT_EQ(queue->memory().free_count(), kChunks);
}

TEST_F(Hostile, AFloodOfBadFramesHoldsACallNoLongerThanItsBurst) {
  for (int i = 0; i < 8; ++i) say(large(0), make_frame({.tcp = true}));
  say({}, make_frame({}));
  RxPacket burst[4];
  EXPECT_EQ(queue->receive(burst), 0U);
  EXPECT_EQ(queue->counters().rx_dropped, 4U);
  EXPECT_EQ(queue->receive(burst), 0U);
  ASSERT_EQ(queue->receive(burst), 1U);
  queue->memory().give_back(burst[0].chunk);
}

/// The stream that a large frame's pieces carry; every piece must be a whole, right frame.
Bytes payload_of(const std::vector<Received>& pieces) {
  Bytes all;
  for (Received piece : pieces) {
    L4Place place;
    EXPECT_TRUE(find_l4(piece.bytes, place));
    EXPECT_EQ(get32(&piece.bytes[38]), 1 + all.size()) << "sequence number";
    EXPECT_EQ(piece.flags, RxPacket::kChecksumGood);
    all.insert(all.end(), piece.bytes.begin() + 54, piece.bytes.end());
  }
  return all;
}

TEST_F(Hostile, ALargeFrameIsCutIntoSegmentsAsRoomAllows) {
  const Bytes frame = make_frame({.payload = 60000, .tcp = true});
  say(large(1448), frame);
  say({}, make_frame({}));
  std::vector<Received> pieces;
  RxPacket burst[5];
  while (const unsigned n = queue->receive(burst)) {
    for (unsigned i = 0; i < n; ++i) {
      pieces.push_back({Bytes(burst[i].data, burst[i].data + burst[i].len), burst[i].flags, 0});
      queue->memory().give_back(burst[i].chunk);
    }
  }
  ASSERT_EQ(pieces.size(), 43U);  // 42 segments and the frame behind them
  pieces.pop_back();
  EXPECT_EQ(pieces[0].bytes.size(), 54U + 1448);
  EXPECT_EQ(payload_of(pieces), Bytes(frame.begin() + 54, frame.end()));
  EXPECT_EQ(queue->counters().rx_packets, 43U);
}

TEST_F(Hostile, WithLargeReceiveItComesInPiecesOfWholeSegments) {
  make({.chunk_size = 16384, .large_receive = 15360});
  const Bytes frame = make_frame({.payload = 60000, .tcp = true});
  const auto pieces = got(large(1448), frame);
  ASSERT_EQ(pieces.size(), 5U);
  EXPECT_EQ(pieces[0].bytes.size(), 54U + 10 * 1448);
  EXPECT_EQ(payload_of(pieces), Bytes(frame.begin() + 54, frame.end()));
}

TEST_F(Hostile, WithoutBuffersFramesAreLostAndCounted) {
  std::vector<ChunkId> held;
  for (ChunkId c = 0; (c = queue->memory().take()) != kNoChunk;) held.push_back(c);
  say({}, make_frame({}));
  say(large(100), make_frame({.payload = 400, .tcp = true}));
  EXPECT_TRUE(receive_all(*queue).empty());
  EXPECT_EQ(queue->counters().rx_dropped, 2U);
  queue->memory().give_back(held.back());
  EXPECT_EQ(receive_all(*queue).size(), 0U);
  say(large(100), make_frame({.payload = 400, .tcp = true}));
  RxPacket burst[8];
  EXPECT_EQ(queue->receive(burst), 1U) << "one buffer, one of four segments";
  EXPECT_EQ(queue->counters().rx_dropped, 5U);
}

TEST_F(Hostile, ADeviceThatTakesNothingLosesNoBuffer) {
  shutdown(ends[1], SHUT_RDWR);
  close(ends[1]);
  ends[1] = -1;
  ASSERT_TRUE(send_frame(*queue, make_frame({})));
  EXPECT_EQ(queue->counters().tx_dropped, 1U);
  EXPECT_EQ(queue->reap(), 1U);
  EXPECT_EQ(queue->memory().free_count(), kChunks);
}

TEST_F(Hostile, AFullDeviceIsTriedAgainAndKeepsTheOrder) {
  make({.ring = 64});
  const int least = 1;
  setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
  unsigned put = 0;
  while (queue->memory().free_count() != 0 &&
         send_frame(*queue, make_frame({.fill = static_cast<std::uint8_t>(put)})))
    ++put;
  EXPECT_LT(queue->reap(), put) << "the test meant to fill the device";
  unsigned arrived = 0;
  Bytes b(2000);
  while (arrived < put) {
    if (const ssize_t n = recv(ends[1], b.data(), b.size(), 0); n > 0) {
      EXPECT_EQ(b[sizeof(VnetHeader) + 42], static_cast<std::byte>(arrived++));
    } else {
      queue->reap();
    }
  }
  queue->reap();
  EXPECT_EQ(queue->memory().free_count(), kChunks);
  EXPECT_EQ(queue->counters().tx_dropped, 0U);
}

TEST_F(Hostile, WhatCannotBeSentIsDropped) {
  PacketMemory& m = queue->memory();
  const auto dropped = [&](auto change) {
    TxPacket p = in_chunk(m, make_frame({.payload = 400, .tcp = true}));
    p.l4_offset = 34;
    p.header_len = 54;
    p.segment_size = 100;
    change(p);
    const std::uint64_t before = queue->counters().tx_dropped;
    EXPECT_EQ(queue->put({&p, 1}), 1U);
    return queue->counters().tx_dropped == before + 1;
  };
  EXPECT_TRUE(dropped([&](TxPacket& p) { p.data = m.base() + m.size_bytes() - 10; }));
  EXPECT_TRUE(dropped([](TxPacket& p) { p.len = 0; }));
  EXPECT_TRUE(dropped([](TxPacket& p) { p.len = 13; }));
  EXPECT_TRUE(dropped([](TxPacket& p) { p.len = 1515; }));
  EXPECT_TRUE(dropped([](TxPacket& p) {
    p.flags = TxPacket::kSegment;
    p.segment_size = 0;
  }));
  EXPECT_TRUE(dropped([](TxPacket& p) {
    p.flags = TxPacket::kSegment;
    p.segment_size = 1500;
  }));
  EXPECT_FALSE(dropped([](TxPacket& p) { p.flags = TxPacket::kSegment; }));
  queue->flush();
  queue->reap();
  EXPECT_EQ(m.free_count(), kChunks);
}

}  // namespace
}  // namespace stackrig::nmio::tap
