// SPDX-License-Identifier: Apache-2.0
// For tests, "send this, expect that": an interface at 10.77.0.2/24 and its neighbours.
#pragma once

#include "ip/interface.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "wire/frame.h"

namespace stackrig::ip::test {

using wire::ArpFrame;
using wire::IcmpFrame;
using wire::Ipv4Address;
using wire::MacAddress;
using wire::UdpFrame;

inline const MacAddress kOurMac = *wire::parse_mac("02:00:00:00:00:02");
inline const MacAddress kPeerMac = *wire::parse_mac("02:00:00:00:00:01");
inline const Ipv4Address kOurIp = *wire::parse_ipv4("10.77.0.2");
inline const Ipv4Address kPeerIp = *wire::parse_ipv4("10.77.0.1");
inline const Ipv4Address kGateway = *wire::parse_ipv4("10.77.0.254");
inline const Ipv4Address kFarIp = *wire::parse_ipv4("192.0.2.9");

inline InterfaceConfig default_config() {
  InterfaceConfig c;
  c.address = {kOurIp, 24};
  c.gateway = kGateway;
  c.mac = kOurMac;
  return c;
}

class InterfaceTest : public ::testing::Test {
 protected:
  explicit InterfaceTest(const InterfaceConfig& config = default_config())
      : memory_(nmio::PacketMemory::create({.chunks = 256, .huge_pages = false})),
        interface_(config, *memory_, out_) {
    out_.room = 64;
  }
  // Every chunk is home again, or in a packet that waits to be sent.
  void TearDown() override { EXPECT_EQ(memory_->free_count() + out_.count, 256U); }

  Input input(const std::vector<std::byte>& frame) {
    const nmio::ChunkId chunk = memory_->take();
    std::byte* data = memory_->data(chunk) + Interface::kHeadroom;
    std::copy(frame.begin(), frame.end(), data);
    packet_ = {data, static_cast<std::uint32_t>(frame.size()), chunk, 0, 0};
    const Input result = interface_.input(packet_, now_, datagram_);
    return result;
  }
  // Hands a frame over that must come back as a datagram, and gives the chunk back.
  bool is_transport(const std::vector<std::byte>& frame) {
    if (input(frame) != Input::transport) return false;
    memory_->give_back(packet_.chunk);
    return true;
  }
  // Takes what was sent, in order.
  std::vector<std::byte> sent() {
    if (out_.count == 0) return {};
    const nmio::TxPacket p = out_.packets[0];
    std::vector<std::byte> frame(p.data, p.data + p.len);
    memory_->give_back(p.chunk);
    --out_.count;
    ++out_.room;
    std::copy(out_.packets.begin() + 1, out_.packets.begin() + 1 + out_.count,
              out_.packets.begin());
    return frame;
  }
  std::string sent_text() {
    const auto frame = sent();
    return frame.empty() ? "nothing" : wire::describe(frame);
  }

  static ArpFrame arp(std::uint16_t operation, Ipv4Address sender, Ipv4Address target,
                      MacAddress mac = kPeerMac) {
    ArpFrame f;
    f.ethernet = {operation == wire::kArpRequest ? MacAddress::broadcast() : kOurMac, mac,
                  wire::kEtherTypeArp};
    f.arp = {operation, mac, sender, operation == wire::kArpRequest ? MacAddress{} : kOurMac,
             target};
    return f;
  }
  static UdpFrame udp(Ipv4Address from = kPeerIp) {
    UdpFrame f;
    f.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeIpv4};
    f.ip.source = from;
    f.ip.destination = kOurIp;
    f.udp = {4000, 53, 4};
    f.payload = wire::bytes_of("ping");
    return f;
  }
  static IcmpFrame echo() {
    IcmpFrame f;
    f.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeIpv4};
    f.ip.source = kPeerIp;
    f.ip.destination = kOurIp;
    f.icmp = {wire::kIcmpEchoRequest, 0, 7, 1};
    f.payload = wire::bytes_of("abcdefghijklmnop");
    return f;
  }
  nmio::ChunkId make_frame(std::byte*& data) {
    const nmio::ChunkId chunk = memory_->take();
    data = memory_->data(chunk) + Interface::kHeadroom;
    auto bytes = udp().emit();
    std::memcpy(data, bytes.data(), bytes.size());
    return chunk;
  }
  void learn_peer() {
    input(arp(wire::kArpRequest, kPeerIp, kOurIp).emit());
    sent();
  }
  // Runs the timers each 100 ms; returns the ARP requests of that time.
  unsigned requests_during(Time duration) {
    unsigned requests = 0;
    for (const Time end = now_ + duration; now_ < end; now_ += 100 * nmio::kMillisecond) {
      interface_.run_timers(now_);
      while (out_.count != 0) {
        const auto f = ArpFrame::parse(sent());
        requests += f && f->arp.operation == wire::kArpRequest ? 1 : 0;
      }
    }
    return requests;
  }

  std::unique_ptr<nmio::PacketMemory> memory_;
  nmio::TxBatch out_;
  Interface interface_;
  nmio::RxPacket packet_{};
  Datagram datagram_{};
  Time now_ = 1000 * nmio::kSecond;
};

}  // namespace stackrig::ip::test
