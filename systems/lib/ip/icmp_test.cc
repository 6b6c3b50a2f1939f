// SPDX-License-Identifier: Apache-2.0
// ICMP: echo, errors sent and received, and their limits.
#include "ip/test_interface.h"

namespace stackrig::ip {
namespace {

using namespace test;

TEST_F(InterfaceTest, AnEchoIsAnsweredWithItsData) {
  EXPECT_EQ(input(echo().emit()), Input::taken);
  const auto reply = IcmpFrame::parse(sent());
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->ethernet.destination, kPeerMac);
  EXPECT_EQ(reply->ip.source, kOurIp);
  EXPECT_EQ(reply->ip.destination, kPeerIp);
  EXPECT_EQ(reply->icmp, (wire::Icmp{wire::kIcmpEchoReply, 0, 7, 1}));
  EXPECT_EQ(reply->payload, echo().payload);
}

TEST_F(InterfaceTest, EchoRepliesAreLimited) {
  unsigned replies = 0;
  for (int i = 0; i < 5000; ++i) {
    input(echo().emit());
    while (out_.count != 0) {
      sent();
      ++replies;
    }
    now_ += nmio::kMillisecond / 10;  // 10,000 a second for half a second
  }
  EXPECT_NEAR(replies, 200 + 500, 5);
  EXPECT_EQ(interface_.counters().icmp_limited + replies, 5000U);
}

TEST_F(InterfaceTest, ABrokenEchoIsNotAnswered) {
  auto frame = echo().emit();
  frame.back() ^= std::byte{1};
  input(frame);
  EXPECT_EQ(sent_text(), "nothing");
}

TEST_F(InterfaceTest, AnUnknownProtocolIsToldSoWithWhatItSent) {
  auto f = udp();
  auto frame = f.emit();
  auto& h = wire::Ipv4Header::at(frame.data() + 14);
  h.checksum.set_raw(wire::update16(h.checksum.raw(), static_cast<std::uint16_t>(17 << 8),
                                    static_cast<std::uint16_t>(99 << 8)));
  h.protocol = 99;
  EXPECT_EQ(input(frame), Input::taken);
  const auto error = IcmpFrame::parse(sent());
  ASSERT_TRUE(error);
  EXPECT_EQ(error->icmp.type, wire::kIcmpUnreachable);
  EXPECT_EQ(error->icmp.code, wire::kIcmpProtocolUnreachable);
  EXPECT_EQ(error->ip.destination, kPeerIp);
  EXPECT_EQ(error->payload, std::vector<std::byte>(frame.begin() + 14, frame.end()));
}

TEST_F(InterfaceTest, ATransportCanRefuseADatagram) {
  auto f = udp();
  f.payload.resize(1400);
  ASSERT_EQ(input(f.emit()), Input::transport);
  interface_.unreachable(packet_, wire::kIcmpPortUnreachable, now_);
  const auto frame = sent();
  const auto error = IcmpFrame::parse(frame);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->icmp.code, wire::kIcmpPortUnreachable);
  EXPECT_EQ(frame.size() - 14, 576U) << "no longer than every host can take (RFC 1812 4.3.2.3)";
}

TEST_F(InterfaceTest, ErrorsAreLimited) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(input(udp().emit()), Input::transport);
    interface_.unreachable(packet_, wire::kIcmpPortUnreachable, now_);
    if (out_.count > 0) sent();
  }
  EXPECT_EQ(interface_.counters().icmp_out, 20U);
  EXPECT_EQ(interface_.counters().icmp_limited, 180U);
}

struct SeenError {
  int times = 0;
  IcmpError error{};
};

IcmpFrame error_about(const std::vector<std::byte>& sent_frame, std::size_t quoted) {
  IcmpFrame f;
  f.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeIpv4};
  f.ip.source = kPeerIp;
  f.ip.destination = kOurIp;
  f.icmp = {wire::kIcmpUnreachable, wire::kIcmpFragmentationNeeded, 0, 1400};
  f.payload.assign(sent_frame.begin() + 14,
                   sent_frame.begin() + 14 + static_cast<std::ptrdiff_t>(quoted));
  return f;
}

TEST_F(InterfaceTest, AnErrorAboutWhatWeSentIsHandedToTheTransport) {
  SeenError seen;
  interface_.on_icmp_error(
      [](void* context, const IcmpError& e) {
        auto* s = static_cast<SeenError*>(context);
        ++s->times;
        s->error = e;
        s->error.l4 = {};
      },
      &seen);
  auto ours = udp(kOurIp);
  ours.ip.destination = kFarIp;
  input(error_about(ours.emit(), 28).emit());
  ASSERT_EQ(seen.times, 1);
  EXPECT_EQ(seen.error.code, wire::kIcmpFragmentationNeeded);
  EXPECT_EQ(seen.error.next_hop_mtu, 1400);
  EXPECT_EQ(seen.error.protocol, wire::kProtocolUdp);
  EXPECT_EQ(seen.error.destination, kFarIp);
  EXPECT_EQ(sent_text(), "nothing") << "errors are never answered with errors";

  input(error_about(ours.emit(), 27).emit());          // too short to tell whose it is
  input(error_about(udp(kPeerIp).emit(), 28).emit());  // not ours
  EXPECT_EQ(seen.times, 1);
}

}  // namespace
}  // namespace stackrig::ip
