// SPDX-License-Identifier: Apache-2.0
// What Sandstorm answers, byte for byte, over a simulated network.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_world.h"

namespace stackrig::sandstorm::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kLarge = pattern(1'000'000);

Site default_site() {
  Site s = site({{"/f64", pattern(64)},
                 {"/page.html", "<p>hello</p>\n"},
                 {"/a b", "blank"},
                 {"/empty", ""},
                 {"/large", kLarge},
                 {"/dir/", "index"}});
  s.resources.push_back({Resource::Kind::redirect, "/dir", {}, 0, {}});
  s.resources.push_back({Resource::Kind::forbidden, "/bare/", {}, 0, {}});
  return s;
}

std::string get(const std::string& path, const std::string& fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

std::string body_of(const std::string& reply) {
  const std::size_t end = reply.find("\r\n\r\n");
  return end == std::string::npos ? "no head" : reply.substr(end + 4);
}

std::string status_of(const std::string& reply) {
  return reply.substr(0, reply.find("\r\n"));
}

class Answers : public ::testing::TestWithParam<tcpip::SendMode> {
 protected:
  Answers() : w(default_site(), {.mode = GetParam()}) {}
  void TearDown() override {
    w.run(2 * kSecond);
    w.expect_all_home();
  }
  World w;
};

INSTANTIATE_TEST_SUITE_P(Variants, Answers,
                         ::testing::Values(tcpip::SendMode::precopy, tcpip::SendMode::memcpy),
                         [](const auto& v) {
                           return v.param == tcpip::SendMode::precopy ? "precopy" : "memcpy";
                         });

TEST_P(Answers, AFileWithItsHead) {
  EXPECT_EQ(w.ask(get("/page.html")),
            "HTTP/1.1 200 OK\r\n"
            "Server: sandstorm\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Connection: keep-alive\r\n"
            "Content-Type: text/html\r\n"
            "Content-Length: 13\r\n"
            "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "\r\n"
            "<p>hello</p>\n");
}

TEST_P(Answers, ConnectionCloseIsSaidAndDone) {
  bool closed = false;
  const std::string reply = w.ask(get("/f64", "Connection: close\r\n"), &closed);
  EXPECT_THAT(reply, HasSubstr("\r\nConnection:      close\r\n"));
  EXPECT_EQ(body_of(reply), pattern(64));
  EXPECT_TRUE(closed);
}

TEST_P(Answers, KeepAliveServesOneRequestAfterAnother) {
  Client& c = w.connect();
  for (int i = 0; i < 20; ++i) {
    const std::size_t before = c.received().size();
    c.send(get(i % 2 == 0 ? "/f64" : "/page.html"));
    w.run(10 * kMillisecond);
    EXPECT_EQ(body_of(c.received().substr(before)), i % 2 == 0 ? pattern(64) : "<p>hello</p>\n");
  }
  EXPECT_FALSE(c.server_closed());
  c.abort();
}

TEST_P(Answers, TheDateIsTheSecondOfTheResponse) {
  Client& c = w.connect();
  for (int second = 37; second < 45; ++second) {
    const std::size_t before = c.received().size();
    c.send(get("/f64"));
    w.run(kSecond);
    EXPECT_THAT(c.received().substr(before),
                HasSubstr("Date: Sun, 06 Nov 1994 08:49:" + std::to_string(second) + " GMT\r\n"));
  }
  c.abort();
}

TEST_P(Answers, HeadHasTheSameHeadAndNoBody) {
  const std::string with_body = w.ask(get("/large"));
  std::string head = w.ask("HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n");
  std::string expected = with_body.substr(0, with_body.find("\r\n\r\n") + 4);
  const std::size_t date = expected.find("Date: ");
  expected.erase(date, 35);
  head.erase(date, 35);
  EXPECT_EQ(head, expected);
}

TEST_P(Answers, HeadOfWhatIsNotThereHasNoBody) {
  for (const char* request :
       {"HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n"}) {
    const std::string reply = w.ask(request);
    EXPECT_THAT(reply, HasSubstr("Content-Length: "));
    EXPECT_EQ(body_of(reply), "");
  }
}

TEST_P(Answers, LargeAndEmptyFiles) {
  EXPECT_EQ(body_of(w.ask(get("/large"))), kLarge);
  const std::string empty = w.ask(get("/empty"));
  EXPECT_THAT(empty, HasSubstr("\r\nContent-Length: 0\r\n"));
  EXPECT_EQ(body_of(empty), "");
}

TEST_P(Answers, PathsAreDecodedAndNormalised) {
  for (const char* path : {"/a%20b", "/x/../a%20b", "//a%20b", "/./a%20b", "/a%20b?query",
                           "/a%20b#f", "http://h/a%20b", "/%61%20%62"}) {
    EXPECT_EQ(body_of(w.ask(get(path))), "blank") << path;
  }
}

TEST_P(Answers, DirectoriesHaveTheirIndexOrAreForbidden) {
  EXPECT_EQ(body_of(w.ask(get("/dir/"))), "index");
  const std::string redirect = w.ask(get("/dir"));
  EXPECT_THAT(redirect, StartsWith("HTTP/1.1 301 Moved Permanently\r\n"));
  EXPECT_THAT(redirect, HasSubstr("\r\nLocation: /dir/\r\n"));
  EXPECT_THAT(w.ask(get("/bare/")), StartsWith("HTTP/1.1 403 Forbidden\r\n"));
}

TEST_P(Answers, NothingLeavesTheRoot) {
  for (const char* path :
       {"/..", "/../f64", "/%2e%2e/f64", "/dir/../../f64", "/..%2ff64", "/%2e%2e%2ff64"}) {
    EXPECT_THAT(w.ask(get(path)), StartsWith("HTTP/1.1 400 ")) << path;
  }
  for (const char* path : {"/etc/passwd", "/dir/..%5c..%5cf64", "/%252e%252e/f64"}) {
    EXPECT_THAT(w.ask(get(path)), StartsWith("HTTP/1.1 404 ")) << path;
  }
}

TEST_P(Answers, EveryErrorIsAWholeResponse) {
  const struct {
    std::string request;
    std::string status;
    bool closes;
  } kCases[] = {
      {"GET / HTTP/1.1\r\n\r\n", "400 Bad Request", true},
      {"\x16\x03\x01", "400 Bad Request", true},
      {get("/none"), "404 Not Found", false},
      {"POST /f64 HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed", false},
      {"DELETE /f64 HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed", false},
      {"POST /none HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", false},
      {"TRACE /f64 HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed", true},
      {get("/f64", "Content-Length: 2000000\r\n"), "413 Content Too Large", true},
      {"GET /" + std::string(9000, 'a'), "414 URI Too Long", true},
      {get("/f64", "X: " + std::string(9000, 'a') + "\r\n"), "431 Request Header Fields Too Large",
       true},
      {get("/f64", "Transfer-Encoding: gzip\r\n"), "501 Not Implemented", true},
      {"GET /f64 HTTP/2.0\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported", true},
  };
  for (const auto& c : kCases) {
    bool closed = false;
    const std::string reply = w.ask(c.request, &closed);
    EXPECT_EQ(status_of(reply), "HTTP/1.1 " + c.status);
    EXPECT_EQ(closed, c.closes) << c.status;
    EXPECT_THAT(reply, HasSubstr(c.closes ? "Connection:      close" : "Connection: keep-alive"));
    EXPECT_THAT(reply,
                HasSubstr("Content-Length: " + std::to_string(body_of(reply).size()) + "\r\n"));
    EXPECT_THAT(body_of(reply), HasSubstr(c.status));
  }
}

TEST_P(Answers, A405SaysWhatIsAllowed) {
  EXPECT_THAT(w.ask("PUT /f64 HTTP/1.1\r\nHost: a\r\n\r\n"), HasSubstr("\r\nAllow: GET, HEAD\r\n"));
}

TEST_P(Answers, Http10ClosesUnlessAskedToStay) {
  bool closed = false;
  EXPECT_EQ(body_of(w.ask("GET /f64 HTTP/1.0\r\n\r\n", &closed)), pattern(64));
  EXPECT_TRUE(closed);
  w.ask("GET /f64 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &closed);
  EXPECT_FALSE(closed);
}

TEST_P(Answers, ABodyThatWasAnnouncedIsPassedOver) {
  Client& c = w.connect();
  c.send("GET /f64 HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + std::string(1000, 'x'));
  w.run(10 * kMillisecond);
  c.send(std::string(2000, 'x') + get("/page.html"));
  w.run(10 * kMillisecond);
  EXPECT_THAT(c.received(), ::testing::EndsWith("<p>hello</p>\n"));
  EXPECT_EQ(w.server->counters().status_200, 2U);
  c.abort();
}

TEST_P(Answers, ARequestInPiecesOfAnySizeIsTheSame) {
  const std::string request = get("/page.html", "X-Field: a value\r\n");
  for (std::size_t cut = 1; cut < request.size(); ++cut) {
    Client& c = w.connect();
    c.send(request.substr(0, cut));
    w.run(kMillisecond);
    EXPECT_EQ(c.received(), "");
    c.send(request.substr(cut));
    w.run(kMillisecond);
    EXPECT_EQ(body_of(c.received()), "<p>hello</p>\n") << cut;
    c.abort();
  }
}

TEST_P(Answers, ARequestByteByByte) {
  Client& c = w.connect();
  for (const char byte : get("/page.html", "Connection: close\r\n")) {
    c.send(std::string(1, byte));
    w.run(kMillisecond);
  }
  w.run(kSecond);
  EXPECT_EQ(body_of(c.received()), "<p>hello</p>\n");
  EXPECT_TRUE(c.server_closed());
  c.close();
}

TEST_P(Answers, APipelineIsAnsweredInOrder) {
  std::string requests, expected;
  for (int i = 0; i < 100; ++i)
    requests += get(i % 3 == 0 ? "/f64" : i % 3 == 1 ? "/page.html" : "/none");
  Client& c = w.connect();
  c.send(requests);
  w.run(5 * kSecond);
  std::size_t at = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string wanted = i % 3 == 2 ? "HTTP/1.1 404 Not Found\r\n" : "HTTP/1.1 200 OK\r\n";
    ASSERT_EQ(c.received().substr(at, wanted.size()), wanted) << i;
    at = c.received().find("HTTP/1.1 ", at + 1);
  }
  EXPECT_EQ(at, std::string::npos) << "more than was asked for";
  EXPECT_GT(w.server->counters().paused, 0U) << "more were asked for than may be pending";
  c.abort();
}

TEST_P(Answers, NothingIsAnsweredAfterConnectionClose) {
  Client& c = w.connect();
  c.send(get("/f64", "Connection: close\r\n") + get("/page.html"));
  w.run(kSecond);
  EXPECT_EQ(body_of(c.received()), pattern(64));
  EXPECT_TRUE(c.server_closed());
  c.close();
}

TEST_P(Answers, APeerThatHasClosedItsSideStillGetsItsAnswer) {
  Client& c = w.connect();
  c.send(get("/large"));
  c.close();
  w.run(5 * kSecond);
  EXPECT_EQ(body_of(c.received()), kLarge);
  EXPECT_TRUE(c.server_closed());
}

TEST_P(Answers, APipelineThatEndsWithFinIsAnsweredWhole) {
  std::string requests;
  for (int i = 0; i < 30; ++i) requests += get("/f64");
  Client& c = w.connect();
  c.send(requests);
  c.close();
  w.run(5 * kSecond);
  EXPECT_EQ(w.server->counters().status_200, 30U);
  EXPECT_TRUE(c.server_closed());
}

TEST_P(Answers, CountersTellWhatWasServed) {
  w.ask(get("/f64"));
  w.ask("HEAD /f64 HTTP/1.1\r\nHost: a\r\n\r\n");
  w.ask(get("/none"));
  const ServerCounters& c = w.server->counters();
  EXPECT_EQ(c.requests, 3U);
  EXPECT_EQ(c.status_200, 2U);
  EXPECT_EQ(c.status_400, 1U);
}

}  // namespace
}  // namespace stackrig::sandstorm::testing
