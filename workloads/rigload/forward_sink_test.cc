// SPDX-License-Identifier: Apache-2.0
// What a sink counts: messages that are right, and each way in which a forwarder can get them
// wrong.
#include "rigload/forward_sink.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace stackrig::rigload {
namespace {

constexpr ForwardShape kShape{.senders = 2, .sinks = 3, .payload = 16, .seed = 7};
constexpr std::uint32_t kSink = 1;

std::string text_of(const Prepared& p) {
  return {reinterpret_cast<const char*>(p.data), p.len};
}

/// Two senders that have sent a block each, and sink 1 of three.
class ForwardSinkTest : public testing::Test {
 protected:
  void SetUp() override {
    for (std::uint32_t s = 0; s < kShape.senders; ++s) {
      senders_.emplace_back(messages_, s, 1'000'000'000);
      blocks_.push_back(text_of(*senders_.back().next()));
    }
    sink_ = std::make_unique<ForwardSink>(messages_, senders_, kSink);
  }
  /// The n-th message of a sender to a sink.
  [[nodiscard]] std::string message(std::uint32_t sender, std::uint32_t n,
                                    std::uint32_t sink = kSink) const {
    for (std::uint64_t index = 0; index < messages_.per_block(); ++index) {
      if (messages_.id(sender, index).sink == sink && n-- == 0)
        return blocks_[sender].substr(index * messages_.bytes(), messages_.bytes());
    }
    return {};
  }
  void take(std::string_view text) { sink_->take(std::as_bytes(std::span(text)), *stats_); }
  [[nodiscard]] std::uint64_t error(ErrorKind kind) const { return stats_->error(kind); }
  void expect(std::uint64_t right, std::initializer_list<ErrorKind> errors) const {
    EXPECT_EQ(stats_->requests, right);
    std::array<std::uint64_t, kErrorKinds> wanted{};
    for (const ErrorKind kind : errors) ++wanted[static_cast<unsigned>(kind)];
    EXPECT_EQ(stats_->errors, wanted);
  }
  /// Messages that are there to be lost: of two senders, one block each.
  [[nodiscard]] std::uint64_t sent() const {
    std::uint64_t n = 0;
    for (std::uint32_t s = 0; s < kShape.senders; ++s) {
      for (std::uint64_t i = 0; i < messages_.per_block(); ++i)
        n += messages_.id(s, i).sink == kSink ? 1 : 0;
    }
    return n;
  }

  ForwardMessages messages_{kShape};
  std::vector<ForwardSender> senders_;
  std::vector<std::string> blocks_;
  std::unique_ptr<RunStats> run_stats_ = std::make_unique<RunStats>();
  PhaseStats* stats_ = run_stats_->data();
  std::unique_ptr<ForwardSink> sink_;
};

TEST_F(ForwardSinkTest, MessagesOfSeveralSendersInAnyMixtureAreRight) {
  take(message(0, 0) + message(1, 0) + message(0, 1) + message(0, 2) + message(1, 1));
  expect(5, {});
  EXPECT_EQ(stats_->body_bytes, 5U * messages_.bytes());
  EXPECT_EQ(sink_->arrived(), 5U);
  EXPECT_EQ(sink_->lost(), sent() - 5);
}

TEST_F(ForwardSinkTest, EverySplitGivesTheSame) {
  const std::string stream = message(0, 0) + message(1, 0) + message(0, 1);
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    ForwardSink sink(messages_, senders_, kSink);
    const auto stats = std::make_unique<PhaseStats>();
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      const std::string part = stream.substr(at, piece);
      sink.take(std::as_bytes(std::span(part)), *stats);
    }
    EXPECT_EQ(stats->requests, 3U) << piece;
    EXPECT_EQ(sink.lost(), sent() - 3);
    EXPECT_FALSE(sink.in_message());
  }
}

TEST_F(ForwardSinkTest, AMissingMessageIsLostOnlyAtTheEnd) {
  take(message(0, 0) + message(0, 2));
  expect(2, {});
  EXPECT_EQ(sink_->lost(), sent() - 2);
}

TEST_F(ForwardSinkTest, AMessageTwiceIsDuplicated) {
  take(message(0, 0) + message(0, 1) + message(0, 0) + message(0, 1));
  expect(2, {ErrorKind::duplicated, ErrorKind::duplicated});
  EXPECT_EQ(sink_->arrived(), 2U);
}

TEST_F(ForwardSinkTest, ALateMessageIsReorderedAndNotLost) {
  take(message(0, 3) + message(0, 1) + message(0, 0) + message(0, 2) + message(0, 2));
  expect(1,
         {ErrorKind::reordered, ErrorKind::reordered, ErrorKind::reordered, ErrorKind::duplicated});
  EXPECT_EQ(sink_->lost(), sent() - 4);
}

TEST_F(ForwardSinkTest, EveryAlteredByteIsFoundAndWhatFollowsIsUnderstood) {
  const std::string good = message(0, 0);
  for (std::size_t at = 0; at < good.size(); ++at) {
    ForwardSink sink(messages_, senders_, kSink);
    const auto stats = std::make_unique<PhaseStats>();
    std::string stream = good + message(0, 1);
    stream[at] = static_cast<char>(stream[at] ^ 0x40);
    sink.take(std::as_bytes(std::span(stream)), *stats);
    std::uint64_t errors = 0;
    for (const std::uint64_t n : stats->errors) errors += n;
    EXPECT_EQ(stats->requests, 1U) << at;
    EXPECT_EQ(errors, 1U) << at;
  }
}

TEST_F(ForwardSinkTest, BytesTooManyOrTooFewAreFoundAndWhatFollowsIsUnderstood) {
  take(message(0, 0) + "xyz" + message(0, 1) + message(0, 2).substr(5) + message(0, 3));
  EXPECT_EQ(stats_->requests, 3U);
  EXPECT_EQ(error(ErrorKind::altered), 2U);
  EXPECT_EQ(sink_->lost(), sent() - 3);
}

TEST_F(ForwardSinkTest, PartsOfMessagesThatWereMixedUpAreFound) {
  const std::size_t half = messages_.bytes() - 9;
  take(message(0, 0).substr(0, half) + message(0, 1).substr(half));
  expect(0, {ErrorKind::altered});
}

TEST_F(ForwardSinkTest, AnotherSinksMessageIsMisdelivered) {
  take(message(0, 0, 2) + message(0, 0));
  expect(1, {ErrorKind::misdelivered});
}

TEST_F(ForwardSinkTest, AMessageThatWasNeverSentIsAltered) {
  std::string made_up = message(0, 0);
  made_up[thrift::kMsgSequenceAt + 1] = 0x10;
  take(made_up);
  expect(0, {ErrorKind::altered});
  EXPECT_EQ(sink_->lost(), sent());
}

TEST_F(ForwardSinkTest, ThePartOfAMessageIsSeen) {
  take(message(0, 0).substr(0, 20));
  EXPECT_TRUE(sink_->in_message());
  expect(0, {});
}

TEST(ForwardMessages, AreSpreadEvenlyAndEachSenderBeginsElsewhere) {
  const ForwardMessages messages({.senders = 8, .sinks = 20, .payload = 32});
  EXPECT_EQ(messages.id(0, 0).sink, 0U);
  EXPECT_EQ(messages.id(4, 0).sink, 10U);
  for (std::uint32_t s = 0; s < 8; ++s) {
    for (std::uint32_t k = 0; k < 20; ++k)
      EXPECT_EQ(messages.numbers_end(s, k, 2000) - messages.numbers_begin(s, k), 100U);
  }
}

TEST(ForwardMessages, CountsOfSentOnesAddUp) {
  const ForwardMessages messages({.senders = 3, .sinks = 7, .payload = 1});
  for (std::uint64_t sent = 0; sent < 50; ++sent) {
    for (std::uint32_t s = 0; s < 3; ++s) {
      std::uint64_t sum = 0;
      for (std::uint32_t k = 0; k < 7; ++k)
        sum += messages.numbers_end(s, k, sent) - messages.numbers_begin(s, k);
      EXPECT_EQ(sum, sent);
    }
  }
}

/// Through many rounds of the blocks, and past the point where the numbers in messages wrap.
TEST(ForwardMessages, AreTakenByTheirSinksHoweverManyThereWere) {
  const ForwardMessages messages({.senders = 1, .sinks = 1, .payload = 0});
  std::vector<ForwardSender> senders;
  senders.emplace_back(messages, 0, (1U << 24) + 100'000);
  ForwardSink sink(messages, senders, 0);
  const auto stats = std::make_unique<PhaseStats>();
  while (const Prepared* block = senders[0].next()) {
    sink.take({block->data, block->len}, *stats);
    senders[0].written();
  }
  EXPECT_TRUE(senders[0].finished());
  EXPECT_EQ(stats->requests, (1U << 24) + 100'000);
  EXPECT_EQ(sink.lost(), 0U);
}

TEST(ForwardSender, BlocksInUseAreLeftAlone) {
  const ForwardMessages messages({.senders = 1, .sinks = 2, .payload = 32});
  ForwardSender sender(messages, 0, 1'000'000'000);
  const Prepared* first = sender.next();
  const std::string content = text_of(*first);
  for (unsigned i = 1; i < ForwardMessages::kBlocks; ++i) EXPECT_NE(sender.next(), nullptr);
  EXPECT_EQ(sender.next(), nullptr);
  EXPECT_EQ(text_of(*first), content);
  sender.written();
  EXPECT_EQ(sender.next(), first);
  EXPECT_NE(text_of(*first), content);
}

TEST(ForwardSender, EndsAfterSoManyMessages) {
  const ForwardMessages messages({.senders = 1, .sinks = 2, .payload = 100});
  ForwardSender sender(messages, 0, 3);
  EXPECT_EQ(sender.next()->len, 3 * messages.bytes());
  EXPECT_EQ(sender.next(), nullptr);
  EXPECT_FALSE(sender.finished());
  sender.written();
  EXPECT_TRUE(sender.finished());
}

TEST(MissingNumbers, AreTakenOutOneByOne) {
  MissingNumbers missing;
  missing.add(10, 15);
  missing.add(20, 21);
  EXPECT_EQ(missing.count(), 6U);
  for (const std::uint64_t n : {12U, 10U, 14U, 20U, 11U, 13U}) EXPECT_TRUE(missing.remove(n)) << n;
  for (const std::uint64_t n : {9U, 10U, 12U, 15U, 20U, 21U}) EXPECT_FALSE(missing.remove(n)) << n;
  EXPECT_EQ(missing.count(), 0U);
}

}  // namespace
}  // namespace stackrig::rigload
