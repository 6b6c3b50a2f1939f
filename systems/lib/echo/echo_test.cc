// SPDX-License-Identifier: Apache-2.0
#include "echo/echo.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace stackrig::echo {
namespace {

using State = SizeReader::State;

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int v : values) bytes.push_back(static_cast<std::byte>(v));
  return bytes;
}

State state_of(std::uint32_t size) {
  const auto word = size_word(size);
  std::span<const std::byte> bytes = word;
  return SizeReader().take(bytes);
}

TEST(EchoSize, IsBigEndian) {
  const auto word = size_word(0x00010203);
  EXPECT_EQ(std::vector(word.begin(), word.end()), bytes_of({0, 1, 2, 3}));
}

TEST(EchoSize, LiesWithinItsLimits) {
  EXPECT_EQ(state_of(0), State::refused);
  EXPECT_EQ(state_of(1), State::known);
  EXPECT_EQ(state_of(65536), State::known);
  EXPECT_EQ(state_of(65537), State::refused);
  EXPECT_EQ(state_of(0xffffffff), State::refused);
}

TEST(EchoSize, IsFoundHoweverTheBytesAreSplit) {
  const auto stream = bytes_of({0, 0, 0x10, 0x20, 'a', 'b'});
  for (std::size_t first = 0; first < kSizeBytes; ++first) {
    for (std::size_t second = first; second < kSizeBytes; ++second) {
      SizeReader reader;
      std::span<const std::byte> piece = std::span(stream).first(first);
      EXPECT_EQ(reader.take(piece), State::partial);
      piece = std::span(stream).subspan(first, second - first);
      EXPECT_EQ(reader.take(piece), State::partial);
      EXPECT_TRUE(piece.empty());
      EXPECT_FALSE(reader.known());
      piece = std::span(stream).subspan(second);
      EXPECT_EQ(reader.take(piece), State::known);
      EXPECT_EQ(piece.size(), 2U) << "what follows the word stays";
      EXPECT_EQ(reader.size(), 0x1020U);
    }
  }
}

}  // namespace
}  // namespace stackrig::echo
