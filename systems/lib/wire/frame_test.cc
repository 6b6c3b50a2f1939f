// SPDX-License-Identifier: Apache-2.0
// Headers as values against bytes from real captures, and against themselves.
#include "wire/frame.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "wire/checksum.h"

namespace stackrig::wire {
namespace {

std::vector<std::byte> hex(std::string_view text) {
  std::vector<std::byte> out;
  unsigned value = 0;
  bool high = true;
  for (const char c : text) {
    if (c == ' ') continue;
    value = value << 4 | static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
    if (!high) out.push_back(static_cast<std::byte>(value));
    high = !high;
  }
  return out;
}

// A SYN from 10.77.0.1:40000 to 10.77.0.2:80 as Linux sends it; checksums computed independently.
const char* const kSyn =
    "02 00 00 00 00 02  02 00 00 00 00 01  08 00"
    "45 00 00 3c 1c 46 40 00 40 06 09 da 0a 4d 00 01 0a 4d 00 02"
    "9c 40 00 50 00 00 00 64 00 00 00 00 a0 02 fa f0 9b 77 00 00"
    "02 04 05 b4 04 02 08 0a 00 00 00 07 00 00 00 00 01 03 03 07";

TcpFrame syn() {
  TcpFrame f;
  f.ethernet = {*parse_mac("02:00:00:00:00:02"), *parse_mac("02:00:00:00:00:01"), kEtherTypeIpv4};
  f.ip.source = *parse_ipv4("10.77.0.1");
  f.ip.destination = *parse_ipv4("10.77.0.2");
  f.ip.identification = 0x1c46;
  f.tcp.source_port = 40000;
  f.tcp.destination_port = 80;
  f.tcp.sequence = 100;
  f.tcp.flags = kTcpSyn;
  f.tcp.window = 64240;
  f.tcp.options.mss = 1460;
  f.tcp.options.sack_permitted = true;
  f.tcp.options.timestamps = Timestamps{7, 0};
  f.tcp.options.window_scale = 7;
  return f;
}

TEST(Frame, ASynIsReadFromItsBytes) {
  const auto f = TcpFrame::parse(hex(kSyn));
  ASSERT_TRUE(f);
  EXPECT_EQ(f->ethernet, syn().ethernet);
  EXPECT_EQ(f->ip.source, syn().ip.source);
  EXPECT_TRUE(f->ip.dont_fragment);
  EXPECT_EQ(f->tcp, syn().tcp);
  EXPECT_TRUE(f->payload.empty());
  EXPECT_EQ(describe(hex(kSyn)),
            "10.77.0.1:40000 > 10.77.0.2:80 [S] seq 100 ack 0 win 64240 len 0"
            " <mss 1460, wscale 7, sackOK, ts 7 0>");
}

TEST(Frame, EveryFlippedBitOfASegmentIsNoticed) {
  const auto good = hex(kSyn);
  for (std::size_t bit = 14 * 8; bit < good.size() * 8; ++bit) {
    auto bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    EXPECT_FALSE(TcpFrame::parse(bad)) << "bit " << bit;
  }
}

TEST(Frame, EveryTruncationIsRefused) {
  const auto whole = hex(kSyn);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const std::vector<std::byte> part(whole.begin(),
                                      whole.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_FALSE(TcpFrame::parse(part)) << n;
  }
}

TEST(Frame, PaddingOfShortFramesIsNoPayload) {
  TcpFrame f = syn();
  f.tcp.options = {};
  auto bytes = f.emit();
  bytes.resize(60, std::byte{0xee});
  ASSERT_TRUE(TcpFrame::parse(bytes));
  EXPECT_TRUE(TcpFrame::parse(bytes)->payload.empty());
}

TEST(Frame, TcpRoundTripOverRandomValues) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 500; ++round) {
    TcpFrame f = syn();
    f.ip.source.value = static_cast<std::uint32_t>(random());
    f.ip.ttl = static_cast<std::uint8_t>(random());
    f.tcp.sequence = static_cast<std::uint32_t>(random());
    f.tcp.flags = static_cast<std::uint8_t>(random());
    f.tcp.urgent = static_cast<std::uint16_t>(random());
    f.payload.resize(random() % 1400);
    for (std::byte& b : f.payload) b = static_cast<std::byte>(random());
    const auto back = TcpFrame::parse(f.emit());
    ASSERT_TRUE(back);
    EXPECT_EQ(back->tcp, f.tcp);
    EXPECT_EQ(back->payload, f.payload);
    EXPECT_EQ(back->ip.ttl, f.ip.ttl);
  }
}

TEST(Frame, IpOptionsAreSkippedToFindThePayload) {
  auto bytes = syn().emit();
  const auto options = hex("01 01 01 00");
  bytes.insert(bytes.begin() + 34, options.begin(), options.end());
  auto& ip = Ipv4Header::at(bytes.data() + 14);
  ip.version_ihl = 0x46;
  ip.total_length.set(static_cast<std::uint16_t>(ip.total_length.get() + 4));
  ip.checksum.set_raw(0);
  ip.checksum.set_raw(finish(sum(bytes.data() + 14, 24)));
  ASSERT_TRUE(TcpFrame::parse(bytes));
  EXPECT_EQ(TcpFrame::parse(bytes)->tcp, syn().tcp);
  EXPECT_EQ(TcpFrame::parse(bytes)->ip.header_length, 24);
}

TEST(Frame, WrongIpHeadersAreRefused) {
  const auto refuse = [](auto change) {
    auto bytes = syn().emit();
    auto& ip = Ipv4Header::at(bytes.data() + 14);
    change(ip);
    ip.checksum.set_raw(0);
    ip.checksum.set_raw(finish(sum(bytes.data() + 14, 20)));
    EXPECT_FALSE(Ipv4::parse(std::span(bytes).subspan(14)));
  };
  refuse([](Ipv4Header& h) { h.version_ihl = 0x65; });
  refuse([](Ipv4Header& h) { h.version_ihl = 0x44; });
  refuse([](Ipv4Header& h) { h.total_length.set(19); });
  refuse([](Ipv4Header& h) { h.total_length.set(1000); });
}

TEST(Frame, FragmentFields) {
  Ipv4 ip;
  ip.dont_fragment = false;
  ip.more_fragments = true;
  ip.fragment_offset = 1480;
  std::vector<std::byte> bytes(20);
  ip.emit(bytes);
  EXPECT_TRUE(Ipv4Header::at(bytes.data()).is_fragment());
  EXPECT_EQ(Ipv4::parse(bytes), ip);
}

TEST(Frame, ArpRequestAndReply) {
  const auto request =
      hex("ff ff ff ff ff ff 02 00 00 00 00 01 08 06"
          "00 01 08 00 06 04 00 01 02 00 00 00 00 01 0a 4d 00 01 00 00 00 00 00 00 0a 4d 00 02");
  const auto f = ArpFrame::parse(request);
  ASSERT_TRUE(f);
  EXPECT_EQ(f->arp.operation, kArpRequest);
  EXPECT_EQ(f->arp.target_ip, *parse_ipv4("10.77.0.2"));
  EXPECT_EQ(f->emit(), request);
  EXPECT_EQ(describe(request), "arp who-has 10.77.0.2 tell 10.77.0.1");
  auto not_ethernet = request;
  not_ethernet[15] = std::byte{6};
  EXPECT_FALSE(ArpFrame::parse(not_ethernet));
}

TEST(Frame, IcmpEcho) {
  IcmpFrame f;
  f.icmp = {kIcmpEchoRequest, 0, 77, 1};
  f.payload = bytes_of("abcdefg");
  auto bytes = f.emit();
  const auto back = IcmpFrame::parse(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->icmp, f.icmp);
  EXPECT_EQ(back->payload, f.payload);
  bytes.back() ^= std::byte{1};
  EXPECT_FALSE(IcmpFrame::parse(bytes));
}

TEST(Frame, Udp) {
  UdpFrame f;
  f.ip.source = *parse_ipv4("10.77.0.1");
  f.ip.destination = *parse_ipv4("10.77.0.2");
  f.udp = {1234, 53, 5};
  f.payload = bytes_of("query");
  auto bytes = f.emit();
  const auto back = UdpFrame::parse(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->udp, f.udp);
  EXPECT_EQ(back->payload, f.payload);
  bytes.back() ^= std::byte{1};
  EXPECT_FALSE(UdpFrame::parse(bytes));
  UdpHeader::at(bytes.data() + 34).checksum.set(0);  // "none": taken unchecked (RFC 768)
  EXPECT_TRUE(UdpFrame::parse(bytes));
}

TEST(Frame, UdpNeverSendsAChecksumOfZero) {
  UdpFrame f;
  f.payload.resize(2);
  for (unsigned v = 0; v <= 0xffff; ++v) {
    f.payload[0] = static_cast<std::byte>(v >> 8);
    f.payload[1] = static_cast<std::byte>(v);
    const auto bytes = f.emit();
    ASSERT_NE(UdpHeader::at(bytes.data() + 34).checksum.raw(), 0);
    ASSERT_TRUE(UdpFrame::parse(bytes));
  }
}

TEST(Frame, WhatCannotBeReadIsSaidSo) {
  EXPECT_EQ(describe(hex("00 01 02")), "unreadable frame of 3 bytes");
}

}  // namespace
}  // namespace stackrig::wire
