// SPDX-License-Identifier: Apache-2.0
#include "nmio/offload.h"

#include <gtest/gtest.h>

#include "nmio/rss.h"
#include "nmio/test_frames.h"

namespace stackrig::nmio {
namespace {

using namespace test;

/// RFC 1071's own way: 16-bit words, big endian, carries folded as they come.
std::uint16_t plain_checksum(std::span<const std::byte> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += std::to_integer<std::uint32_t>(bytes[i]) << 8;
    if (i + 1 < bytes.size()) sum += std::to_integer<std::uint32_t>(bytes[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum);
}

TEST(Checksum, AgreesWithThePlainSumAtEveryLength) {
  Bytes bytes(1600);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + 255);
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    std::byte stored[2];
    const std::uint16_t sum = checksum_finish(checksum_add(0, {bytes.data(), n}));
    std::memcpy(stored, &sum, 2);
    EXPECT_EQ(get16(stored), plain_checksum({bytes.data(), n})) << n;
  }
}

TEST(Checksum, FilledInIsGoodAndAFlippedBitIsNot) {
  for (const bool tcp : {true, false}) {
    Bytes f = make_frame({.payload = 101, .tcp = tcp});
    f.resize(f.size() + 6);  // Ethernet padding is no part of it
    L4Place place;
    ASSERT_TRUE(find_l4(f, place));
    EXPECT_TRUE(checksum_is_good(f, place));
    f[60] ^= std::byte{4};
    EXPECT_FALSE(checksum_is_good(f, place));
  }
}

TEST(Checksum, UdpWithoutOneIsGood) {
  Bytes f = make_frame({.payload = 10});
  put16(&f[40], 0);
  L4Place place;
  ASSERT_TRUE(find_l4(f, place));
  EXPECT_TRUE(checksum_is_good(f, place));
}

TEST(Checksum, AHeaderThatLiesAboutItsLengthIsNotFollowed) {
  L4Place place;
  Bytes f = make_frame({.payload = 10, .tcp = true});
  put16(&f[16], 2000);  // longer than the frame
  EXPECT_FALSE(find_l4(f, place));
  put16(&f[16], 30);  // shorter than its headers
  EXPECT_FALSE(find_l4(f, place));
  f = make_frame({.payload = 10, .tcp = true});
  f[14] = std::byte{0x4f};  // options that are not there
  EXPECT_FALSE(find_l4(f, place));
  f = make_frame({.payload = 10, .tcp = true});
  put16(&f[20], 0x2000);  // a fragment
  EXPECT_FALSE(find_l4(f, place));
  for (std::size_t n = 0; n < 34; ++n) EXPECT_FALSE(find_l4({f.data(), n}, place));
}

std::vector<Bytes> cut(const Bytes& large, std::uint32_t segment_size) {
  std::vector<Bytes> frames;
  const std::size_t header = header_len(true);
  Segmenter s;
  if (!s.start({large.data(), header}, 34, static_cast<std::uint32_t>(large.size() - header),
               segment_size)) {
    return frames;
  }
  while (!s.done()) {
    Bytes f(header + s.payload_len());
    std::memcpy(&f[header], &large[header + s.payload_offset()], s.payload_len());
    s.next(f.data());
    frames.push_back(f);
  }
  return frames;
}

TEST(Segmenter, CutsAsTsoDoes) {
  constexpr std::uint8_t kCwr = 0x80, kAck = 0x10, kPsh = 0x08, kFin = 0x01;
  const Bytes large = make_frame(
      {.payload = 3500, .tcp = true, .tcp_flags = kCwr | kAck | kPsh | kFin, .seq = 0xfffffa00});
  const auto frames = cut(large, 1448);
  ASSERT_EQ(frames.size(), 3U);
  const std::size_t payloads[] = {1448, 1448, 604};
  const int flags[] = {kCwr | kAck, kAck, kAck | kPsh | kFin};
  std::uint32_t seq = 0xfffffa00;
  for (unsigned i = 0; i < 3; ++i) {
    const Bytes& f = frames[i];
    ASSERT_EQ(f.size(), 54 + payloads[i]);
    EXPECT_EQ(get16(&f[16]), 40 + payloads[i]) << "IP length";
    EXPECT_EQ(get16(&f[18]), 0x1234U + i) << "IP id";
    EXPECT_EQ(plain_checksum({&f[14], 20}), 0) << "IP checksum";
    EXPECT_EQ(get32(&f[38]), seq);
    EXPECT_EQ(std::to_integer<int>(f[47]), flags[i]);
    seq += static_cast<std::uint32_t>(payloads[i]);
    // The field holds the pseudo header's sum: summing the segment as it stands completes it.
    Bytes l4(f.begin() + 34, f.end());
    Bytes whole = f;
    const std::uint16_t sum = checksum_finish(checksum_add(0, l4));
    std::memcpy(&whole[50], &sum, 2);
    L4Place place;
    ASSERT_TRUE(find_l4(whole, place));
    EXPECT_TRUE(checksum_is_good(whole, place)) << "segment " << i;
  }
}

TEST(Segmenter, RefusesWhatItCannotCut) {
  const Bytes tcp = make_frame({.payload = 100, .tcp = true});
  const Bytes udp = make_frame({.payload = 100});
  Segmenter s;
  EXPECT_TRUE(s.start({tcp.data(), 54}, 34, 100, 50));
  EXPECT_FALSE(s.start({tcp.data(), 54}, 34, 100, 0)) << "no segment size";
  EXPECT_FALSE(s.start({tcp.data(), 54}, 34, 0, 50)) << "no payload";
  EXPECT_FALSE(s.start({tcp.data(), 50}, 34, 100, 50)) << "headers cut short";
  EXPECT_FALSE(s.start({tcp.data(), 58}, 34, 100, 50)) << "headers too long";
  EXPECT_FALSE(s.start({tcp.data(), 54}, 38, 100, 50)) << "L4 elsewhere";
  EXPECT_FALSE(s.start({udp.data(), 42}, 34, 100, 50)) << "not TCP";
}

TEST(Rss, VectorsOfTheSpecification) {
  struct Vector {
    std::uint32_t destination;
    std::uint16_t destination_port;
    std::uint32_t source;
    std::uint16_t source_port;
    std::uint32_t ipv4, tcp;
  };
  // Microsoft, "Verifying the RSS hash calculation", IPv4.
  const Vector vectors[] = {
      {0xa18e6450, 1766, 0x420995bb, 2794, 0x323e8fc2, 0x51ccc178},
      {0x41458c53, 4739, 0xc75c6f02, 14230, 0xd718262a, 0xc626b0ea},
      {0x0c16cfb8, 38024, 0x1813c65f, 12898, 0xd2d0a5de, 0x5c2b394a},
      {0xd18ea306, 2217, 0x261bcd1e, 48228, 0x82989176, 0xafc7327f},
      {0xcabc7f02, 1303, 0x9927a3bf, 44251, 0x5d1809c5, 0x10e828a2},
  };
  for (const Vector& v : vectors) {
    EXPECT_EQ(rss_hash_ipv4(v.source, v.destination), v.ipv4);
    EXPECT_EQ(rss_hash_tcp_ipv4(v.source, v.destination, v.source_port, v.destination_port), v.tcp);
    const Bytes f = make_frame({.source_ip = v.source,
                                .destination_ip = v.destination,
                                .source_port = v.source_port,
                                .destination_port = v.destination_port,
                                .tcp = true});
    EXPECT_EQ(rss_hash_frame(f), v.tcp);
  }
}

TEST(Rss, FragmentsAndOtherProtocolsHashAddressesOnlyAndArpNothing) {
  Bytes f = make_frame({.source_ip = 0x420995bb, .destination_ip = 0xa18e6450, .tcp = true});
  put16(&f[20], 0x2000);
  EXPECT_EQ(rss_hash_frame(f), 0x323e8fc2U);
  f = make_frame({.source_ip = 0x420995bb, .destination_ip = 0xa18e6450});
  f[23] = std::byte{1};  // ICMP
  EXPECT_EQ(rss_hash_frame(f), 0x323e8fc2U);
  put16(&f[12], 0x0806);
  EXPECT_EQ(rss_hash_frame(f), 0U);
  for (std::size_t n = 0; n < 34; ++n) EXPECT_EQ(rss_hash_frame({f.data(), n}), 0U);
}

}  // namespace
}  // namespace stackrig::nmio
