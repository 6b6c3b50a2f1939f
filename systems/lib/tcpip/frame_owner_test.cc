// SPDX-License-Identifier: Apache-2.0
// Prepackaged frames: the right bytes for every question, copies made on demand and kept, stamps
// that a retransmission repeats.
#include "tcpip/frame_owner.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "wire/checksum.h"

namespace stackrig::tcpip {
namespace {

constexpr std::uint32_t kSegment = 100;

class DigitStamper final : public Stamper {
 public:
  void render(std::uint64_t stamp, std::span<std::byte> range) override {
    ++calls;
    for (auto it = range.rbegin(); it != range.rend(); ++it, stamp /= 10) {
      *it = static_cast<std::byte>('0' + stamp % 10);
    }
  }
  int calls = 0;
};

std::span<const std::byte> bytes_of(const std::string& s) {
  return std::as_bytes(std::span{s});
}

std::string pattern(std::size_t n) {
  std::string s(n, '\0');
  for (std::size_t i = 0; i < n; ++i) s[i] = static_cast<char>('a' + (i * 7 + i / 26) % 26);
  return s;
}

std::string text(const Segment& s) {
  return {reinterpret_cast<const char*>(s.data), s.len};
}

class FrameOwnerTest : public testing::TestWithParam<SendMode> {
 protected:
  PackagedContent make(std::uint32_t low_mark = 0, std::uint32_t copies = 1,
                       std::uint32_t reserve = 0) {
    return {*memory, {GetParam(), kSegment, low_mark, copies, reserve}, &stamper};
  }
  /// Reads [offset, offset + limit) as a sender would, giving sent frames back at once.
  std::string read(PackagedContent& content, std::uint64_t cookie, std::uint64_t offset,
                   std::uint64_t limit, std::uint32_t max_segment) {
    std::string got;
    while (got.size() < limit) {
      std::array<Segment, 3> out;
      const Fetched f =
          content.fetch(cookie, offset + got.size(), limit - got.size(), max_segment, out);
      if (f.segments == 0) break;
      for (unsigned i = 0; i < f.segments; ++i) {
        const Segment& s = out[i];
        EXPECT_LE(s.len, max_segment);
        if (s.sum_known) {
          EXPECT_EQ(s.payload_sum, wire::fold(wire::sum(s.data, s.len)));
        }
        got += text(s);
        if (s.kind == Segment::Kind::frame) memory->give_back(s.chunk);
      }
    }
    return got;
  }

  std::unique_ptr<nmio::PacketMemory> memory =
      nmio::PacketMemory::create({.chunks = 64, .chunk_size = 2048, .huge_pages = false});
  DigitStamper stamper;
};

TEST_P(FrameOwnerTest, HeadAndBodyComeBackWhole) {
  PackagedContent content = make();
  const std::string head = "head", body = pattern(1000);
  const auto cookie = PackagedContent::cookie(content.add(bytes_of(head), bytes_of(body)), 0);
  EXPECT_EQ(read(content, cookie, 0, 1004, kSegment), head + body);
}

TEST_P(FrameOwnerTest, EveryRangeAndSegmentSize) {
  PackagedContent content = make();
  const std::string body = pattern(307);
  const auto cookie = PackagedContent::cookie(content.add({}, bytes_of(body)), 0);
  for (std::uint64_t from = 0; from < body.size(); from += 13) {
    for (const std::uint32_t max_segment : {1U, 7U, 99U, 100U, 1460U}) {
      const std::uint64_t limit = std::min<std::uint64_t>(150, body.size() - from);
      ASSERT_EQ(read(content, cookie, from, limit, max_segment), body.substr(from, limit));
    }
  }
}

TEST_P(FrameOwnerTest, WholeFramesHaveKnownSums) {
  PackagedContent content = make();
  const std::string body = pattern(250);
  const auto cookie = PackagedContent::cookie(content.add({}, bytes_of(body)), 0);
  std::array<Segment, 4> out;
  ASSERT_EQ(content.fetch(cookie, 0, 250, 1460, out).segments, 3U);
  for (unsigned i = 0; i < 3; ++i) EXPECT_TRUE(out[i].sum_known);
  EXPECT_EQ(content.counters().slices, 0U);
}

TEST_P(FrameOwnerTest, ARetransmissionCarriesTheStampOfTheOriginal) {
  PackagedContent content = make();
  const std::string head = "date: ....!";
  const ContentId id =
      content.add(bytes_of(head), {}, {.offset = 7, .len = 3});  // at an odd offset
  const auto first = PackagedContent::cookie(id, 123), second = PackagedContent::cookie(id, 456);
  EXPECT_EQ(read(content, first, 0, 11, kSegment), "date: .123!");
  EXPECT_EQ(read(content, second, 0, 11, kSegment), "date: .456!");
  EXPECT_EQ(read(content, first, 0, 11, kSegment), "date: .123!");
  EXPECT_EQ(read(content, first, 5, 4, kSegment), " .12");  // a slice has it too
}

TEST_P(FrameOwnerTest, AStampIsWrittenOncePerValue) {
  PackagedContent content = make();
  const auto cookie =
      PackagedContent::cookie(content.add(bytes_of("0000"), {}, {.offset = 0, .len = 4}), 77);
  for (int i = 0; i < 10; ++i) read(content, cookie, 0, 4, kSegment);
  EXPECT_EQ(stamper.calls, 1);
}

TEST_P(FrameOwnerTest, TooMuchContentIsRefused) {
  PackagedContent content = make();
  EXPECT_THROW(content.add({}, bytes_of(pattern(65 * kSegment))), std::length_error);
}

INSTANTIATE_TEST_SUITE_P(Modes, FrameOwnerTest,
                         testing::Values(SendMode::precopy, SendMode::memcpy),
                         [](const auto& mode) {
                           return mode.param == SendMode::precopy ? "precopy" : "memcpy";
                         });

class PrecopyTest : public FrameOwnerTest {};

TEST_P(PrecopyTest, CopiesAreMadeWhileOthersAreOutAndKept) {
  PackagedContent content = make();
  const auto cookie = PackagedContent::cookie(content.add({}, bytes_of(pattern(50))), 0);
  std::vector<nmio::ChunkId> out;
  for (int i = 0; i < 5; ++i) {
    std::array<Segment, 1> s;
    ASSERT_EQ(content.fetch(cookie, 0, 50, kSegment, s).segments, 1U);
    EXPECT_EQ(s[0].kind, Segment::Kind::frame);
    EXPECT_EQ(text(s[0]), pattern(50));
    out.push_back(s[0].chunk);
  }
  EXPECT_EQ(content.counters().copies_made, 4U);
  for (const nmio::ChunkId c : out) memory->give_back(c);
  for (int i = 0; i < 5; ++i) read(content, cookie, 0, 50, kSegment);
  EXPECT_EQ(content.counters().copies_made, 4U);
  EXPECT_EQ(memory->free_count() + 5, 64U);
}

TEST_P(PrecopyTest, TheLowMarkMakesCopiesAhead) {
  PackagedContent content = make(1, 4);
  const auto cookie = PackagedContent::cookie(content.add({}, bytes_of(pattern(50))), 0);
  read(content, cookie, 0, 50, kSegment);
  EXPECT_EQ(content.counters().copies_made, 4U);
}

TEST_P(PrecopyTest, AtThePoolsReserveFramesAreCopiedAndTheReserveStays) {
  PackagedContent content = make(0, 4, 20);
  const auto cookie = PackagedContent::cookie(
      content.add(bytes_of("0000head"), bytes_of(pattern(150)), {.offset = 0, .len = 4}), 77);
  std::vector<nmio::ChunkId> out;
  for (int i = 0; i < 100; ++i) {
    std::array<Segment, 2> s;
    ASSERT_EQ(content.fetch(cookie, 0, 158, kSegment, s).segments, 2U);
    EXPECT_EQ(text(s[0]) + text(s[1]), "0077head" + pattern(150));
    for (const Segment& g : s) {
      EXPECT_TRUE(g.sum_known);
      EXPECT_EQ(g.payload_sum, wire::fold(wire::sum(g.data, g.len)));
      if (g.kind == Segment::Kind::frame) out.push_back(g.chunk);
    }
    ASSERT_GE(memory->free_count(), 20U);
  }
  EXPECT_EQ(out.size(), 44U) << "all but the reserve";
  EXPECT_EQ(content.counters().copied, 200U - 44U);
  for (const nmio::ChunkId c : out) memory->give_back(c);
}

TEST_P(PrecopyTest, CopiesFollowWhatIsAskedFor) {
  constexpr unsigned kFrames = 10, kOut = 20;  // 10 masters, 34 copies, 20 in reserve
  PackagedContent content = make(0, 1, 20);
  std::vector<std::uint64_t> cookies;
  for (unsigned i = 0; i < kFrames; ++i) {
    cookies.push_back(PackagedContent::cookie(content.add({}, bytes_of(pattern(50 + i))), 0));
  }
  for (int round = 0; round < 3; ++round) {
    for (unsigned f = 0; f < kFrames; ++f) {
      std::vector<nmio::ChunkId> out;
      for (unsigned i = 0; i < kOut; ++i) {
        std::array<Segment, 1> s;
        ASSERT_EQ(content.fetch(cookies[f], 0, 50 + f, kSegment, s).segments, 1U);
        ASSERT_EQ(text(s[0]), pattern(50 + f));
        if (s[0].kind == Segment::Kind::frame) out.push_back(s[0].chunk);
      }
      EXPECT_GT(out.size(), kOut / 2) << "the others' idle copies are used";
      ASSERT_GE(memory->free_count(), 20U);
      for (const nmio::ChunkId c : out) memory->give_back(c);
    }
  }
  EXPECT_GT(content.counters().moved, 0U);
}

INSTANTIATE_TEST_SUITE_P(Modes, PrecopyTest, testing::Values(SendMode::precopy),
                         [](const auto&) { return "precopy"; });

}  // namespace
}  // namespace stackrig::tcpip
