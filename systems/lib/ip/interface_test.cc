// SPDX-License-Identifier: Apache-2.0
// What an interface takes from the wire and what it refuses; its configuration.
#include "ip/test_interface.h"

namespace stackrig::ip {
namespace {

using namespace test;

TEST_F(InterfaceTest, ADatagramForUsGoesToTheTransport) {
  ASSERT_TRUE(is_transport(udp().emit()));
  EXPECT_EQ(datagram_.source, kPeerIp);
  EXPECT_EQ(datagram_.destination, kOurIp);
  EXPECT_EQ(datagram_.protocol, wire::kProtocolUdp);
  EXPECT_EQ(datagram_.l4_bytes, 12U);
}

TEST_F(InterfaceTest, EthernetPaddingIsNoPayload) {
  auto frame = udp().emit();
  frame.resize(60);
  ASSERT_TRUE(is_transport(frame));
  EXPECT_EQ(datagram_.l4_bytes, 12U);
}

TEST_F(InterfaceTest, OptionsOfIpArePassedOver) {
  auto frame = udp().emit();
  const auto options = wire::bytes_of(std::string_view("\x01\x01\x01\x00", 4));
  frame.insert(frame.begin() + 34, options.begin(), options.end());
  auto& h = wire::Ipv4Header::at(frame.data() + 14);
  h.version_ihl = 0x46;
  h.total_length.set(static_cast<std::uint16_t>(h.total_length.get() + 4));
  h.checksum.set_raw(0);
  h.checksum.set_raw(wire::finish(wire::sum(frame.data() + 14, 24)));
  ASSERT_TRUE(is_transport(frame));
  EXPECT_EQ(datagram_.l4_bytes, 12U);
}

TEST_F(InterfaceTest, WhatIsForOthersIsDroppedInSilence) {
  auto other_mac = udp();
  other_mac.ethernet.destination = *wire::parse_mac("02:00:00:00:00:99");
  auto other_ip = udp();
  other_ip.ip.destination = *wire::parse_ipv4("10.77.0.3");
  auto broadcast = udp();
  broadcast.ethernet.destination = MacAddress::broadcast();
  broadcast.ip.destination = *wire::parse_ipv4("10.77.0.255");
  auto unicast_in_broadcast = udp();  // RFC 1122 3.3.6
  unicast_in_broadcast.ethernet.destination = MacAddress::broadcast();
  auto ipv6 = udp().emit();
  ipv6[12] = std::byte{0x86};
  ipv6[13] = std::byte{0xdd};
  for (const auto& frame :
       {other_mac.emit(), other_ip.emit(), broadcast.emit(), unicast_in_broadcast.emit(), ipv6}) {
    EXPECT_EQ(input(frame), Input::taken);
    EXPECT_EQ(sent_text(), "nothing");
  }
  EXPECT_EQ(interface_.counters().not_for_us, 5U);
}

TEST_F(InterfaceTest, BrokenHeadersAreCountedAndDropped) {
  auto bad_sum = udp().emit();
  bad_sum[24] ^= std::byte{1};
  EXPECT_EQ(input(bad_sum), Input::taken);
  EXPECT_EQ(interface_.counters().bad_checksum, 1U);
  const auto whole = udp().emit();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_EQ(input({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)}), Input::taken);
  }
  EXPECT_EQ(interface_.counters().bad_header, whole.size());
}

TEST_F(InterfaceTest, SourcesThatAreNoHostsAreRefused) {
  for (const char* source :
       {"0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "10.77.0.255", "10.77.0.2"}) {
    EXPECT_EQ(input(udp(*wire::parse_ipv4(source)).emit()), Input::taken) << source;
  }
  EXPECT_EQ(interface_.counters().bad_header, 6U);
}

TEST_F(InterfaceTest, FragmentsAreDropped) {
  auto first = udp();
  first.ip.dont_fragment = false;
  first.ip.more_fragments = true;
  auto last = udp();
  last.ip.dont_fragment = false;
  last.ip.fragment_offset = 8;
  EXPECT_EQ(input(first.emit()), Input::taken);
  EXPECT_EQ(input(last.emit()), Input::taken);
  EXPECT_EQ(interface_.counters().fragments_dropped, 2U);
}

TEST_F(InterfaceTest, RandomBytesNeitherCrashNorLoseAChunk) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 20000; ++round) {
    auto frame = round % 3 == 0   ? echo().emit()
                 : round % 3 == 1 ? udp().emit()
                                  : arp(wire::kArpRequest, kPeerIp, kOurIp).emit();
    const std::size_t flips = 1 + random() % 8;
    for (std::size_t i = 0; i < flips; ++i) {
      frame[random() % frame.size()] = static_cast<std::byte>(random());
    }
    frame.resize(random() % 2 == 0 ? frame.size() : random() % (frame.size() + 1));
    if (input(frame) == Input::transport) memory_->give_back(packet_.chunk);
    while (out_.count != 0) sent();
  }
}

// --- configuration
// --------------------------------------------------------------------------------

class ManyAddressesTest : public InterfaceTest {
 protected:
  ManyAddressesTest()
      : InterfaceTest([] {
          auto c = default_config();
          c.addresses = 10;
          return c;
        }()) {}
};

TEST_F(ManyAddressesTest, ConsecutiveAddressesAreAllOurs) {
  for (std::uint32_t i = 0; i < 10; ++i) {
    const Ipv4Address a{kOurIp.value + i};
    input(arp(wire::kArpRequest, kPeerIp, a).emit());
    EXPECT_EQ(sent_text(), "arp reply " + wire::to_string(a) + " is-at 02:00:00:00:00:02");
    auto f = udp();
    f.ip.destination = a;
    EXPECT_TRUE(is_transport(f.emit()));
  }
  EXPECT_FALSE(interface_.is_ours({kOurIp.value + 10}));
  EXPECT_FALSE(interface_.is_ours({kOurIp.value - 1}));
}

TEST(InterfaceConfig, WhatCannotBeIsRefused) {
  auto memory = nmio::PacketMemory::create({.chunks = 16, .huge_pages = false});
  nmio::TxBatch out;
  const auto refused = [&](auto change) {
    InterfaceConfig c = default_config();
    change(c);
    EXPECT_THROW(Interface(c, *memory, out), std::invalid_argument);
  };
  refused([](InterfaceConfig& c) { c.address.address = *wire::parse_ipv4("224.0.0.1"); });
  refused([](InterfaceConfig& c) { c.address.address = {}; });
  refused([](InterfaceConfig& c) { c.address.address = *wire::parse_ipv4("10.77.0.255"); });
  refused([](InterfaceConfig& c) { c.gateway = kFarIp; });
  refused([](InterfaceConfig& c) { c.mtu = 500; });
  refused([](InterfaceConfig& c) { c.mac = MacAddress::broadcast(); });
  refused([](InterfaceConfig& c) { c.addresses = 0; });
}

TEST(RateLimit, ABurstThenASteadyRate) {
  RateLimit limit(10, 5);
  Time now = nmio::kSecond;
  int allowed = 0;
  for (int i = 0; i < 100; ++i) allowed += limit.allow(now) ? 1 : 0;
  EXPECT_EQ(allowed, 5);
  for (int i = 0; i < 1000; ++i) {
    now += nmio::kMillisecond;
    allowed += limit.allow(now) ? 1 : 0;
  }
  EXPECT_EQ(allowed, 15);
  EXPECT_FALSE(RateLimit(0, 10).allow(now));
}

}  // namespace
}  // namespace stackrig::ip
