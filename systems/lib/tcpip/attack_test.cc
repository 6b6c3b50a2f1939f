// SPDX-License-Identifier: Apache-2.0
// Hostile input: floods, blind injection (RFC 5961), nonsense. Others are served, memory stays
// flat.
#include <map>
#include <optional>
#include <random>

#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

TEST(SynFlood, MemoryStaysFlatAndARealClientGetsThroughByCookie) {
  Script s;  // backlog 16
  s.listen();
  for (std::uint32_t i = 0; i < 2000; ++i) {
    s.in({.flags = kSyn,
          .seq = i * 77,
          .from = {0x0a000100 + i % 200},
          .from_port = static_cast<std::uint16_t>(1024 + i)});
    s.forget();
  }
  EXPECT_EQ(s.stack.counters().half_open_now, 16u);
  EXPECT_EQ(s.stack.counters().backlog_full, 2000u - 16);
  EXPECT_EQ(s.memory->free_count(), s.memory->total_count());
  wire::TcpOptions o;
  o.mss = 1400;
  o.window_scale = 9;
  o.timestamps = wire::Timestamps{5, 0};
  s.in({.flags = kSyn, .seq = 100, .options = o});
  const Out cookie = s.out();
  EXPECT_EQ(cookie.flags(), kSyn | kAck);
  EXPECT_TRUE(cookie.tcp().options.window_scale);
  s.in({.seq = 101,
        .ack = cookie.seq() + 1,
        .payload = "GET",
        .window = 500,
        .options = timestamp_option(6, cookie.tcp().options.timestamps->value)});
  EXPECT_EQ(s.app.accepted, 1u);
  EXPECT_EQ(s.app.received, "GET");
  EXPECT_EQ(s.stack.counters().syn_cookies_good, 1u);
  // What the cookie carried: MSS, window scale, timestamps.
  StringOwner text(pattern(100000));
  s.forget();
  s.stack.tcp_write(*s.app.tcb, text, 1, text.size(), s.now);
  s.tick();
  EXPECT_EQ(s.sent.size(), 10u) << "500 << 9 bytes of window";
  EXPECT_EQ(s.out().payload().size(), 1400u - 12);
}

/// Connections that are opened and never say anything, a hundred times as many as there is room
/// for.
TEST(ConnectionFlood, WhoSaysNothingGivesWayAndWhoSpeaksStays) {
  Config c = script_config();
  c.max_connections = 64;
  Script s(c);
  s.listen();
  const auto open = [&](std::uint16_t port, const std::string& says) {
    s.forget();
    s.in({.flags = kSyn, .seq = 100, .from_port = port});
    std::optional<Seq> theirs;
    while (!s.sent.empty()) {  // a reset of who gave way goes first
      if (const Out o = s.out(); o.flags() == (kSyn | kAck)) theirs = o.seq();
    }
    if (!theirs) return false;
    s.in({.flags = kAck, .seq = 101, .ack = *theirs + 1, .payload = says, .from_port = port});
    s.forget();
    return true;
  };
  for (std::uint16_t i = 0; i < 20; ++i) ASSERT_TRUE(open(1000 + i, "GET")) << i;
  unsigned opened = 0;
  for (std::uint16_t i = 0; i < 6400; ++i) {
    s.advance(kMillisecond);
    s.forget();
    opened += open(2000 + i, "") ? 1 : 0;
  }
  EXPECT_GT(opened, 6000U) << "newcomers find room";
  EXPECT_GT(s.stack.counters().gave_way, 6000U);
  s.advance(kSecond);
  s.forget();
  for (std::uint16_t i = 0; i < 20; ++i) {
    s.in({.flags = kAck, .seq = 104, .ack = 1, .from_port = static_cast<std::uint16_t>(1000 + i)});
  }
  EXPECT_EQ(s.stack.counters().no_listener, 0U);
  EXPECT_TRUE(open(9000, "GET")) << "and so does who speaks";
  // When all of them speak, nobody gives way.
  for (std::uint16_t i = 0; i < 200; ++i) {
    s.advance(kMillisecond);
    open(10'000 + i, "GET");
  }
  const std::uint64_t gave_way = s.stack.counters().gave_way;
  s.advance(kSecond);
  s.forget();
  EXPECT_FALSE(open(12'000, "GET"));
  EXPECT_EQ(s.stack.counters().gave_way, gave_way);
}

TEST(SynCookie, WithoutTimestampsCarriesTheMssAlone) {
  Config c = script_config();
  c.max_backlog = 0;
  Script s(c);
  s.listen();
  wire::TcpOptions o;
  o.mss = 1460;
  o.window_scale = 9;
  s.in({.flags = kSyn, .seq = 100, .options = o});
  const Out cookie = s.out();
  EXPECT_FALSE(cookie.tcp().options.window_scale);
  s.in({.seq = 101, .ack = cookie.seq() + 1});
  EXPECT_EQ(s.app.accepted, 1u);
  StringOwner text(pattern(5000));
  s.stack.tcp_write(*s.app.tcb, text, 1, text.size(), s.now);
  s.tick();
  EXPECT_EQ(s.out().payload().size(), 1460u);
}

TEST(SynCookie, AGuessMakesNoConnection) {
  Config c = script_config();
  c.max_backlog = 0;
  Script s(c);
  s.listen();
  s.in({.flags = kSyn, .seq = 100});
  const Out cookie = s.out();
  s.in({.seq = 101, .ack = cookie.seq() + 2});
  s.in({.seq = 102, .ack = cookie.seq() + 1});                     // another ISN
  s.in({.seq = 101, .ack = cookie.seq() + 1, .from_port = 4001});  // another flow
  s.expect_silence();
  EXPECT_EQ(s.stack.counters().syn_cookies_bad, 3u);
  EXPECT_EQ(s.app.accepted, 0u);
}

TEST(SynCookie, LaterBytesThatComeBeforeTheFirstEndNothing) {
  Config c = script_config();
  c.max_backlog = 0;
  Script s(c);
  s.listen();
  s.in({.flags = kSyn, .seq = 100});
  const Out cookie = s.out();
  // The ACK and "GET " were lost.
  s.in({.seq = 105, .ack = cookie.seq() + 1, .payload = "/ HT"});
  s.in({.flags = kAck | kFin, .seq = 109, .ack = cookie.seq() + 1});
  s.in({.seq = 110, .ack = cookie.seq() + 1});  // the answer to a SYN-ACK that came twice
  s.expect_silence();
  s.in({.seq = 101, .ack = cookie.seq() + 1, .payload = "GET "});
  EXPECT_EQ(s.app.accepted, 1u);
  EXPECT_EQ(s.app.received, "GET ");
}

TEST(SynCookie, GrowsStale) {
  Config c = script_config();
  c.max_backlog = 0;
  Script s(c);
  s.listen();
  s.in({.flags = kSyn, .seq = 100});
  const Out cookie = s.out();
  s.advance(129 * kSecond);
  s.in({.seq = 101, .ack = cookie.seq() + 1});
  EXPECT_EQ(s.out().flags(), kRst);
}

TEST(SynCookie, AckOfACookieIsGoodAlsoWhenTheSecondSynFoundRoom) {
  Config c = script_config();
  c.max_backlog = 1;
  Script s(c);
  s.listen();
  s.in({.flags = kSyn, .seq = 1, .from_port = 9});
  s.out();
  s.in({.flags = kSyn, .seq = 100});
  const Out cookie = s.out();
  s.in({.flags = kRst, .seq = 2, .from_port = 9});  // room now
  s.in({.flags = kSyn, .seq = 100});                // the SYN again
  const Out synack = s.out();
  EXPECT_NE(cookie.seq(), synack.seq());
  s.in({.seq = 101, .ack = cookie.seq() + 1});
  EXPECT_EQ(s.app.accepted, 1u);
  s.expect_silence();
}

TEST(Rfc5961, AResetInTheWindowIsChallenged) {
  Script s;
  s.listen();
  s.establish();
  s.in(s.data("", 100, 0, kRst));
  const Out o = s.out();
  EXPECT_EQ(o.flags(), kAck);
  EXPECT_EQ(o.ack(), s.irs + 1);
  EXPECT_TRUE(s.app.ended.empty());
  s.in(s.data("", 100000, 0, kRst));
  s.expect_silence();
  EXPECT_TRUE(s.app.ended.empty());
}

TEST(Rfc5961, ASynIsChallengedWhereverItLies) {
  Script s;
  s.listen();
  s.establish();
  for (const std::uint32_t offset : {0U, 100U, 1000000U}) {
    s.in({.flags = kSyn, .seq = s.irs + 1 + offset});
    EXPECT_EQ(s.out().flags(), kAck);
  }
  EXPECT_EQ(s.stack.counters().challenge_acks, 3u);
  EXPECT_TRUE(s.app.ended.empty());
}

TEST(Rfc5961, DataWithAnAckOfWhatWasNeverSentOrLongAgoIsDropped) {
  Script s;
  s.listen();
  s.establish();
  s.in(s.data("evil", 0, 1000));
  EXPECT_EQ(s.out().flags(), kAck);
  In old = s.data("evil", 0, 0);
  old.ack = s.iss - 100000;
  s.in(old);
  EXPECT_EQ(s.out().flags(), kAck);
  EXPECT_EQ(s.app.received, "");
  EXPECT_EQ(s.stack.counters().bad_ack, 2u);
}

TEST(Rfc5961, ChallengeAcksAreLimitedAndTheLimitIsDrawnAnew) {
  Config c = script_config();
  c.challenge_acks_per_second = 100;
  Script s(c);
  s.listen();
  s.establish();
  std::vector<std::size_t> each;
  for (int second = 0; second < 5; ++second) {
    for (int i = 0; i < 300; ++i) s.in({.flags = kSyn, .seq = s.irs + 500});
    each.push_back(s.sent.size());
    EXPECT_GE(each.back(), 50u);
    EXPECT_LE(each.back(), 100u);
    s.forget();
    s.advance(kSecond);
  }
  EXPECT_NE(std::count(each.begin(), each.end(), each[0]), 5) << "the same number each second";
}

TEST(Nonsense, FlagsThatNobodySendsAreDropped) {
  Script s;
  s.listen();
  for (const std::uint8_t flags :
       {std::uint8_t{0}, kFin, kPsh, static_cast<std::uint8_t>(kSyn | kFin),
        static_cast<std::uint8_t>(kSyn | kRst),
        static_cast<std::uint8_t>(kSyn | kFin | kRst | kAck | kPsh)}) {
    s.in({.flags = flags, .seq = 1, .ack = 2});
  }
  s.expect_silence();
  EXPECT_EQ(s.stack.counters().bad_flags, 6u);
}

TEST(Nonsense, LandAndAddressesThatAreNoHostsAreDropped) {
  Script s;
  s.listen();
  for (const std::uint32_t from :
       {kOurIp.value, 0x0a0000ffU, 0xffffffffU, 0xe0000001U, 0x7f000001U, 0U}) {
    s.in({.flags = kSyn, .seq = 1, .from = {from}});
  }
  s.in({.flags = kSyn, .seq = 1, .from = kOurIp, .from_port = 80});
  s.expect_silence();
  EXPECT_EQ(s.stack.counters().segs_in, 0u);
}

TEST(Nonsense, EveryTruncationAndLengthIsSurvived) {
  Script s;
  s.listen();
  wire::TcpOptions o = timestamp_option(1, 2);
  o.mss = 1000;
  const std::vector<std::byte> good =
      s.frame_of({.flags = kSyn, .seq = 1, .payload = "payload", .options = o}).emit();
  for (std::size_t n = 0; n < good.size(); ++n) {
    s.in_frame({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)},
               nmio::RxPacket::kChecksumGood);
  }
  for (unsigned offset = 0; offset < 16; ++offset) {
    auto frame = good;
    frame[46] = std::byte{static_cast<std::uint8_t>(offset << 4)};
    s.in_frame(frame, nmio::RxPacket::kChecksumGood);
  }
  EXPECT_GT(s.stack.counters().bad_header, 0u);
  s.forget();
}

TEST(Nonsense, ABadChecksumIsDroppedUnlessTheDeviceChecked) {
  Script s;
  s.listen();
  auto frame = s.frame_of({.flags = kSyn, .seq = 1}).emit();
  frame[50] ^= std::byte{1};
  s.in_frame(frame);
  s.expect_silence();
  EXPECT_EQ(s.stack.counters().bad_checksum, 1u);
  s.in_frame(frame, nmio::RxPacket::kChecksumGood);
  EXPECT_EQ(s.out().flags(), kSyn | kAck);
}

TEST(Nonsense, RandomFramesAtALiveConnectionDoNotHurtIt) {
  Script s;
  s.listen();
  s.establish();
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    In x{.flags = static_cast<std::uint8_t>(random()),
         .seq = random() % 2 == 0 ? static_cast<Seq>(random())
                                  : s.irs + 2 + static_cast<Seq>(random() % 70000),
         .ack = random() % 2 == 0 ? static_cast<Seq>(random())
                                  : s.iss + 2 + static_cast<Seq>(random() % 1000),
         .payload = pattern(random() % 40),
         .window = static_cast<std::uint16_t>(random())};
    if (x.seq == s.irs + 1) continue;
    s.in(x);
    s.forget();
  }
  ASSERT_NE(s.app.tcb, nullptr);
  EXPECT_EQ(state(*s.app.tcb), State::established);
  EXPECT_EQ(s.app.received, "") << "no byte with a wrong acknowledgement gets in";
  s.in(s.data("hello"));
  EXPECT_EQ(s.app.received.substr(0, 5), "hello");
}

TEST(Held, GlobalAndPerConnectionLimitsHoldAndTheGapCanStillBeFilled) {
  Script s;  // 64 records, 16 each
  s.listen();
  s.establish(mss_option(1000));
  for (std::uint32_t i = 1; i <= 40; ++i) s.in(s.data(pattern(1000, i), i * 1000));
  EXPECT_EQ(s.stack.counters().held_chunks_now, 16u);
  EXPECT_EQ(s.stack.counters().held_dropped, 24u);
  s.forget();
  s.in(s.data(pattern(1000, 0), 0));
  EXPECT_GE(s.app.received.size(), 16000u);
  EXPECT_EQ(s.stack.counters().held_chunks_now, 0u);
}

TEST(Held, SegmentsBeyondAGapAreEachAnsweredAtOnce) {
  Script s;
  s.listen();
  s.establish(mss_option(1000));
  s.in_burst(
      {s.data(pattern(1000), 1000), s.data(pattern(1000), 2000), s.data(pattern(1000), 3000)});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(s.out().ack(), s.irs + 1);
  s.in(s.data(pattern(1000), 0));
  EXPECT_EQ(s.out().ack(), s.irs + 1 + 4000) << "a filled gap is acknowledged at once";
}

// What the rule says, with a map of intervals and a string: bytes that came first stay; of a
// segment, what lies before the next bytes that are held is kept, the rest is left to come again.
class OverlapModel {
 public:
  void segment(std::uint32_t from, const std::string& text) {
    const std::uint32_t begin = from;
    auto to = static_cast<std::uint32_t>(from + text.size());
    from = std::max(from, next());
    auto after = held_.upper_bound(from);
    if (after != held_.begin()) {
      const auto before = std::prev(after);
      from = std::max(from, before->second);
    }
    if (after != held_.end()) to = std::min(to, after->first);
    if (from >= to) return;
    if (bytes_.size() < to) bytes_.resize(to);
    bytes_.replace(from, to - from, text, from - begin, to - from);
    auto before = held_.upper_bound(from);
    if (before != held_.begin() && std::prev(before)->second == from) {
      std::prev(before)->second = to;
    } else {
      held_[from] = to;
    }
    while (!held_.empty() && held_.begin()->first <= next()) {
      delivered_ += bytes_.substr(next(), held_.begin()->second - next());
      held_.erase(held_.begin());
    }
  }
  [[nodiscard]] std::uint32_t next() const { return static_cast<std::uint32_t>(delivered_.size()); }
  [[nodiscard]] const std::string& delivered() const { return delivered_; }

 private:
  std::map<std::uint32_t, std::uint32_t> held_;
  std::string bytes_, delivered_;
};

TEST(Held, RandomOverlapsLikeTheModel_FirstCameFirstKept) {
  constexpr std::uint32_t kBytes = 400;
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    Config c = script_config();
    c.max_held_chunks = 4096;
    Script s(c, 4096);
    s.listen();
    s.establish();
    OverlapModel model;
    std::mt19937 random(seed);
    for (int i = 0; i < 4000 && model.next() < kBytes; ++i) {
      const std::uint32_t from = static_cast<std::uint32_t>(random() % kBytes);
      const std::string text =
          pattern(1 + random() % std::min(60U, kBytes - from), static_cast<unsigned>(random()));
      if (from + text.size() <= model.next()) continue;
      model.segment(from, text);
      s.in(s.data(text, from));
      ASSERT_EQ(s.app.received, model.delivered()) << "after segment " << i;
    }
    EXPECT_EQ(s.app.received.size(), kBytes);
    s.forget();
  }
}

TEST(Memory, AConnectionCostsLessThanAKilobyte) {
  Script s;
  EXPECT_LE(s.stack.bytes_per_connection(), 1024u);
}

TEST(Memory, WithoutBuffersNothingBreaksAndWorkGoesOnWhenThereAreSome) {
  Script s(script_config(), 32);
  s.listen();
  s.establish(mss_option(1000));
  StringOwner o(pattern(5000));
  std::vector<nmio::ChunkId> hoard;
  while (true) {
    const nmio::ChunkId c = s.memory->take();
    if (c == nmio::kNoChunk) break;
    hoard.push_back(c);
  }
  s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now);
  s.tick();
  s.expect_silence();
  EXPECT_GT(s.stack.counters().no_chunk, 0u);
  for (const nmio::ChunkId c : hoard) s.memory->give_back(c);
  s.tick();
  EXPECT_EQ(s.sent.size(), 5u);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
