// SPDX-License-Identifier: Apache-2.0
#include "connection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace stackrig::user_echo {
namespace {

std::string stream_of(std::uint32_t size, const std::string& text) {
  const auto word = echo::size_word(size);
  return std::string(reinterpret_cast<const char*>(word.data()), word.size()) + text;
}

bool give(Connection& c, std::string_view text) {
  const auto room = c.room();
  EXPECT_GE(room.size(), text.size());
  std::memcpy(room.data(), text.data(), text.size());
  return c.received(text.size());
}

/// Takes at most `most` bytes of what may be sent.
std::string take(Connection& c, std::size_t most = Connection::kMemory) {
  const auto whole = c.whole();
  const std::size_t n = std::min(most, whole.size());
  std::string text(reinterpret_cast<const char*>(whole.data()), n);
  if (n != 0) c.sent(n);
  return text;
}

TEST(EchoConnection, SendsBackWholeBuffersOnly) {
  Connection c;
  EXPECT_TRUE(give(c, stream_of(4, "abc")));
  EXPECT_EQ(take(c), "");
  EXPECT_TRUE(give(c, "defghij"));
  EXPECT_EQ(take(c), "abcdefgh");
  EXPECT_TRUE(give(c, "kl"));
  EXPECT_EQ(take(c), "ijkl");
}

TEST(EchoConnection, SendsTheSameHoweverItIsSplit) {
  const std::string stream = stream_of(5, "0123456789abcde.");
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    Connection c;
    std::string back;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      EXPECT_TRUE(give(c, stream.substr(at, piece)));
      while (!c.whole().empty()) back += take(c, 2);
    }
    EXPECT_EQ(back, "0123456789abcde") << piece;
  }
}

TEST(EchoConnection, HasRoomForTheLargestBuffer) {
  Connection c;
  EXPECT_TRUE(give(c, stream_of(echo::kMostSize, "")));
  std::string back, sent;
  for (int i = 0; i < 50; ++i) {
    const std::string piece(7001, static_cast<char>('a' + i % 26));
    sent += piece;
    ASSERT_TRUE(give(c, piece));
    while (!c.whole().empty()) back += take(c, 999);
    ASSERT_FALSE(c.room().empty());
  }
  EXPECT_EQ(back, sent.substr(0, sent.size() / echo::kMostSize * echo::kMostSize));
}

TEST(EchoConnection, RefusesASizeThatIsNotAllowed) {
  Connection none, large;
  EXPECT_FALSE(give(none, stream_of(0, "x")));
  EXPECT_FALSE(give(large, stream_of(echo::kMostSize + 1, "")));
}

}  // namespace
}  // namespace stackrig::user_echo
