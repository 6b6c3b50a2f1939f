// SPDX-License-Identifier: Apache-2.0
// ARP: who is learned, asked for, probed, forgotten; and what waits for them.
#include "ip/test_interface.h"

namespace stackrig::ip {
namespace {

using namespace test;

TEST_F(InterfaceTest, ARequestForOurAddressIsAnswered) {
  input(arp(wire::kArpRequest, kPeerIp, kOurIp).emit());
  const auto reply = ArpFrame::parse(sent());
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->ethernet.destination, kPeerMac);
  EXPECT_EQ(reply->ethernet.source, kOurMac);
  EXPECT_EQ(reply->arp, (wire::Arp{wire::kArpReply, kOurMac, kOurIp, kPeerMac, kPeerIp}));
}

TEST_F(InterfaceTest, AProbeIsAnsweredAndTeachesNothing) {  // RFC 5227 2.1.1
  input(arp(wire::kArpRequest, {}, kOurIp).emit());
  EXPECT_EQ(sent_text(), "arp reply 10.77.0.2 is-at 02:00:00:00:00:02");
  MacAddress mac;
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::pending);
}

TEST_F(InterfaceTest, RequestsForOthersAreNotAnswered) {
  input(arp(wire::kArpRequest, kPeerIp, *wire::parse_ipv4("10.77.0.3")).emit());
  EXPECT_EQ(sent_text(), "nothing");
}

TEST_F(InterfaceTest, WhoAsksForUsIsLearned) {  // RFC 826: it will be spoken to next
  learn_peer();
  MacAddress mac;
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::yes);
  EXPECT_EQ(mac, kPeerMac);
}

TEST_F(InterfaceTest, AReplyThatNobodyAskedForIsNotLearned) {
  input(
      arp(wire::kArpReply, *wire::parse_ipv4("10.77.0.9"), *wire::parse_ipv4("10.77.0.3")).emit());
  MacAddress mac;
  EXPECT_EQ(interface_.resolve(*wire::parse_ipv4("10.77.0.9"), now_, mac), Resolved::pending);
}

TEST_F(InterfaceTest, AKnownNeighbourThatMovedIsFollowed) {
  learn_peer();
  const MacAddress moved = *wire::parse_mac("02:00:00:00:00:77");
  input(arp(wire::kArpRequest, kPeerIp, kPeerIp, moved).emit());  // gratuitous
  MacAddress mac;
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::yes);
  EXPECT_EQ(mac, moved);
}

TEST_F(InterfaceTest, SomebodyWithOurAddressIsCountedAndNotLearned) {
  input(arp(wire::kArpReply, kOurIp, kOurIp).emit());
  EXPECT_EQ(interface_.counters().arp_conflicts, 1U);
}

TEST_F(InterfaceTest, OffLinkSendersAndGroupAddressesAreNotLearned) {
  input(arp(wire::kArpRequest, kFarIp, kOurIp).emit());
  sent();
  auto group = arp(wire::kArpRequest, kPeerIp, kOurIp, *wire::parse_mac("01:00:5e:00:00:01"));
  input(group.emit());
  MacAddress mac;
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::pending);
}

TEST_F(InterfaceTest, AnUnknownNeighbourIsAskedFor) {
  MacAddress mac;
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::pending);
  const auto request = ArpFrame::parse(sent());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->ethernet.destination, MacAddress::broadcast());
  EXPECT_EQ(request->arp, (wire::Arp{wire::kArpRequest, kOurMac, kOurIp, {}, kPeerIp}));
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::pending);
  EXPECT_EQ(sent_text(), "nothing") << "asked at most once a second (RFC 1122 2.3.2.1)";
  input(arp(wire::kArpReply, kPeerIp, kOurIp).emit());
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::yes);
  EXPECT_EQ(mac, kPeerMac);
}

TEST_F(InterfaceTest, WhatIsFarGoesToTheGateway) {
  MacAddress mac;
  EXPECT_EQ(interface_.next_hop(kFarIp), kGateway);
  EXPECT_EQ(interface_.resolve(kFarIp, now_, mac), Resolved::pending);
  EXPECT_EQ(sent_text(), "arp who-has 10.77.0.254 tell 10.77.0.2");
}

class NoGatewayTest : public InterfaceTest {
 protected:
  NoGatewayTest()
      : InterfaceTest([] {
          auto c = default_config();
          c.gateway = {};
          return c;
        }()) {}
};

TEST_F(NoGatewayTest, WhatIsFarIsUnreachable) {
  MacAddress mac;
  EXPECT_EQ(interface_.resolve(kFarIp, now_, mac), Resolved::unreachable);
  EXPECT_EQ(sent_text(), "nothing");
}

TEST_F(InterfaceTest, ANeighbourThatDoesNotAnswerIsGivenUpAfterThreeRequests) {
  struct Seen {
    int times = 0;
    bool given_up = false;
  } seen;
  interface_.on_resolved(
      [](void* context, Ipv4Address, const MacAddress* mac) {
        auto* s = static_cast<Seen*>(context);
        ++s->times;
        s->given_up = mac == nullptr;
      },
      &seen);
  MacAddress mac;
  interface_.resolve(kPeerIp, now_, mac);
  EXPECT_EQ(requests_during(10 * nmio::kSecond), 3U);
  EXPECT_EQ(seen.times, 1);
  EXPECT_TRUE(seen.given_up);
  EXPECT_EQ(interface_.counters().arp_unresolved, 1U);
}

TEST_F(InterfaceTest, AfterGivingUpNoRequestGoesOutForAWhile) {
  MacAddress mac;
  interface_.resolve(kPeerIp, now_, mac);
  requests_during(4 * nmio::kSecond);
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::unreachable);
  EXPECT_EQ(sent_text(), "nothing");
  now_ += 6 * nmio::kSecond;
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::pending);
  EXPECT_EQ(sent_text(), "arp who-has 10.77.0.1 tell 10.77.0.2");
}

TEST_F(InterfaceTest, AnOldNeighbourIsUsedWhileItIsProbed) {
  learn_peer();
  now_ += 61 * nmio::kSecond;
  MacAddress mac;
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::yes);
  const auto probe = ArpFrame::parse(sent());
  ASSERT_TRUE(probe);
  EXPECT_EQ(probe->ethernet.destination, kPeerMac) << "a unicast poll (RFC 1122 2.3.2.1 (2))";
  input(arp(wire::kArpReply, kPeerIp, kOurIp).emit());
  EXPECT_EQ(requests_during(5 * nmio::kSecond), 0U);
}

TEST_F(InterfaceTest, AnOldNeighbourThatDoesNotAnswerIsLookedForByBroadcastAndGivenUp) {
  learn_peer();
  now_ += 61 * nmio::kSecond;
  MacAddress mac;
  interface_.resolve(kPeerIp, now_, mac);
  EXPECT_EQ(requests_during(10 * nmio::kSecond), 6U);
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::unreachable);
}

TEST_F(InterfaceTest, ProgressOfAnUpperLayerSavesTheProbe) {
  learn_peer();
  now_ += 59 * nmio::kSecond;
  interface_.confirm(kPeerIp, now_);
  now_ += 59 * nmio::kSecond;
  MacAddress mac;
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::yes);
  EXPECT_EQ(sent_text(), "nothing");
}

TEST_F(InterfaceTest, AnUnusedNeighbourIsForgotten) {
  learn_peer();
  EXPECT_NE(interface_.next_deadline(), nmio::kNever);
  requests_during(602 * nmio::kSecond);
  EXPECT_EQ(interface_.next_deadline(), nmio::kNever);
}

TEST_F(InterfaceTest, TheTableIsBoundedAndTheLeastRecentlyUsedGoes) {
  MacAddress mac;
  for (std::uint32_t i = 0; i < 2000; ++i) {
    const Ipv4Address ip{kOurIp.value - 2 + 3 + i % 200};
    input(arp(wire::kArpRequest, ip, kOurIp).emit());
    sent();
    now_ += nmio::kMicrosecond;
  }
  EXPECT_EQ(interface_.resolve({kOurIp.value - 2 + 3 + 199}, now_, mac), Resolved::yes);
}

TEST_F(InterfaceTest, OnePacketWaitsForANeighbourAndTheNewestWins) {
  std::byte* data = nullptr;
  for (int i = 0; i < 3; ++i) {
    const nmio::ChunkId chunk = make_frame(data);
    data[41] = static_cast<std::byte>('0' + i);
    interface_.send(data, 46, chunk, kPeerIp, now_);
  }
  EXPECT_EQ(sent_text(), "arp who-has 10.77.0.1 tell 10.77.0.2");
  EXPECT_EQ(out_.count, 0U);
  EXPECT_EQ(interface_.counters().held_dropped, 2U);
  input(arp(wire::kArpReply, kPeerIp, kOurIp).emit());
  const auto frame = sent();
  ASSERT_EQ(frame.size(), 46U);
  EXPECT_EQ(frame[41], std::byte{'2'});
  EXPECT_EQ(wire::Ethernet::parse(frame)->destination, kPeerMac);
  EXPECT_EQ(wire::Ethernet::parse(frame)->source, kOurMac);
}

TEST_F(InterfaceTest, AHeldPacketComesHomeWhenItsNeighbourIsGivenUp) {
  std::byte* data = nullptr;
  const nmio::ChunkId chunk = make_frame(data);
  interface_.send(data, 46, chunk, kPeerIp, now_);
  requests_during(5 * nmio::kSecond);
  EXPECT_EQ(interface_.counters().held_dropped, 1U);  // TearDown() counts the chunks
}

TEST_F(InterfaceTest, AFullRingLosesTheAnswerAndKeepsTheChunk) {
  out_.room = 0;
  input(arp(wire::kArpRequest, kPeerIp, kOurIp).emit());
  EXPECT_EQ(interface_.counters().no_tx_room, 1U);
}

TEST_F(InterfaceTest, ARequestThatFoundNoRoomGoesOutSoonAfter) {
  out_.room = 0;
  MacAddress mac;
  EXPECT_EQ(interface_.resolve(kPeerIp, now_, mac), Resolved::pending);
  EXPECT_LE(interface_.next_deadline(), now_ + nmio::kMillisecond);
  out_.room = 64;
  now_ += nmio::kMillisecond;
  interface_.run_timers(now_);
  EXPECT_EQ(sent_text(), "arp who-has 10.77.0.1 tell 10.77.0.2");
  EXPECT_EQ(requests_during(10 * nmio::kSecond), 2U) << "the one without room is not counted";
}

TEST_F(InterfaceTest, AnnouncingTellsTheNeighbours) {
  interface_.announce(now_);
  EXPECT_EQ(sent_text(), "arp who-has 10.77.0.2 tell 10.77.0.2");
}

}  // namespace
}  // namespace stackrig::ip
