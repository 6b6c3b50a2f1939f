// SPDX-License-Identifier: Apache-2.0
// rigload echo as it is typed: against the baseline in each variant, and against servers that get
// things wrong.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "rigload/test_endpoint.h"
#include "rigload/test_process.h"
#include "sockets/sockets.h"

namespace stackrig::rigload {
namespace {

using fake::Process;
using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

Json run(const std::string& target, const Words& more = {}) {
  Words words = {RIGLOAD, "echo",       "--kernel", "--target", target, "--warmup",
                 "0.05",  "--duration", "0.1",      "--json",   "-"};
  words.insert(words.end(), more.begin(), more.end());
  Process client(words);
  EXPECT_EQ(client.wait(), 0) << client.complained();
  return Json::parse(client.said(), nullptr, false);
}

std::uint64_t sum(const Json& report, const char* what) {
  std::uint64_t n = 0;
  for (const Json& phase : report["phases"]) n += phase[what].get<std::uint64_t>();
  return n;
}

std::uint64_t errors(const Json& report, const char* kind = nullptr) {
  std::uint64_t n = 0;
  for (const Json& phase : report["phases"]) {
    for (const auto& [name, count] : phase["errors"].items()) {
      if (kind == nullptr || name == kind) n += count.get<std::uint64_t>();
    }
  }
  return n;
}

class AgainstUserEcho : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    at_ = wire::to_string(fake::free_endpoint());
    server_ =
        std::make_unique<Process>(Words{USER_ECHO, "--listen", at_, "--variant", GetParam()}, true);
    ASSERT_TRUE(server_->wait_until_ready()) << server_->complained();
  }
  std::string at_;
  std::unique_ptr<Process> server_;
};
INSTANTIATE_TEST_SUITE_P(Variants, AgainstUserEcho,
                         testing::Values("blocking", "epoll", "io_uring"),
                         [](const auto& which) { return std::string(which.param); });

TEST_P(AgainstUserEcho, EveryBufferComesBack) {
  for (const char* size : {"1", "32", "16384", "65536"}) {
    const Json report = run(at_, {"--size", size});
    EXPECT_EQ(errors(report), 0U) << report.dump(1);
    EXPECT_GT(report["phases"][1]["requests_completed"], 0U);
    EXPECT_EQ(sum(report, "bytes_body"), sum(report, "requests_completed") * std::stoul(size));
    EXPECT_GT(report["phases"][1]["latency_ns"]["p50"], 0U);
    EXPECT_EQ(report["payload"], std::stoi(size));
  }
}

TEST_P(AgainstUserEcho, SeveralBuffersAtOnce) {
  const Json report = run(at_, {"--size", "100", "--pipeline", "10"});
  EXPECT_EQ(errors(report), 0U) << report.dump(1);
  EXPECT_EQ(sum(report, "requests_completed") % 10, 0U);
  EXPECT_EQ(sum(report, "bytes_body"), sum(report, "requests_completed") * 100);
}

TEST_P(AgainstUserEcho, SeveralConnectionsWhereTheVariantHasThem) {
  if (std::string(GetParam()) == "blocking") GTEST_SKIP() << "one connection after the other";
  const Json report = run(at_, {"--connections", "20"});
  EXPECT_EQ(errors(report), 0U) << report.dump(1);
  EXPECT_EQ(sum(report, "connections_opened"), 20U);
}

/// Serves one connection after the other; `answer` makes of what one read brought what is sent
/// back, nothing of which closes the connection.
class BadEcho {
 public:
  using Answer = std::function<std::string(std::string)>;
  explicit BadEcho(Answer answer) : answer_(std::move(answer)), thread_([this] { serve(); }) {}
  ~BadEcho() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    ::shutdown(client_, SHUT_RDWR);
    thread_.join();
  }
  BadEcho(const BadEcho&) = delete;
  BadEcho& operator=(const BadEcho&) = delete;
  [[nodiscard]] std::string target() const {
    return wire::to_string(sockets::local_of(listener_.get()));
  }

 private:
  void serve() {
    for (;;) {
      const sockets::Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) return;
      client_ = fd.get();
      char buffer[65536];
      bool first = true;
      for (;;) {
        const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
        if (n <= 0) break;
        const std::size_t skip = std::exchange(first, false) ? 4 : 0;
        const std::string back = answer_({buffer + skip, static_cast<std::size_t>(n) - skip});
        if (back.empty()) break;
        ::send(fd.get(), back.data(), back.size(), MSG_NOSIGNAL);
      }
    }
  }

  Answer answer_;
  std::atomic<int> client_{-1};
  sockets::Fd listener_ = sockets::listen_on({{0x7f000001}, 0}, false);
  std::thread thread_;
};

TEST(EchoProgram, AServerThatIsRightHasNoErrors) {
  const BadEcho server([](std::string s) { return s; });
  EXPECT_EQ(errors(run(server.target())), 0U);
}

TEST(EchoProgram, AnAlteredByteIsFound) {
  const BadEcho server([n = 0](std::string s) mutable {
    if (++n % 10 == 0) s[31] ^= 1;
    return s;
  });
  const Json report = run(server.target());
  EXPECT_GT(errors(report, "content"), 0U);
  EXPECT_EQ(errors(report), errors(report, "content"));
}

TEST(EchoProgram, TheSameAnswerAgainIsFound) {
  const BadEcho server([last = std::string()](std::string s) mutable {
    if (last.empty()) last = s;
    return last;
  });
  EXPECT_GT(errors(run(server.target()), "content"), 0U);
}

TEST(EchoProgram, BytesTooManyAreFound) {
  const BadEcho server([](std::string s) { return s + "x"; });
  EXPECT_GT(errors(run(server.target()), "length"), 0U);
}

TEST(EchoProgram, AnEarlyCloseIsFound) {
  const BadEcho server([n = 0](std::string s) mutable { return ++n % 10 == 0 ? "" : s; });
  EXPECT_GT(errors(run(server.target()), "reset"), 0U);
}

TEST(EchoProgram, BadInputIsRefusedBeforeAnythingStarts) {
  struct Case {
    Words words;
    const char* says;
  };
  const std::vector<Case> cases = {
      {{"--size", "0"}, "--size"},
      {{"--size", "65537"}, "--size"},
      {{"--mode", "close"}, "'--mode': no such word"},
  };
  for (const Case& c : cases) {
    Words words = {RIGLOAD, "echo", "--kernel", "--target", "127.0.0.1:7"};
    words.insert(words.end(), c.words.begin(), c.words.end());
    Process client(words);
    EXPECT_EQ(client.wait(), 2) << c.says;
    EXPECT_NE(client.complained().find(c.says), std::string::npos) << client.complained();
  }
}

}  // namespace
}  // namespace stackrig::rigload
