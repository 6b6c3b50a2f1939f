// SPDX-License-Identifier: Apache-2.0
// Floods over a simulated wire, against a server that is this test: what each kind sends, how
// often, and what it answers.
#include "rigload/flood.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "nmio/sim.h"
#include "nmio/test_frames.h"
#include "wire/frame.h"

namespace stackrig::rigload {
namespace {

using nmio::kMillisecond;
using nmio::kSecond;
using wire::TcpFrame;

constexpr wire::Ipv4Address kServer{0x0a4d0002};
constexpr wire::Ipv4Cidr kOwn{{0x0a4d00c9}, 24};
constexpr wire::MacAddress kServerMac{{2, 0, 0, 0, 0, 0x51}};
constexpr wire::MacAddress kFloodMac{{2, 0, 0, 0, 0, 0xf1}};

/// The server's end: answers ARP, keeps what comes, says what the test wants said.
struct World {
  explicit World(FloodConfig c)
      : flooder(net.add_port({.mac = kFloodMac.bytes, .chunks = 8192})),
        server(net.add_port({.mac = kServerMac.bytes, .ring = 8192, .chunks = 16384})) {
    c.target = {kServer, 80};
    c.address = kOwn;
    c.mac = kFloodMac;
    flood = std::make_unique<Flood>(c, flooder.queue(0).memory(), batch);
    runner.attach(flooder.queue(0), batch, *flood);
  }
  /// What came in this time, TCP only.
  std::vector<TcpFrame> run_for(Time duration) {
    std::vector<TcpFrame> got;
    const Time end = net.now() + duration;
    while (net.now() < end) {
      runner.run_until(std::min(end, net.now() + kMillisecond / 4));
      for (const auto& r : nmio::test::receive_all(server.queue(0))) {
        answer_arp(r.bytes);
        if (auto f = TcpFrame::parse(r.bytes)) got.push_back(std::move(*f));
      }
    }
    return got;
  }
  void answer_arp(const std::vector<std::byte>& bytes) {
    const auto f = wire::ArpFrame::parse(bytes);
    if (!f || f->arp.operation != wire::kArpRequest) return;
    const wire::ArpFrame reply{
        {f->arp.sender_mac, kServerMac, wire::kEtherTypeArp},
        {wire::kArpReply, kServerMac, kServer, f->arp.sender_mac, f->arp.sender_ip}};
    put(reply.emit());
  }
  /// An answer to `to`: addresses and ports turned round.
  void say(const TcpFrame& to, std::uint32_t seq, std::uint32_t ack, std::uint8_t flags,
           std::size_t bytes = 0) {
    TcpFrame f;
    f.ethernet = {kFloodMac, kServerMac, wire::kEtherTypeIpv4};
    f.ip.source = kServer;
    f.ip.destination = to.ip.source;
    f.tcp.source_port = 80;
    f.tcp.destination_port = to.tcp.source_port;
    f.tcp.sequence = seq;
    f.tcp.acknowledgement = ack;
    f.tcp.flags = flags;
    f.payload.resize(bytes);
    put(f.emit());
  }
  void accept(const TcpFrame& syn) {
    say(syn, 1000, syn.tcp.sequence + 1, wire::kTcpSyn | wire::kTcpAck);
  }
  void put(const std::vector<std::byte>& bytes) {
    nmio::test::send_frame(server.queue(0), bytes);
    server.queue(0).reap();
  }
  nmio::SimNetwork net{1};
  nmio::SimRunner runner{net};
  nmio::SimPort& flooder;
  nmio::SimPort& server;
  nmio::TxBatch batch{};
  std::unique_ptr<Flood> flood;
};

std::string text_of(const TcpFrame& f) {
  return {reinterpret_cast<const char*>(f.payload.data()), f.payload.size()};
}

TEST(Flood, NothingIsSentBeforeTheTargetIsKnown) {
  World w({.kind = FloodKind::syn, .rate = 1000});
  w.runner.run_for(10 * kMillisecond);
  EXPECT_FALSE(w.flood->is_running());
  EXPECT_EQ(w.flood->counters().sent, 0U);
  w.run_for(2 * kSecond);  // the test answers ARP from now on
  EXPECT_TRUE(w.flood->is_running());
}

TEST(Flood, TheRateIsKeptAndFlowsAreUsedInTurn) {
  World w({.kind = FloodKind::syn, .addresses = 3, .flows = 600, .rate = 2000});
  w.run_for(100 * kMillisecond);
  const Time began = w.flood->began();
  const auto got = w.run_for(began + kSecond - w.net.now());
  EXPECT_NEAR(static_cast<double>(w.flood->counters().steps), 2000, 3);
  std::map<std::pair<std::uint32_t, std::uint16_t>, unsigned> seen;
  for (const TcpFrame& f : got) {
    EXPECT_EQ(f.tcp.flags, wire::kTcpSyn);
    EXPECT_EQ(f.tcp.destination_port, 80);
    ASSERT_GE(f.ip.source.value, kOwn.address.value);
    ASSERT_LT(f.ip.source.value, kOwn.address.value + 3);
    ++seen[{f.ip.source.value, f.tcp.source_port}];
  }
  EXPECT_EQ(seen.size(), 600U);
  for (const auto& [flow, n] : seen) EXPECT_LE(n, 4U);
}

TEST(Flood, SynsAreNotFollowedUp) {
  World w({.kind = FloodKind::syn, .flows = 10, .rate = 100});
  for (const TcpFrame& f : w.run_for(kSecond)) w.accept(f);
  for (const TcpFrame& f : w.run_for(kSecond)) EXPECT_EQ(f.tcp.flags, wire::kTcpSyn);
  EXPECT_EQ(w.flood->counters().opened, 0U);
  EXPECT_GT(w.flood->counters().received, 0U);
}

TEST(Flood, AcksBelongToNoConnectionAndResetsAreCounted) {
  World w({.kind = FloodKind::ack, .flows = 100, .rate = 100});
  std::set<std::uint32_t> sequences;
  const auto got = w.run_for(kSecond);
  for (const TcpFrame& f : got) {
    EXPECT_EQ(f.tcp.flags, wire::kTcpAck);
    sequences.insert(f.tcp.sequence);
    w.say(f, f.tcp.acknowledgement, 0, wire::kTcpRst);
  }
  EXPECT_EQ(sequences.size(), got.size());
  w.run_for(10 * kMillisecond);
  EXPECT_EQ(w.flood->counters().resets, got.size());
}

/// Opens what is to be opened; what comes afterwards.
std::vector<TcpFrame> opened(World& w, unsigned connections) {
  std::vector<TcpFrame> after;
  for (unsigned n = 0; n < connections;) {
    for (const TcpFrame& f : w.run_for(kMillisecond)) {
      if ((f.tcp.flags & wire::kTcpSyn) != 0) {
        w.accept(f);
        ++n;
      } else {
        after.push_back(f);
      }
    }
  }
  for (const TcpFrame& f : w.run_for(2 * kMillisecond)) after.push_back(f);
  return after;
}

TEST(Flood, AHalfOpenConnectionIsLeftAlone) {
  World w({.kind = FloodKind::half_open, .flows = 4, .rate = 100});
  const auto after = opened(w, 1);
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].tcp.flags, wire::kTcpAck);
  EXPECT_EQ(after[0].tcp.acknowledgement, 1001U);
  EXPECT_TRUE(after[0].payload.empty());
  const std::uint64_t sent = w.flood->counters().sent;
  w.say(after[0], 1001, after[0].tcp.sequence, wire::kTcpAck);  // a keep-alive's probe
  for (const TcpFrame& f : w.run_for(5 * kMillisecond)) EXPECT_EQ(f.tcp.flags, wire::kTcpSyn);
  EXPECT_LE(w.flood->counters().sent, sent + 1);
}

TEST(Flood, ATinyWindowAsksForAFileAndTakesAByteATurn) {
  World w({.kind = FloodKind::tiny_window, .flows = 1, .rate = 100, .path = "/big"});
  const auto after = opened(w, 1);
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(text_of(after[0]).substr(0, 18), "GET /big HTTP/1.1\r");
  EXPECT_EQ(after[0].tcp.window, 1);
  w.say(after[0], 1001, after[0].tcp.sequence + after[0].payload.size(), wire::kTcpAck, 1);
  const auto turn = w.run_for(20 * kMillisecond);
  ASSERT_FALSE(turn.empty());
  EXPECT_EQ(turn.back().tcp.acknowledgement, 1002U);
  EXPECT_EQ(turn.back().tcp.window, 1);
}

TEST(Flood, ASlowReaderAcknowledgesAtItsTurnOnly) {
  World w({.kind = FloodKind::slow_read, .flows = 1, .rate = 10});
  const auto after = opened(w, 1);
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].tcp.window, 1460);
  w.say(after[0], 1001, 0, wire::kTcpAck, 1460);
  EXPECT_TRUE(w.run_for(20 * kMillisecond).empty());
  const auto turn = w.run_for(100 * kMillisecond);
  ASSERT_EQ(turn.size(), 1U);
  EXPECT_EQ(turn[0].tcp.acknowledgement, 2461U);
}

TEST(Flood, SackBlocksAreSingleBytesOfWhatIsInFlight) {
  World w({.kind = FloodKind::sack, .flows = 1, .rate = 1000});
  const auto after = opened(w, 1);
  ASSERT_FALSE(after.empty());
  for (std::uint32_t i = 0; i < 10; ++i) w.say(after[0], 1001 + i * 1000, 0, wire::kTcpAck, 1000);
  w.run_for(2 * kMillisecond);
  const auto flood = w.run_for(20 * kMillisecond);
  ASSERT_GE(flood.size(), 15U);
  for (const TcpFrame& f : flood) {
    ASSERT_EQ(f.tcp.options.sack_blocks, 4U);
    for (const wire::SackBlock& b : f.tcp.options.sack) {
      EXPECT_EQ(b.right - b.left, 1U);
      EXPECT_GT(b.left, f.tcp.acknowledgement);
      EXPECT_LE(b.right, 11'002U);
    }
  }
}

TEST(Flood, APortIsUsedAgainOnceItsConnectionHasEnded) {
  World w({.kind = FloodKind::port_reuse, .flows = 1, .rate = 1000});
  const auto after = opened(w, 1);
  ASSERT_EQ(after.size(), 1U);
  EXPECT_NE(text_of(after[0]).find("Connection: close"), std::string::npos);
  const std::uint32_t ours =
      after[0].tcp.sequence + static_cast<std::uint32_t>(after[0].payload.size());
  EXPECT_TRUE(w.run_for(5 * kMillisecond).empty()) << "the port is in use";
  w.say(after[0], 1001, ours, wire::kTcpAck | wire::kTcpFin, 100);
  const auto next = w.run_for(3 * kMillisecond);
  ASSERT_GE(next.size(), 2U);
  EXPECT_EQ(next[0].tcp.flags, wire::kTcpFin | wire::kTcpAck);
  EXPECT_EQ(next[0].tcp.acknowledgement, 1102U);
  EXPECT_EQ(next[1].tcp.flags, wire::kTcpSyn);
  EXPECT_EQ(next[1].tcp.source_port, after[0].tcp.source_port);
  // RFC 6191: a SYN opens a connection in TIME_WAIT where its number lies beyond the last one's.
  EXPECT_GT(static_cast<std::int32_t>(next[1].tcp.sequence - next[0].tcp.sequence), 0);
  EXPECT_EQ(w.flood->counters().completed, 1U);
}

TEST(Flood, AResetOpensTheFlowAgain) {
  World w({.kind = FloodKind::slow_read, .flows = 1, .rate = 100});
  const auto after = opened(w, 1);
  w.say(after[0], 1001, 0, wire::kTcpRst);
  const auto next = w.run_for(30 * kMillisecond);
  ASSERT_FALSE(next.empty());
  EXPECT_EQ(next[0].tcp.flags, wire::kTcpSyn);
}

}  // namespace
}  // namespace stackrig::rigload
