// SPDX-License-Identifier: Apache-2.0
// Floods: the work that one packet causes is bounded, whatever state a peer has made us keep; and
// what it makes us keep is bounded too.
#include <algorithm>
#include <random>

#include "tcpip/sack_sender.h"
#include "tcpip/scoreboard.h"

namespace stackrig::tcpip::testing {
namespace {

/// A peer with a window of 1 MB whose reports cut the flight into as many pieces as it can.
struct Flooder : Script {
  explicit Flooder(const Config& c) : Script(c, 4096), owner(pattern(4'000'000)) {
    listen();
    wire::TcpOptions o = sack_options();
    o.window_scale = 7;
    in({.flags = kSyn, .seq = irs, .options = o});
    iss = out().seq();
    now += 20 * kMillisecond;
    in(data(""));
    stack.tcp_write(*app.tcb, owner, 1, owner.size(), now);
    tick();
    // Slow start to a flight of some hundred segments.
    for (int i = 0; i < 4; ++i) {
      now += 20 * kMillisecond;
      const Seq all = app.tcb->snd_max;
      for (Seq to = app.tcb->snd_una + 2000; seq_lt(to, all); to += 2000)
        in(data("", 0, to - iss - 1));
      in(data("", 0, all - iss - 1));
      forget();
    }
  }
  static Config config() {
    Config c = script_config();
    c.congestion_control = CongestionControl::new_reno;
    c.initial_window_segments = 40;
    c.max_sent_ranges = 1000;
    return c;
  }
  StringOwner owner;
};

TEST(SackFlood, APacketCausesBoundedWork) {
  Flooder s(Flooder::config());
  Tcb& t = *s.app.tcb;
  ASSERT_GT(t.outstanding(), 300'000u);
  std::mt19937 random(5);
  std::uint64_t worst = 0;
  std::size_t most_sent = 0;
  for (int i = 0; i < 20'000; ++i) {
    In a = s.data("", 0, t.snd_una - s.iss - 1);
    a.options.sack_blocks = 4;
    for (auto& b : a.options.sack) {
      const std::uint32_t at = static_cast<std::uint32_t>(random() % (t.outstanding() - 1));
      b = {t.snd_una + at, t.snd_una + at + 1 + static_cast<std::uint32_t>(random() % 3)};
    }
    if (i % 100 == 0) s.now += kMillisecond;
    const std::uint64_t before = s.stack.counters().board_visits;
    s.in(a);
    worst = std::max(worst, s.stack.counters().board_visits - before);
    most_sent = std::max(most_sent, s.sent.size());
    s.forget();
    ASSERT_LE(t.sent_count, Scoreboard::kMostRanges);
  }
  // One walk to mark what arrived, one to find what is lost, one to send it again.
  EXPECT_LE(worst, 3U * Scoreboard::kMostRanges + 16);
  EXPECT_GT(worst, Scoreboard::kMostRanges / 2) << "the flood did not reach what it is about";
  RecordProperty("ranges_per_packet", std::to_string(worst));
  RecordProperty("segments_per_packet", std::to_string(most_sent));
}

TEST(SackFlood, OneConnectionLeavesRangesForOthers) {
  Flooder s(Flooder::config());
  for (std::uint32_t i = 0; i < 2000; ++i) {
    In a = s.data("", 0, s.app.tcb->snd_una - s.iss - 1);
    a.options.sack_blocks = 1;
    a.options.sack[0] = {s.app.tcb->snd_una + 10 + i * 20, s.app.tcb->snd_una + 11 + i * 20};
    s.in(a);
    s.forget();
  }
  EXPECT_LE(s.app.tcb->sent_count, Scoreboard::kMostRanges);
}

TEST(SackFlood, AConnectionThatFindsNoRangeGoesOnByNewReno) {
  Config c = Flooder::config();
  c.max_sent_ranges = 2;
  Script s(c);
  s.listen();
  s.establish(sack_options(), 65535, 20 * kMillisecond);
  s.app.tcb = nullptr;
  s.in({.flags = kSyn, .seq = 70, .options = sack_options(), .from_port = 4001});
  const Seq iss = s.out().seq();
  s.in({.flags = kAck, .seq = 71, .ack = iss + 1, .from_port = 4001});
  Tcb& t = *s.app.tcb;
  StringOwner o(pattern(100'000));
  s.stack.tcp_write(t, o, 1, o.size(), s.now);
  s.tick();
  s.forget();
  s.now += 20 * kMillisecond;
  for (int i = 0; i < 4; ++i) {
    In a{.seq = 71, .ack = iss + 1, .from_port = 4001};
    a.options.sack_blocks = 3;
    for (std::uint32_t b = 0; b < 3; ++b) {
      a.options.sack[b] = {iss + 1 + 1000 + b * 2000, iss + 1 + 2000 + b * 2000};
    }
    s.in(a);
  }
  // Whatever it could note of the reports, it recovers.
  s.forget();
  for (std::uint32_t to = 1000; to <= 100'000 && s.app.tcb != nullptr; to += 1000) {
    if (seq_gt(iss + 1 + to, t.snd_max)) s.advance(300 * kMillisecond);
    s.in({.seq = 71, .ack = iss + 1 + to, .from_port = 4001});
    s.forget();
  }
  EXPECT_EQ(o.acked_to, 100'000u);
}

TEST(AckFlood, DuplicatesAreCheapAndSendNothing) {
  Flooder s(Flooder::config());
  s.forget();
  const In duplicate = s.data("", 0, s.app.tcb->snd_una - s.iss - 1);
  const std::uint64_t before = s.stack.counters().board_visits;
  for (int i = 0; i < 10'000; ++i) s.in(duplicate);
  EXPECT_EQ(s.stack.counters().board_visits, before);
  EXPECT_EQ(s.stack.counters().retransmits, 0u);
  s.expect_silence();
}

TEST(TinySegments, HoldNoMoreMemoryThanTheirBytesAreWorth) {
  Config c = script_config();
  c.max_held_chunks = 2048;
  Script s(c, 8192);
  s.listen();
  s.establish(sack_options());
  // Every second byte of 40 KB: nothing joins.
  std::uint64_t worst = 0;
  std::mt19937 random(3);
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    const std::uint64_t before = s.stack.counters().held_visits;
    s.in(s.data("x", 1 + 2 * static_cast<std::uint32_t>(random() % 20'000)));
    worst = std::max(worst, s.stack.counters().held_visits - before);
    s.forget();
  }
  EXPECT_LE(s.stack.counters().held_chunks_now, 512u) << "a quarter of all for one connection";
  EXPECT_LE(worst, 513u);
}

TEST(TinySegments, InOrderTheyShareAChunk) {
  Script s;
  s.listen();
  s.establish(sack_options());
  for (std::uint32_t i = 1; i < 1000; ++i) s.in(s.data("x", i));  // beyond a gap of one byte
  EXPECT_LE(s.stack.counters().held_chunks_now, 2u);
  s.forget();
  s.in(s.data("y", 0));
  EXPECT_EQ(s.app.received, "y" + std::string(999, 'x'));
}

}  // namespace
}  // namespace stackrig::tcpip::testing
