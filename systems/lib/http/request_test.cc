// SPDX-License-Identifier: Apache-2.0
// What the request parser accepts, refuses and says, byte for byte.
#include "http/request.h"

#include <gtest/gtest.h>

#include <string>

namespace stackrig::http {
namespace {

using Outcome = Parsed::Outcome;

const Limits kLimits;

Parsed parse(std::string_view bytes) {
  return parse_request(bytes, kLimits);
}

std::uint16_t status_of(std::string_view bytes) {
  const Parsed p = parse(bytes);
  return p.outcome == Outcome::error ? p.status : p.outcome == Outcome::request ? 200 : 0;
}

std::uint16_t status_of_line(const std::string& line) {
  return status_of(line + "\r\nHost: a\r\n\r\n");
}

TEST(Request, GetWithHost) {
  const Parsed p = parse("GET /f64?x=1 HTTP/1.1\r\nHost: 10.77.0.2\r\n\r\nGET /next");
  ASSERT_EQ(p.outcome, Outcome::request);
  EXPECT_EQ(p.request.method, Method::get);
  EXPECT_EQ(p.request.path, "/f64");
  EXPECT_EQ(p.request.query, "x=1");
  EXPECT_TRUE(p.request.keep_alive);
  EXPECT_TRUE(p.request.plain_target);
  EXPECT_EQ(p.consumed,
            std::string_view{"GET /f64?x=1 HTTP/1.1\r\nHost: 10.77.0.2\r\n\r\n"}.size());
}

TEST(Request, EverySplitGivesTheSameRequest) {
  const std::string whole = "\r\nHEAD /a HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n";
  std::uint32_t scanned = 0;
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const Parsed p = parse_request(std::string_view{whole}.substr(0, n), kLimits, scanned);
    ASSERT_EQ(p.outcome, Outcome::partial) << n;
    scanned = p.scanned;
  }
  const Parsed p = parse_request(whole, kLimits, scanned);
  ASSERT_EQ(p.outcome, Outcome::request);
  EXPECT_EQ(p.request.method, Method::head);
  EXPECT_FALSE(p.request.keep_alive);
  EXPECT_EQ(p.consumed, whole.size());
}

TEST(Request, BareLineFeedsEndLines) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\nHost: a\n\n"), 200);
}

TEST(Request, KeepAliveDependsOnVersionAndConnection) {
  EXPECT_TRUE(parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request.keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").request.keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n").request.keep_alive);
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").request.keep_alive);
}

TEST(Request, TargetsThatNeedNormalisingAreMarked) {
  for (const char* target : {"/a%20b", "//a", "/a/../b", "/./a", "/.hidden"}) {
    EXPECT_FALSE(
        parse("GET " + std::string{target} + " HTTP/1.1\r\nHost: a\r\n\r\n").request.plain_target)
        << target;
  }
}

TEST(Request, AbsoluteForm) {
  const Parsed p = parse("GET http://h:80/f?q HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_EQ(p.outcome, Outcome::request);
  EXPECT_EQ(p.request.path, "/f");
  EXPECT_EQ(parse("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n").request.path, "/");
}

TEST(Request, BadRequestLines) {
  for (const char* line :
       {"get / HTTP/1.1", "GET  ", "GET /", "GET a HTTP/1.1", "GET / HTTP/1", "GET / HTTP/x.1",
        "GET / FTP/1.1", "GET /\x01 HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1 x"}) {
    EXPECT_EQ(status_of_line(line), 400) << line;
  }
}

TEST(Request, WrongLineIsRefusedBeforeTheHeadIsWhole) {
  EXPECT_EQ(status_of("\x16\x03\x01 hello\r\n"), 400);
}

TEST(Request, Versions) {
  EXPECT_EQ(status_of_line("GET / HTTP/2.0"), 505);
  EXPECT_EQ(status_of_line("GET / HTTP/1.2"), 200);
}

TEST(Request, HostIsAskedOfHttp11Once) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.0\r\n\r\n"), 200);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400);
}

TEST(Request, Bodies) {
  EXPECT_EQ(
      parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n").request.content_length,
      12U);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n"), 413);
  for (const char* field :
       {"Content-Length: x", "Content-Length: -1", "Content-Length:", "Content-Length: 1 1",
        "Content-Length: 99999999999999999999", "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked"}) {
    EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\n" + std::string{field} + "\r\n\r\n"), 400)
        << field;
  }
  EXPECT_TRUE(
      parse("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").request.chunked);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"), 501);
}

TEST(Request, Limits) {
  EXPECT_EQ(status_of("GET /" + std::string(9000, 'a')), 414);
  EXPECT_EQ(status_of("GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(9000, 'a')), 431);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(9000, 'a') + "\r\n\r\n"),
            431);
}

TEST(Request, MalformedFields) {
  for (const char* field : {": x", "A b: x", " Folded: x", "A\x01: x", "X: a\rb"}) {
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\n" + std::string{field} + "\r\n\r\n"), 400)
        << field;
  }
}

TEST(Request, ErrorsAreToldBeforeTheHeadIsWhole) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nBad name: x\r\n"), 400);
  EXPECT_EQ(status_of("\x16"), 400) << "not HTTP at all";
}

TEST(Request, TheMethodOfARefusedRequestIsKnown) {
  EXPECT_EQ(parse("HEAD / HTTP/1.1\r\n\r\n").request.method, Method::head);
  EXPECT_EQ(parse("HEAD / HTTP/9.1\r\n").request.method, Method::head);
}

TEST(Request, TraceAndConnectEndTheConnection) {
  EXPECT_FALSE(parse("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").request.keep_alive);
  EXPECT_FALSE(parse("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n").request.keep_alive);
}

TEST(Request, FieldNamesInAnyCaseAndOnlyWhole) {
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\nhOsT: a\r\nCONNECTION: CLOSE\r\n\r\n").request.keep_alive);
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 7\r\n\r\n").request.content_length,
            7U);
  EXPECT_TRUE(parse("GET / HTTP/1.1\r\nHost: a\r\nConnections: close\r\n\r\n").request.keep_alive);
  EXPECT_TRUE(parse("GET / HTTP/1.1\r\nHost: a\r\nConnectiom: close\r\n\r\n").request.keep_alive);
}

}  // namespace
}  // namespace stackrig::http
