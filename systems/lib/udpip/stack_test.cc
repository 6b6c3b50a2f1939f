// SPDX-License-Identifier: Apache-2.0
// "Send this, expect that": UDP port 53 at 10.77.0.2, asked by 10.77.0.1.
#include "udpip/stack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "wire/frame.h"

namespace stackrig::udpip {
namespace {

using wire::IcmpFrame;
using wire::UdpFrame;

const wire::MacAddress kOurMac = *wire::parse_mac("02:00:00:00:00:02");
const wire::MacAddress kPeerMac = *wire::parse_mac("02:00:00:00:00:01");
const wire::Ipv4Address kOurIp = *wire::parse_ipv4("10.77.0.2");
const wire::Ipv4Address kPeerIp = *wire::parse_ipv4("10.77.0.1");
constexpr std::size_t kUdpChecksumAt = 40;

UdpFrame question(const std::string& text = "who?") {
  UdpFrame f;
  f.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeIpv4};
  f.ip = {.source = kPeerIp, .destination = kOurIp, .protocol = wire::kProtocolUdp};
  f.udp = {.source_port = 4242, .destination_port = 53};
  f.payload = wire::bytes_of(text);
  return f;
}

class UdpStack : public ::testing::Test {
 protected:
  explicit UdpStack(bool offload = false)
      : memory_(nmio::PacketMemory::create({.chunks = 64, .huge_pages = false})),
        interface_({.address = {kOurIp, 24}, .mac = kOurMac}, *memory_, out_),
        stack_(interface_, *memory_, out_, {.tx_checksum = offload}) {
    out_.room = 64;
    stack_.bind(53);
  }
  // Every chunk is home again, or in a packet that waits to be sent.
  void TearDown() override { EXPECT_EQ(memory_->free_count() + out_.count, 64U); }

  Input input(const std::vector<std::byte>& frame, std::uint16_t flags = 0) {
    const nmio::ChunkId chunk = memory_->take();
    std::byte* data = memory_->data(chunk) + ip::Interface::kHeadroom;
    std::copy(frame.begin(), frame.end(), data);
    packet_ = {data, static_cast<std::uint32_t>(frame.size()), chunk, 0, flags};
    return stack_.input(packet_, now_, datagram_);
  }
  void answer(const std::string& text) {
    std::memcpy(datagram_.payload, text.data(), text.size());
    stack_.reply(datagram_, static_cast<std::uint32_t>(text.size()));
  }
  [[nodiscard]] std::span<const std::byte> sent() const {
    return {out_.packets[out_.count - 1].data, out_.packets[out_.count - 1].len};
  }
  std::string payload() const {
    return {reinterpret_cast<const char*>(datagram_.payload), datagram_.payload_len};
  }

  nmio::TxBatch out_;
  std::unique_ptr<nmio::PacketMemory> memory_;
  ip::Interface interface_;
  Stack stack_;
  nmio::Time now_ = nmio::kSecond;
  nmio::RxPacket packet_{};
  Datagram datagram_{};
};

TEST_F(UdpStack, HandsOverWhatCameForABoundPort) {
  ASSERT_EQ(input(question("who?").emit()), Input::datagram);
  EXPECT_EQ(payload(), "who?");
  EXPECT_EQ(datagram_.source, kPeerIp);
  EXPECT_EQ(datagram_.destination, kOurIp);
  EXPECT_EQ(datagram_.source_port, 4242);
  EXPECT_EQ(datagram_.destination_port, 53);
  EXPECT_EQ(stack_.counters().datagrams_in, 1U);
  stack_.release(datagram_);
}

TEST_F(UdpStack, AnAnswerGoesBackToWhereTheQuestionCameFrom) {
  for (const char* text : {"", "I", "it is I", "an answer that is longer than its question was"}) {
    ASSERT_EQ(input(question().emit()), Input::datagram);
    answer(text);
    const auto f = UdpFrame::parse(sent());
    ASSERT_TRUE(f) << wire::describe(sent());
    EXPECT_EQ(f->ethernet, (wire::Ethernet{kPeerMac, kOurMac, wire::kEtherTypeIpv4}));
    EXPECT_EQ(f->ip.source, kOurIp);
    EXPECT_EQ(f->ip.destination, kPeerIp);
    EXPECT_EQ(f->ip.ttl, wire::kDefaultTtl);
    EXPECT_TRUE(f->ip.dont_fragment);
    EXPECT_EQ(f->udp.source_port, 53);
    EXPECT_EQ(f->udp.destination_port, 4242);
    EXPECT_EQ(f->payload, wire::bytes_of(text));
    EXPECT_EQ(sent().size(), kHeaders + f->payload.size()) << "no bytes of the question behind it";
  }
}

TEST_F(UdpStack, AnotherFrameMayCarryTheAnswer) {
  ASSERT_EQ(input(question().emit()), Input::datagram);
  const nmio::ChunkId chunk = memory_->take();
  std::byte* at = memory_->data(chunk) + 128;
  const auto text = wire::bytes_of("ready since the start");
  std::copy(text.begin(), text.end(), at);
  stack_.reply_with(datagram_, at, static_cast<std::uint32_t>(text.size()), wire::sum(text), chunk);
  stack_.release(datagram_);
  const auto f = UdpFrame::parse(sent());
  ASSERT_TRUE(f) << wire::describe(sent());
  EXPECT_EQ(f->payload, text);
  EXPECT_EQ(f->udp.destination_port, 4242);
}

TEST_F(UdpStack, AnAnswerToAQuestionWithIpOptionsHasNone) {
  auto frame = question().emit();
  const std::vector<std::byte> options(8, std::byte{1});  // no-operation
  frame.insert(frame.begin() + 34, options.begin(), options.end());
  frame[14] = std::byte{0x47};
  auto& ip = wire::Ipv4Header::at(&frame[14]);
  ip.total_length.set(static_cast<std::uint16_t>(frame.size() - 14));
  ip.checksum.set_raw(0);
  ip.checksum.set_raw(wire::finish(wire::sum(&frame[14], 28)));
  ASSERT_EQ(input(frame), Input::datagram);
  EXPECT_EQ(payload(), "who?");
  answer("I");
  const auto f = UdpFrame::parse(sent());
  ASSERT_TRUE(f) << wire::describe(sent());
  EXPECT_EQ(f->ip.header_length, 20);
  EXPECT_EQ(f->ethernet.destination, kPeerMac);
  EXPECT_EQ(f->payload, wire::bytes_of("I"));
}

TEST_F(UdpStack, EthernetPaddingIsNoPayload) {
  auto frame = question("ab").emit();
  frame.resize(60, std::byte{'x'});
  ASSERT_EQ(input(frame), Input::datagram);
  EXPECT_EQ(payload(), "ab");
  stack_.release(datagram_);
}

TEST_F(UdpStack, ABrokenChecksumIsDropped) {
  auto frame = question().emit();
  frame[kHeaders] ^= std::byte{1};
  EXPECT_EQ(input(frame), Input::taken);
  EXPECT_EQ(stack_.counters().bad_checksum, 1U);
  EXPECT_EQ(out_.count, 0U);
}

TEST_F(UdpStack, AChecksumThatTheDeviceCheckedIsNotLookedAtAgain) {
  auto frame = question().emit();
  frame[kUdpChecksumAt] ^= std::byte{1};
  ASSERT_EQ(input(frame, nmio::RxPacket::kChecksumGood), Input::datagram);
  stack_.release(datagram_);
}

TEST_F(UdpStack, ADatagramWithoutChecksumIsTaken) {
  auto frame = question().emit();
  frame[kUdpChecksumAt] = frame[kUdpChecksumAt + 1] = std::byte{0};
  ASSERT_EQ(input(frame), Input::datagram);
  answer("I");
  EXPECT_TRUE(UdpFrame::parse(sent())) << "the answer has one all the same";
}

TEST_F(UdpStack, ASumOfZeroIsSentAsAllOnes) {
  // One of these payloads sums to zero: all 65536 values of two bytes are tried.
  unsigned all_ones = 0;
  for (unsigned v = 0; v < 65536; ++v) {
    out_.count = 0;
    out_.room = 64;
    ASSERT_EQ(input(question().emit()), Input::datagram);
    answer({static_cast<char>(v >> 8), static_cast<char>(v)});
    std::uint16_t sum = 0;
    std::memcpy(&sum, sent().data() + kUdpChecksumAt, sizeof sum);
    EXPECT_NE(sum, 0U);
    all_ones += sum == 0xffff ? 1 : 0;
    memory_->give_back(packet_.chunk);
  }
  out_.count = 0;
  EXPECT_GE(all_ones, 1U);
}

TEST_F(UdpStack, LengthsThatCannotBeAreDropped) {
  for (const unsigned length : {0U, 7U, 13U, 1000U, 65535U}) {
    auto frame = question("who?").emit();
    wire::UdpHeader::at(&frame[34]).length.set(static_cast<std::uint16_t>(length));
    EXPECT_EQ(input(frame, nmio::RxPacket::kChecksumGood), Input::taken) << length;
  }
  UdpFrame stump = question();
  auto frame = stump.emit();
  frame.resize(34 + 5);
  auto& ip = wire::Ipv4Header::at(&frame[14]);
  ip.total_length.set(25);
  ip.checksum.set_raw(0);
  ip.checksum.set_raw(wire::finish(wire::sum(&frame[14], 20)));
  EXPECT_EQ(input(frame), Input::taken);
  EXPECT_EQ(stack_.counters().bad_header, 6U);
  EXPECT_EQ(out_.count, 0U);
}

TEST_F(UdpStack, NobodyCanBeAnsweredAtPortZero) {
  UdpFrame f = question();
  f.udp.source_port = 0;
  EXPECT_EQ(input(f.emit()), Input::taken);
  EXPECT_EQ(stack_.counters().bad_header, 1U);
}

TEST_F(UdpStack, APortThatNobodyBoundIsUnreachable) {
  UdpFrame f = question();
  f.udp.destination_port = 54;
  EXPECT_EQ(input(f.emit()), Input::taken);
  EXPECT_EQ(stack_.counters().no_port, 1U);
  const auto error = IcmpFrame::parse(sent());
  ASSERT_TRUE(error) << wire::describe(sent());
  EXPECT_EQ(error->icmp.type, wire::kIcmpUnreachable);
  EXPECT_EQ(error->icmp.code, wire::kIcmpPortUnreachable);
  stack_.bind(54);
  ASSERT_EQ(input(f.emit()), Input::datagram);
  stack_.release(datagram_);
}

TEST_F(UdpStack, TcpIsTheCallers) {
  wire::TcpFrame f;
  f.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeIpv4};
  f.ip = {.source = kPeerIp, .destination = kOurIp, .protocol = wire::kProtocolTcp};
  f.tcp.source_port = 4242;
  f.tcp.destination_port = 53;
  EXPECT_EQ(input(f.emit()), Input::other);
  memory_->give_back(packet_.chunk);
}

TEST_F(UdpStack, PingsAndArpAreAnsweredBelow) {
  IcmpFrame ping;
  ping.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeIpv4};
  ping.ip = {.source = kPeerIp, .destination = kOurIp, .protocol = wire::kProtocolIcmp};
  EXPECT_EQ(input(ping.emit()), Input::taken);
  wire::ArpFrame arp;
  arp.ethernet = {wire::MacAddress::broadcast(), kPeerMac, wire::kEtherTypeArp};
  arp.arp = {wire::kArpRequest, kPeerMac, kPeerIp, {}, kOurIp};
  EXPECT_EQ(input(arp.emit()), Input::taken);
  EXPECT_EQ(out_.count, 2U);
}

TEST_F(UdpStack, WithoutRoomInTheRingAnAnswerIsDroppedAndCounted) {
  ASSERT_EQ(input(question().emit()), Input::datagram);
  out_.room = 0;
  answer("I");
  EXPECT_EQ(out_.count, 0U);
  EXPECT_EQ(stack_.counters().no_tx_room, 1U);
  EXPECT_EQ(stack_.counters().datagrams_out, 0U);
}

TEST_F(UdpStack, TheRoomForAnAnswerEndsWithItsChunk) {
  ASSERT_EQ(input(question().emit()), Input::datagram);
  EXPECT_EQ(datagram_.payload + stack_.room(datagram_),
            memory_->data(datagram_.packet->chunk) + memory_->chunk_size());
  EXPECT_EQ(stack_.max_payload(), 1472U);
  stack_.release(datagram_);
}

TEST_F(UdpStack, MangledFramesAreDroppedOrUnderstood) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    auto frame = question(std::string(random() % 40, 'x')).emit();
    for (auto n = random() % 4; n != 0; --n)
      frame[random() % frame.size()] = static_cast<std::byte>(random());
    if (random() % 4 == 0) frame.resize(random() % (frame.size() + 1));
    if (random() % 4 == 0) frame.resize(frame.size() + random() % 30);
    if (frame.empty()) continue;
    const std::uint16_t flags = random() % 2 == 0 ? nmio::RxPacket::kChecksumGood : 0;
    const Input result = input(frame, flags);
    if (result == Input::datagram) {
      const std::byte* end = packet_.data + packet_.len;
      ASSERT_LE(datagram_.payload + datagram_.payload_len, end);
      stack_.release(datagram_);
    } else if (result == Input::other) {
      memory_->give_back(packet_.chunk);
    }
    for (unsigned p = 0; p < out_.count; ++p) memory_->give_back(out_.packets[p].chunk);
    out_.count = 0;
    out_.room = 64;
  }
}

class UdpStackWithOffload : public UdpStack {
 protected:
  UdpStackWithOffload() : UdpStack(true) {}
};

TEST_F(UdpStackWithOffload, TheDeviceIsLeftTheRestOfTheChecksum) {
  ASSERT_EQ(input(question().emit()), Input::datagram);
  answer("it is I");
  const nmio::TxPacket& p = out_.packets[out_.count - 1];
  EXPECT_EQ(p.flags, nmio::TxPacket::kChecksum);
  EXPECT_EQ(p.l4_offset, 34);
  const std::uint16_t pseudo =
      wire::fold(wire::pseudo_header_sum(kOurIp, kPeerIp, wire::kProtocolUdp, 8 + 7));
  EXPECT_EQ(wire::UdpHeader::at(p.data + 34).checksum.raw(), pseudo);
}

}  // namespace
}  // namespace stackrig::udpip
