// SPDX-License-Identifier: Apache-2.0
// Chunks of prepackaged frames: each is at home or with the device, whatever could be sent of them,
// and the pool is never used up by them.
#include <map>
#include <set>

#include "tcpip/frame_owner.h"
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

/// Per home: what is free and what the device has make the whole.
void expect_all_accounted_for(Script& s) {
  std::map<nmio::HomeId, std::uint32_t> out;
  for (const nmio::ChunkId c : s.in_device) ++out[s.memory->home_of(c)];
  std::set<nmio::HomeId> homes;
  for (nmio::ChunkId c = 0; c < s.memory->chunks(); ++c) homes.insert(s.memory->home_of(c));
  for (const nmio::HomeId h : homes) {
    ASSERT_EQ(s.memory->free_count(h) + out[h], s.memory->total_count(h)) << "home " << h;
  }
}

struct Kind {
  SendMode mode;
  bool tso;
};
class GiveBack : public ::testing::TestWithParam<Kind> {
 protected:
  static Config config() {
    Config c = script_config();
    c.offload.tx_checksum = c.offload.scatter_gather = c.offload.segment = GetParam().tso;
    return c;
  }
};

TEST_P(GiveBack, FramesThatCouldNotGoComeHomeAfterEveryPartialSend) {
  Script s(config(), 1024);
  s.listen();
  s.establish(mss_option(1460));
  s.hold_sent = true;
  s.check_chunks = false;  // frames have homes of their own
  PackagedContent content(*s.memory, {.mode = GetParam().mode, .reserve = 100});
  const std::string text = pattern(40 * 1448 - 7);
  const std::uint64_t cookie = PackagedContent::cookie(content.add({}, wire::bytes_of(text)), 0);
  std::uint32_t acked = 0;
  for (const unsigned room : {1U, 2U, 3U, 5U, 7U, 33U, 64U}) {
    s.room = room;
    s.collect();
    ASSERT_EQ(s.stack.tcp_write(*s.app.tcb, content, cookie, text.size(), s.now), Result::ok);
    const auto end = acked + static_cast<std::uint32_t>(text.size());
    std::string got;
    for (int turn = 0; turn < 500 && got.size() < text.size(); ++turn) {
      s.tick();
      expect_all_accounted_for(s);
      if (HasFatalFailure()) return;
      std::uint32_t to = acked;
      while (!s.sent.empty()) {
        const Out o = s.out();
        const std::uint32_t at =
            o.seq() - s.iss - 1 - (end - static_cast<std::uint32_t>(text.size()));
        if (at != got.size()) continue;  // a probe of the tail that came twice
        got += o.payload();
        to = end - static_cast<std::uint32_t>(text.size() - got.size());
      }
      if (turn % 3 == 2) s.device_done();
      if (to == acked) continue;
      acked = to;
      s.in(s.data("", 0, acked));
      expect_all_accounted_for(s);
      if (HasFatalFailure()) return;
    }
    ASSERT_EQ(got, text) << "room " << room;
    s.in(s.data("", 0, end));
    s.device_done();
    expect_all_accounted_for(s);
    ASSERT_FALSE(HasFatalFailure());
  }
  EXPECT_GT(s.stack.counters().no_tx_room, 0U);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, GiveBack,
    ::testing::Values(Kind{SendMode::precopy, false}, Kind{SendMode::precopy, true},
                      Kind{SendMode::memcpy, false}, Kind{SendMode::memcpy, true}),
    [](const auto& p) {
      return std::string(p.param.mode == SendMode::precopy ? "precopy" : "memcpy") +
             (p.param.tso ? "_tso" : "");
    });

// What clients ask for most changes again and again, each time for more at once than the pool has
// copies of. Whoever comes new is served all the same.
TEST(Reserve, ShiftingPopularityLeavesRoomForNewConnections) {
  constexpr unsigned kFrames = 20, kClients = 30, kReserve = 60;
  Config c = script_config();
  Script s(c, 200);
  s.check_chunks = false;
  s.listen();
  PackagedContent content(*s.memory, {.mode = SendMode::precopy, .reserve = kReserve});
  std::vector<std::uint64_t> cookies;
  for (unsigned i = 0; i < kFrames; ++i) {
    const std::string text = pattern(1000, i);
    cookies.push_back(PackagedContent::cookie(content.add({}, wire::bytes_of(text)), 0));
  }
  std::vector<Tcb*> clients;
  s.app.on_accepted = [&](Tcb& t) { clients.push_back(&t); };
  const auto open = [&](std::uint16_t port) {
    s.in({.flags = kSyn, .seq = 100, .options = mss_option(1460), .from_port = port});
    const Out synack = s.out();
    ASSERT_EQ(synack.flags(), kSyn | kAck);
    s.in({.flags = kAck, .seq = 101, .ack = synack.seq() + 1, .from_port = port});
  };
  for (std::uint16_t i = 0; i < kClients; ++i) {
    open(static_cast<std::uint16_t>(4000 + i));
    if (HasFatalFailure()) return;
  }
  ASSERT_EQ(clients.size(), kClients);
  std::vector<std::uint32_t> acked(kClients, 0);
  for (unsigned f = 0; f < 2 * kFrames; ++f) {
    const std::string text = pattern(1000, f % kFrames);
    s.hold_sent = true;  // the ring is slow: all copies are out at once
    for (Tcb* t : clients) {
      ASSERT_EQ(s.stack.tcp_write(*t, content, cookies[f % kFrames], 1000, s.now), Result::ok);
    }
    s.tick();
    ASSERT_EQ(s.sent.size(), kClients) << "frame " << f;
    while (!s.sent.empty()) {
      const Out o = s.out();
      ASSERT_EQ(o.payload(), text);
      s.in({.seq = 101, .ack = o.seq() + 1000, .from_port = o.tcp().destination_port});
    }
    open(static_cast<std::uint16_t>(5000 + f));
    if (HasFatalFailure()) return;
    ASSERT_EQ(clients.size(), kClients + 1) << "a new connection while frame " << f << " is out";
    s.stack.tcp_abort(*clients.back(), s.now);
    clients.pop_back();
    s.tick();
    s.forget();
    s.device_done();
    expect_all_accounted_for(s);
    ASSERT_GE(s.memory->free_count(), kReserve);
  }
}

}  // namespace
}  // namespace stackrig::tcpip::testing
