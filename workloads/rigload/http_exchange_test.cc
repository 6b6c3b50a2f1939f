// SPDX-License-Identifier: Apache-2.0
// What is asked for and what is checked in the answers. A server that lies is found out.
#include "rigload/http_exchange.h"

#include <gtest/gtest.h>

#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "runtime/errors.h"
#include "wire/checksum.h"

namespace stackrig::rigload {
namespace {

std::span<const std::byte> bytes(std::string_view s) {
  return std::as_bytes(std::span(s));
}

std::string answer(std::string_view body, const std::string& more = "",
                   const std::string& status = "200 OK") {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         more + "\r\n" + std::string(body);
}

/// A folder of files and an exchange that asks for them.
class HttpExchangeTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ =
        std::filesystem::temp_directory_path() / ("rigt-exchange-" + std::to_string(::getpid()));
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void file(const std::string& name, const std::string& content) {
    std::ofstream(root_ / name) << content;
    paths_.push_back({"/" + name, "--path"});
    contents_.push_back(Content::map((root_ / name).string(), "--path"));
  }
  HttpExchange& make(std::uint32_t check_every, bool with_content = true) {
    urls_ =
        std::make_unique<UrlSet>(paths_, with_content ? contents_ : no_contents_, "10.0.0.2", true);
    exchange_ =
        std::make_unique<HttpExchange>(HttpExchangeConfig{.seed = 1, .check_every = check_every},
                                       std::vector<const UrlSet*>{urls_.get()}, 4);
    return *exchange_;
  }
  /// One request on slot 0 and its answer, cut after `first` bytes.
  Progress ask(const std::string& text, std::size_t first = std::string::npos) {
    exchange_->begin(0);
    const auto all = bytes(text);
    first = std::min(first, all.size());
    Progress p = exchange_->receive(0, all.first(first));
    std::uint64_t body = p.body_bytes;
    if (p.state == Progress::State::more && first < all.size()) {
      p = exchange_->receive(0, all.subspan(first));
      body += p.body_bytes;
    }
    p.body_bytes = body;
    return p;
  }

  std::filesystem::path root_;
  std::vector<UrlPath> paths_;
  std::vector<Content> contents_, no_contents_;
  std::unique_ptr<UrlSet> urls_;
  std::unique_ptr<HttpExchange> exchange_;
};

TEST_F(HttpExchangeTest, ARequestIsWhatABrowserWouldSend) {
  file("f64", "x");
  const Prepared& request = make(1).begin(0);
  const std::string text(reinterpret_cast<const char*>(request.data), request.len);
  EXPECT_EQ(text, "GET /f64 HTTP/1.1\r\nHost: 10.0.0.2\r\n\r\n");
  EXPECT_EQ(request.sum, wire::fold(wire::sum(bytes(text))));
  const UrlSet closing(paths_, contents_, "10.0.0.2:8080", false);
  const Prepared& other = closing.urls()[0].request;
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(other.data), other.len),
            "GET /f64 HTTP/1.1\r\nHost: 10.0.0.2:8080\r\nConnection: close\r\n\r\n");
}

TEST_F(HttpExchangeTest, ARightAnswerSplitAnywhereIsRight) {
  file("f", "0123456789");
  make(1);
  const std::string text = answer("0123456789", "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const Progress p = ask(text, cut);
    ASSERT_EQ(p.state, Progress::State::finished) << cut;
    ASSERT_FALSE(p.error) << cut;
    ASSERT_EQ(p.body_bytes, 10U) << cut;
  }
  EXPECT_EQ(exchange_->compared(), text.size() + 1);
}

TEST_F(HttpExchangeTest, AWrongByteAnywhereIsAContentError) {
  file("f", "0123456789");
  make(1);
  for (std::size_t i = 0; i < 10; ++i) {
    std::string body = "0123456789";
    body[i] ^= 1;
    for (std::size_t cut = 40; cut < 50; ++cut) {
      const Progress p = ask(answer(body), cut);
      ASSERT_EQ(p.state, Progress::State::finished);
      ASSERT_EQ(p.error, ErrorKind::content) << i << " " << cut;
    }
  }
  EXPECT_EQ(exchange_->compared(), 0U);
}

TEST_F(HttpExchangeTest, ALengthOtherThanTheFilesIsALengthError) {
  file("f", "0123456789");
  make(0);  // checked also where no content is
  EXPECT_EQ(ask(answer("012345678")).error, ErrorKind::length);
  EXPECT_EQ(ask(answer("01234567890")).error, ErrorKind::length);
  EXPECT_FALSE(ask(answer("0123456789")).error);
}

TEST_F(HttpExchangeTest, MoreBytesThanAnnouncedIsALengthErrorAndTheEndOfTheConnection) {
  file("f", "0123456789");
  make(1);
  const Progress p = ask(answer("0123456789") + "x");
  EXPECT_EQ(p.state, Progress::State::broken);
  EXPECT_EQ(p.error, ErrorKind::length);
}

TEST_F(HttpExchangeTest, FewerBytesThanAnnouncedIsALengthError) {
  file("f", "0123456789");
  make(1);
  const std::string text = answer("0123456789");
  exchange_->begin(0);
  EXPECT_EQ(exchange_->cut_short(0), ErrorKind::reset);  // not a byte came
  exchange_->begin(0);
  exchange_->receive(0, bytes(text).first(5));
  EXPECT_EQ(exchange_->cut_short(0), ErrorKind::status);
  exchange_->drop(0);
  exchange_->begin(0);
  exchange_->receive(0, bytes(text).first(text.size() - 1));
  EXPECT_EQ(exchange_->cut_short(0), ErrorKind::length);
}

TEST_F(HttpExchangeTest, NoLengthAtAllIsALengthError) {
  file("f", "0123456789");
  make(1);
  const Progress p =
      ask("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n");
  EXPECT_EQ(p.state, Progress::State::broken);
  EXPECT_EQ(p.error, ErrorKind::length);
}

TEST_F(HttpExchangeTest, AnotherStatusIsAStatusErrorAndItsBodyNoGoodput) {
  file("f", "0123456789");
  make(1);
  const Progress p = ask(answer("not here", "", "404 Not Found"), 45);
  EXPECT_EQ(p.state, Progress::State::finished);
  EXPECT_EQ(p.error, ErrorKind::status);
  EXPECT_EQ(p.body_bytes, 0U);
}

TEST_F(HttpExchangeTest, NonsenseIsAStatusErrorAndTheEndOfTheConnection) {
  file("f", "0123456789");
  make(1);
  const Progress p = ask("SSH-2.0-OpenSSH_9.2\r\n");
  EXPECT_EQ(p.state, Progress::State::broken);
  EXPECT_EQ(p.error, ErrorKind::status);
}

TEST_F(HttpExchangeTest, AnInterimAnswerIsPassedOver) {
  file("f", "0123456789");
  make(1);
  const std::string text = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer("0123456789");
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const Progress p = ask(text, cut);
    ASSERT_EQ(p.state, Progress::State::finished) << cut;
    ASSERT_FALSE(p.error) << cut;
  }
}

TEST_F(HttpExchangeTest, AServerThatClosesIsToldApart) {
  file("f", "0123456789");
  make(1);
  EXPECT_TRUE(ask(answer("0123456789", "Connection: close\r\n")).server_closes);
  EXPECT_FALSE(ask(answer("0123456789")).server_closes);
}

TEST_F(HttpExchangeTest, AnEmptyFileIsAnAnswerToo) {
  file("empty", "");
  make(1);
  const Progress p = ask(answer(""));
  EXPECT_EQ(p.state, Progress::State::finished);
  EXPECT_FALSE(p.error);
  EXPECT_EQ(exchange_->compared(), 1U);
}

TEST_F(HttpExchangeTest, EveryNthAnswerIsComparedAndTheFirstOfEachUrl) {
  file("a", "aaaa");
  make(10);
  for (unsigned i = 0; i < 100; ++i) ask(answer("aaaa"));
  EXPECT_EQ(exchange_->compared(), 11U);  // the first, and each tenth
  for (unsigned i = 0; i < 9; ++i) EXPECT_FALSE(ask(answer("bbbb")).error) << i;
  EXPECT_EQ(ask(answer("bbbb")).error, ErrorKind::content);
  make(0);
  EXPECT_FALSE(ask(answer("bbbb")).error);
}

TEST_F(HttpExchangeTest, AChangedHeadIsReadAnew) {
  file("f", "0123456789");
  make(1);
  EXPECT_FALSE(ask(answer("0123456789")).error);
  EXPECT_FALSE(ask(answer("0123456789")).error);  // as remembered
  EXPECT_EQ(ask(answer("0123456788", "", "201 OK")).error, ErrorKind::status);
  EXPECT_EQ(ask(answer("012345678")).error, ErrorKind::length);
  EXPECT_FALSE(ask(answer("0123456789")).error);
}

TEST_F(HttpExchangeTest, SlotsDoNotMixTheirAnswers) {
  file("f", "0123456789");
  make(1);
  const std::string text = answer("0123456789");
  for (SlotId s = 0; s < 4; ++s) exchange_->begin(s);
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (SlotId s = 0; s < 4; ++s) {
      const Progress p = exchange_->receive(s, bytes(text).subspan(i, 1));
      ASSERT_EQ(p.state, i + 1 == text.size() ? Progress::State::finished : Progress::State::more);
      ASSERT_FALSE(p.error);
    }
  }
}

TEST_F(HttpExchangeTest, ManyUrlsAreAskedForAtRandomEachAsOften) {
  for (char c = 'a'; c < 'a' + 8; ++c) file(std::string(1, c), std::string(1, c));
  make(1);
  std::map<const std::byte*, unsigned> asked;
  std::vector<const std::byte*> order;
  for (unsigned i = 0; i < 80'000; ++i) {
    order.push_back(exchange_->begin(0).data);
    ++asked[order.back()];
  }
  ASSERT_EQ(asked.size(), 8U);
  for (const auto& [url, times] : asked) EXPECT_NEAR(times, 10'000, 500);
  const std::byte* base = urls_->urls()[0].request.data;
  make(1);  // the same seed again
  for (unsigned i = 0; i < 1000; ++i) {
    ASSERT_EQ(exchange_->begin(0).data - urls_->urls()[0].request.data, order[i] - base);
  }
}

// --- paths
// -----------------------------------------------------------------------------------------

std::string refusal(const std::function<void()>& body) {
  try {
    body();
  } catch (const runtime::UsageError& e) {
    return e.what();
  }
  return "";
}

TEST_F(HttpExchangeTest, APathsFileIsReadWithItsLineNumbers) {
  const std::string file = (root_ / "paths").string();
  std::ofstream(file) << "/a\n\n/b%20c\r\n";
  const auto paths = read_paths_file(file);
  ASSERT_EQ(paths.size(), 2U);
  EXPECT_EQ(paths[1].path, "/b%20c");
  EXPECT_EQ(paths[1].given_at, file + ":3");
  std::ofstream(file) << "/a\nb\n";
  EXPECT_NE(
      refusal([&] { read_paths_file(file); }).find("paths:2: path 'b' does not begin with '/'; "),
      std::string::npos);
  std::ofstream(file) << "/a\n/b c\n";
  EXPECT_NE(refusal([&] { read_paths_file(file); }).find("paths:2: path '/b c' has a space"),
            std::string::npos);
  std::ofstream(file) << "\n\n";
  EXPECT_NE(refusal([&] { read_paths_file(file); }).find("paths:1: no path in this file; "),
            std::string::npos);
  EXPECT_NE(refusal([&] { read_paths_file(file + "x"); }).find("No such file"), std::string::npos);
}

TEST(FileOf, IsBelowTheRoot) {
  EXPECT_EQ(file_of("/a/b.html?x=1"), "/a/b.html");
  EXPECT_EQ(file_of("/a%20b"), "/a b");
  EXPECT_EQ(file_of("/"), "/index.html");
  EXPECT_EQ(file_of("/a/../../etc/passwd"), std::nullopt);
  EXPECT_EQ(file_of("/a/%2e%2e/b"), std::nullopt);
  EXPECT_EQ(file_of("/a%2"), std::nullopt);
  EXPECT_EQ(file_of("/a%zz"), std::nullopt);
  EXPECT_EQ(file_of("/a%00"), std::nullopt);
  EXPECT_EQ(file_of("/..a"), "/..a");
}

TEST_F(HttpExchangeTest, AMissingFileNamesWhereItWasAskedFor) {
  const std::string why = refusal([&] { Content::map((root_ / "none").string(), "paths:7"); });
  EXPECT_EQ(why.find("paths:7: file "), 0U);
  EXPECT_NE(why.find("No such file"), std::string::npos);
  EXPECT_NE(refusal([&] { Content::map(root_.string(), "paths:7"); }).find("is not a regular file"),
            std::string::npos);
}

}  // namespace
}  // namespace stackrig::rigload
