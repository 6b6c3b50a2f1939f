// SPDX-License-Identifier: Apache-2.0
// Owners of the bytes (prepackaged frames, references, copies) under every set of offloads.
#include "tcpip/frame_owner.h"
#include "tcpip/gather_owner.h"
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

void write(Script& s, ByteOwner& o, std::uint64_t bytes, std::uint64_t cookie = 1) {
  ASSERT_EQ(s.stack.tcp_write(*s.app.tcb, o, cookie, bytes, s.now), Result::ok);
  s.tick();
}

TEST(Checksum, KnownPayloadSumsAreUsedAndThePayloadNotRead) {
  Script s;  // no offload: the header's sum and the payload's make the checksum
  s.listen();
  s.establish(mss_option(1460));
  StringOwner known(pattern(3001), true);
  write(s, known, known.size());
  for (int i = 0; i < 3; ++i) s.out();  // parse() checks the checksum
  // A wrong sum goes out wrong: so nobody looked at the bytes.
  class Liar final : public ByteOwner {
   public:
    Fetched fetch(std::uint64_t, std::uint64_t, std::uint64_t, std::uint32_t,
                  std::span<Segment> out) override {
      out[0] = {};
      out[0].data = bytes_;
      out[0].len = 4;
      out[0].sum_known = true;
      out[0].payload_sum = 0x1234;
      return {1, true};
    }
    std::byte bytes_[4]{};
  } liar;
  write(s, liar, 4);
  ASSERT_EQ(s.sent.size(), 1u);
  EXPECT_FALSE(wire::TcpFrame::parse(s.sent.front()));
  s.forget();
}

class Offloads : public ::testing::TestWithParam<int> {
 protected:
  static Config config() {
    Config c = script_config();
    const int bits = GetParam();
    c.offload.tx_checksum = (bits & 1) != 0;
    c.offload.scatter_gather = (bits & 2) != 0;
    c.offload.segment = (bits & 4) != 0;
    return c;
  }
  // 40,000 bytes from `o` arrive, with a loss in the middle, and every buffer comes home.
  static void transfer(Script& s, ByteOwner& o, std::uint64_t cookie, const std::string& text) {
    ASSERT_EQ(s.stack.tcp_write(*s.app.tcb, o, cookie, text.size(), s.now), Result::ok);
    s.stack.tcp_close(*s.app.tcb, s.now);
    s.tick();
    std::string got;
    bool fin = false;
    unsigned number = 0;
    for (int round = 0; round < 200 && !fin; ++round) {
      if (s.sent.empty()) s.advance(300 * kMillisecond);
      while (!s.sent.empty()) {
        const Out seg = s.out();
        if (++number == 4) continue;  // lost
        const std::size_t at = seg.seq() - s.iss - 1;
        if (at > got.size()) continue;  // a gap: this receiver keeps nothing
        const std::string payload = seg.payload();
        if (at + payload.size() > got.size()) got += payload.substr(got.size() - at);
        fin = fin || (seg.flags() & kFin) != 0;
      }
      s.in(s.data("", 0, static_cast<std::uint32_t>(got.size()) + (fin ? 1 : 0)));
    }
    EXPECT_EQ(got.size(), text.size());
    EXPECT_TRUE(got == text) << "wrong bytes";
    EXPECT_EQ(s.app.sent, std::vector<std::uint64_t>{cookie});
    s.stack.tcp_abort(*s.app.tcb, s.now);
    s.forget();
  }
};

TEST_P(Offloads, CopiesArriveWhole) {
  Script s(config());
  s.listen();
  s.establish(mss_option(1460));
  StringOwner o(pattern(40000));
  transfer(s, o, 5, o.text());
}

TEST_P(Offloads, PrepackagedFramesArriveWholeInBothModes) {
  for (const SendMode mode : {SendMode::precopy, SendMode::memcpy}) {
    Script s(config());
    s.check_chunks = false;
    PackagedContent content(*s.memory, {.mode = mode});
    const std::string text = pattern(40000, 3);
    const ContentId id = content.add({}, wire::bytes_of(text));
    s.listen();
    s.establish(timestamp_option(1, 0));
    Out dummy;
    transfer(s, content, PackagedContent::cookie(id, 0), text);
  }
}

TEST_P(Offloads, ReferencesArriveWholeAndAreHeldUntilSent) {
  Script s(config());
  GatherOwner owner(*s.memory, 4);
  const std::string text = pattern(40000, 4);
  const nmio::ChunkId first = s.memory->reserve_contiguous(20);
  ASSERT_NE(first, nmio::kNoChunk);
  std::memcpy(s.memory->data(first), text.data(), text.size());
  std::byte* base = s.memory->data(first);
  const Fragment parts[] = {{base, 101}, {base + 101, 7777}, {base + 7878, 40000 - 7878}};
  unsigned done = 0;
  const auto cookie = owner.add(
      parts, [](void* p, std::uint64_t) { ++*static_cast<unsigned*>(p); }, &done);
  ASSERT_TRUE(cookie);
  s.listen();
  s.establish(mss_option(1460));
  s.hold_sent = true;  // the device is slow to give back
  transfer(s, owner, *cookie, text);
  if (config().offload.scatter_gather) {
    EXPECT_EQ(done, 0u) << "acknowledged, but still in the ring";
  }
  s.device_done();
  owner.poll();
  EXPECT_EQ(done, 1u);
  EXPECT_EQ(owner.held(), 0u);
}

TEST_P(Offloads, MemoryOutsideTheRegionIsCopied) {
  Script s(config());
  GatherOwner owner(*s.memory, 4);
  const std::string text = pattern(9000, 5);
  const auto* base = reinterpret_cast<const std::byte*>(text.data());
  const Fragment parts[] = {{base, 11}, {base + 11, 5000}, {base + 5011, 3989}};
  const auto cookie = owner.add(parts, nullptr, nullptr);
  s.listen();
  s.establish(mss_option(1460));
  transfer(s, owner, *cookie, text);
  EXPECT_EQ(owner.held(), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, Offloads, ::testing::Values(0, 1, 2, 3, 6, 7));

TEST(Frames, TheFrameItselfGoesOutAndARetransmissionFindsAnotherCopy) {
  Script s;
  s.check_chunks = false;
  PackagedContent content(*s.memory, {.mode = SendMode::precopy});
  const std::string text = pattern(2 * 1448);
  const ContentId id = content.add({}, wire::bytes_of(text));
  s.listen();
  s.establish(timestamp_option(1, 0));
  const std::uint32_t pool = s.memory->free_count();
  s.hold_sent = true;
  s.stack.tcp_write(*s.app.tcb, content, PackagedContent::cookie(id, 0), text.size(), s.now);
  s.tick();
  // The peer named no MSS: 536 less the option; slices are copied.
  EXPECT_GT(s.sent.size(), 2u);
  EXPECT_LT(s.memory->free_count(), pool);
  s.device_done();
  s.forget();
}

TEST(Frames, MatchingSegmentsCostNoChunkOfThePool) {
  Script s;
  s.check_chunks = false;
  PackagedContent content(*s.memory, {.mode = SendMode::precopy});
  const std::string text = pattern(3 * 1448 + 100);
  const ContentId id = content.add({}, wire::bytes_of(text));
  s.listen();
  wire::TcpOptions o = timestamp_option(1, 0);
  o.mss = 1460;
  s.establish(o);
  s.hold_sent = true;
  s.stack.tcp_write(*s.app.tcb, content, PackagedContent::cookie(id, 0), text.size(), s.now);
  s.tick();
  ASSERT_EQ(s.sent.size(), 4u);
  for (const nmio::ChunkId c : s.in_device) EXPECT_NE(s.memory->home_of(c), nmio::kPool);
  s.forget();
  s.until_output(kSecond);  // all copies are with the device: the retransmission needs one more
  EXPECT_EQ(s.out().payload(), text.substr(0, 1448));
  s.device_done();
}

}  // namespace
}  // namespace stackrig::tcpip::testing
