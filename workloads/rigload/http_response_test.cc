// SPDX-License-Identifier: Apache-2.0
// Response heads: what is taken, what is refused, and that splitting one changes nothing.
#include "rigload/http_response.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace stackrig::rigload {
namespace {

std::span<const std::byte> bytes(std::string_view s) {
  return std::as_bytes(std::span(s));
}

HeadResult parse(std::string_view s, ResponseHead& head) {
  return parse_head(bytes(s), head);
}

const std::string kNginx =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: application/octet-stream\r\nContent-Length: 64\r\n"
    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\nETag: \"1-40\"\r\n"
    "Accept-Ranges: bytes\r\n\r\n";

TEST(ResponseHead, OfAnUsualServer) {
  ResponseHead head;
  ASSERT_EQ(parse(kNginx + "body", head), HeadResult::complete);
  EXPECT_EQ(head, (ResponseHead{.content_length = 64,
                                .head_bytes = static_cast<std::uint32_t>(kNginx.size()),
                                .status = 200,
                                .has_length = true,
                                .server_closes = true}));
}

TEST(ResponseHead, NamesAndOptionsInAnyCase) {
  ResponseHead head;
  ASSERT_EQ(
      parse("HTTP/1.1 404 Not Found\r\nCONTENT-length:  7 \r\nconnection: x , CLOSE\r\n\r\n", head),
      HeadResult::complete);
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(head.content_length, 7U);
  EXPECT_TRUE(head.has_length);
  EXPECT_TRUE(head.server_closes);
}

TEST(ResponseHead, Http10ClosesUnlessItSaysOtherwise) {
  ResponseHead head;
  ASSERT_EQ(parse("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", head), HeadResult::complete);
  EXPECT_TRUE(head.server_closes);
  ASSERT_EQ(parse("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", head), HeadResult::complete);
  EXPECT_FALSE(head.server_closes);
  EXPECT_FALSE(head.has_length);
}

TEST(ResponseHead, AReasonMayBeEmptyOrAbsent) {
  ResponseHead head;
  EXPECT_EQ(parse("HTTP/1.1 200 \r\n\r\n", head), HeadResult::complete);
  EXPECT_EQ(parse("HTTP/1.1 200\r\n\r\n", head), HeadResult::complete);
}

TEST(ResponseHead, ATransferCodingLeavesNoLength) {
  ResponseHead head;
  ASSERT_EQ(
      parse("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", head),
      HeadResult::complete);
  EXPECT_FALSE(head.has_length);
}

TEST(ResponseHead, TheSameLengthTwiceIsFineAnotherIsNot) {
  ResponseHead head;
  EXPECT_EQ(parse("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", head),
            HeadResult::complete);
  EXPECT_EQ(parse("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", head),
            HeadResult::malformed);
}

TEST(ResponseHead, WhatIsMalformed) {
  const std::vector<std::string> heads = {
      "HTTP/2.0 200 OK\r\n\r\n",
      "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/1.1  200 OK\r\n\r\n",
      "ICY 200 OK\r\n\r\n",
      "\r\nHTTP/1.1 200 OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1 2\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 0x4\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\n",
      "HTTP/1.1 200 OK\r\n Content-Length: 4\r\n\r\n",
      "HTTP/1.1 200 OK\r\n: 4\r\n\r\n",
      "HTTP/1.1 200 OK\r\nnothing\r\n\r\n",
      "HTTP/1.1 200 OK\r\nX: a\nContent-Length: 4\r\n\r\n",
      std::string("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", 27),
      "HTTP/1.1 200 OK\nContent-Length: 4\n\nxxxx\r\n\r\n",
  };
  for (const std::string& text : heads) {
    ResponseHead head;
    EXPECT_EQ(parse(text, head), HeadResult::malformed) << text;
  }
}

TEST(ResponseHead, NonsenseIsSeenAtOnceAndAnEndlessHeadInTime) {
  ResponseHead head;
  EXPECT_EQ(parse("HTT", head), HeadResult::incomplete);
  EXPECT_EQ(parse("HTX", head), HeadResult::malformed);
  EXPECT_EQ(parse("", head), HeadResult::incomplete);
  std::string endless = "HTTP/1.1 200 OK\r\n";
  while (endless.size() < kMaxHeadBytes) endless += "X: y\r\n";
  EXPECT_EQ(parse(endless, head), HeadResult::malformed);
}

TEST(HeadReader, SplitAnywhereTheHeadIsTheSame) {
  ResponseHead whole;
  ASSERT_EQ(parse(kNginx, whole), HeadResult::complete);
  const std::string with_body = kNginx + "0123456789";
  for (std::size_t first = 0; first <= kNginx.size(); ++first) {
    for (std::size_t second = first; second <= with_body.size(); second += 7) {
      HeadReader reader;
      ResponseHead head;
      std::size_t taken = 0, done = 0;
      const std::size_t cuts[] = {0, first, second, with_body.size()};
      for (unsigned i = 0; i < 3; ++i) {
        const auto piece = bytes(with_body).subspan(cuts[i], cuts[i + 1] - cuts[i]);
        if (reader.add(piece, head, taken) != HeadResult::complete) continue;
        done = cuts[i] + taken;
        break;
      }
      ASSERT_EQ(head, whole) << first << " " << second;
      ASSERT_EQ(done, kNginx.size()) << first << " " << second;
      ASSERT_TRUE(reader.empty());
    }
  }
}

TEST(HeadReader, ByteByByte) {
  HeadReader reader;
  ResponseHead head;
  std::size_t taken = 0;
  for (std::size_t i = 0; i + 1 < kNginx.size(); ++i) {
    ASSERT_EQ(reader.add(bytes(kNginx).subspan(i, 1), head, taken), HeadResult::incomplete) << i;
  }
  ASSERT_EQ(reader.add(bytes(kNginx).last(1), head, taken), HeadResult::complete);
  EXPECT_EQ(taken, 1U);
}

TEST(HeadMemory, MatchesTheSameHeadOnly) {
  HeadMemory memory;
  EXPECT_FALSE(memory.matches(bytes(kNginx)));
  ResponseHead head;
  ASSERT_EQ(parse(kNginx, head), HeadResult::complete);
  memory.remember(bytes(kNginx), head);
  EXPECT_TRUE(memory.matches(bytes(kNginx)));
  EXPECT_TRUE(memory.matches(bytes(kNginx + "body")));
  EXPECT_FALSE(memory.matches(bytes(kNginx).first(kNginx.size() - 1)));
  for (std::size_t i = 0; i < kNginx.size(); ++i) {
    std::string other = kNginx;
    other[i] ^= 1;
    ASSERT_FALSE(memory.matches(bytes(other))) << i;
  }
}

TEST(HeadMemory, DoesNotRememberWhatIsTooLong) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nX: " + std::string(HeadMemory::kBytes, 'x') + "\r\n\r\n";
  HeadMemory memory;
  ResponseHead head;
  ASSERT_EQ(parse(text, head), HeadResult::complete);
  memory.remember(bytes(text), head);
  EXPECT_FALSE(memory.matches(bytes(text)));
}

}  // namespace
}  // namespace stackrig::rigload
