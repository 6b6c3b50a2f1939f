// SPDX-License-Identifier: Apache-2.0
// Timestamps and PAWS, with peers that offer none, one, both (RFC 7323), and options nobody can
// read.
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

In with_ts(In s, std::uint32_t value, std::uint32_t echo = 0) {
  s.options.timestamps = wire::Timestamps{value, echo};
  return s;
}

TEST(Negotiation, EachOptionOnlyWhereThePeerOffersIt) {
  for (int bits = 0; bits < 4; ++bits) {
    Script s;
    s.listen();
    wire::TcpOptions o;
    if ((bits & 1) != 0) o.window_scale = 7;
    if ((bits & 2) != 0) o.timestamps = wire::Timestamps{77, 0};
    s.in({.flags = kSyn, .seq = 1, .options = o});
    const Out a = s.out();
    EXPECT_EQ(a.tcp().options.window_scale.has_value(), (bits & 1) != 0);
    EXPECT_EQ(a.tcp().options.timestamps.has_value(), (bits & 2) != 0);
    if ((bits & 2) != 0) {
      EXPECT_EQ(a.tcp().options.timestamps->echo, 77u);
    }
  }
}

TEST(Negotiation, OffMeansOff) {
  Config c = script_config();
  c.timestamps = false;
  c.window_scaling = false;
  Script s(c);
  s.listen();
  wire::TcpOptions o;
  o.window_scale = 7;
  o.timestamps = wire::Timestamps{77, 0};
  s.in({.flags = kSyn, .seq = 1, .options = o});
  const Out a = s.out();
  EXPECT_FALSE(a.tcp().options.window_scale);
  EXPECT_FALSE(a.tcp().options.timestamps);
}

TEST(Timestamps, LeaveRoomInEverySegment) {
  Script s;
  s.listen();
  wire::TcpOptions o = timestamp_option(1, 0);
  o.mss = 1460;
  s.establish(o);
  StringOwner text(pattern(5000));
  s.stack.tcp_write(*s.app.tcb, text, 1, text.size(), s.now);
  s.tick();
  const Out d = s.out();
  EXPECT_EQ(d.payload().size(), 1448u);
  EXPECT_EQ(d.tcp().options.timestamps->echo, 1u);
}

TEST(Timestamps, EchoIsOfTheSegmentThatIsAcknowledged) {
  Script s;
  s.listen();
  s.establish(timestamp_option(1, 0));
  // Two segments, one ACK: the earlier one's timestamp is echoed (RFC 7323 4.3).
  s.in(with_ts(s.data("abc"), 10));
  s.in(with_ts(s.data("def", 3), 20));
  s.advance(50 * kMillisecond);
  EXPECT_EQ(s.out().tcp().options.timestamps->echo, 10u);
}

TEST(Timestamps, OursRiseByAMillisecondEach) {
  Script s;
  s.listen();
  s.establish(timestamp_option(1, 0));
  s.in(with_ts(s.data("a"), 10));
  s.advance(kSecond);
  const std::uint32_t first = s.out().tcp().options.timestamps->value;
  s.in(with_ts(s.data("b", 1), 20));
  s.advance(kSecond);
  const std::uint32_t second = s.out().tcp().options.timestamps->value;
  EXPECT_GE(second - first, 990u);
  EXPECT_LE(second - first, 1010u);
}

TEST(Paws, AnOldDuplicateIsDroppedAndAnswered) {
  Script s;
  s.listen();
  s.establish(timestamp_option(100, 0));
  s.in(with_ts(s.data("new"), 200));
  s.advance(50 * kMillisecond);
  s.forget();
  s.in(with_ts(s.data("old", 3), 150));  // right number, wrong century
  EXPECT_EQ(s.app.received, "new");
  EXPECT_EQ(s.out().ack(), s.irs + 1 + 3);
  EXPECT_EQ(s.stack.counters().paws_dropped, 1u);
}

TEST(Paws, AnEqualTimestampIsFine) {
  Script s;
  s.listen();
  s.establish(timestamp_option(100, 0));
  s.in(with_ts(s.data("a"), 200));
  s.in(with_ts(s.data("b", 1), 200));
  EXPECT_EQ(s.app.received, "ab");
}

TEST(Paws, AfterTwentyFourDaysOfSilenceAnyTimestampIsFine) {
  Script s;
  s.listen();
  s.establish(timestamp_option(100, 0));
  s.in(with_ts(s.data("a"), 0x80000000));
  s.advance(25ULL * 24 * 3600 * kSecond);
  s.forget();
  s.in(with_ts(s.data("b", 1), 0x7fffff00));
  EXPECT_EQ(s.app.received, "ab");
}

TEST(Paws, AResetIsNotSubjectToIt) {
  Script s;
  s.listen();
  s.establish(timestamp_option(100, 0));
  s.in(with_ts(s.data("a"), 200));
  s.in(with_ts(s.data("", 1, 0, kRst), 3));
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::reset_by_peer});
}

TEST(Paws, ASegmentWithoutTheAgreedOptionIsDropped) {  // RFC 7323 3.2
  Script s;
  s.listen();
  s.establish(timestamp_option(100, 0));
  In bare = s.data("x");
  bare.options = {};
  s.in(bare);
  EXPECT_EQ(s.app.received, "");
  EXPECT_EQ(s.stack.counters().paws_dropped, 1u);
}

// Bytes of options as they are, in a SYN and in a data segment.
void raw_options(const std::vector<std::uint8_t>& bytes) {
  Script s;
  s.listen();
  wire::TcpFrame f = s.frame_of({.flags = kSyn, .seq = 50});
  std::vector<std::byte> frame = f.emit();
  frame.resize(54 + 40);
  for (std::size_t i = 0; i < 40; ++i) {
    frame[54 + i] = std::byte{i < bytes.size() ? bytes[i] : std::uint8_t{0}};
  }
  auto& ip = wire::Ipv4Header::at(frame.data() + 14);
  ip.total_length.set(80);
  ip.checksum.set_raw(0);
  ip.checksum.set_raw(wire::finish(wire::sum(frame.data() + 14, 20)));
  auto& tcp = wire::TcpHeader::at(frame.data() + 34);
  tcp.set_header_length(60);
  tcp.checksum.set_raw(0);
  tcp.checksum.set_raw(
      wire::finish(wire::pseudo_header_sum(kPeerIp, kOurIp, wire::kProtocolTcp, 60) +
                   wire::sum(frame.data() + 34, 60)));
  s.in_frame(frame);
  const Out o = s.out();
  EXPECT_EQ(o.flags(), kSyn | kAck) << "options are never a reason to refuse";
}

TEST(BadOptions, AreReadAsFarAsTheyGo) {
  raw_options({});                           // all end-of-list
  raw_options({2, 0});                       // length 0
  raw_options({2, 1});                       // length 1
  raw_options({2, 40, 5});                   // past the end, nearly
  raw_options({2, 255});                     // far past the end
  raw_options({8, 9, 1, 2, 3, 4, 5, 6, 7});  // timestamps of a wrong length
  raw_options({3, 3, 200});                  // a window scale of 200
  raw_options({2, 4, 0, 0});                 // an MSS of nothing
  raw_options({5, 10, 1, 2, 3, 4, 5, 6, 7, 8, 5, 3, 1});
  raw_options(std::vector<std::uint8_t>(40, 1));
  raw_options(std::vector<std::uint8_t>(40, 0xff));
}

}  // namespace
}  // namespace stackrig::tcpip::testing
