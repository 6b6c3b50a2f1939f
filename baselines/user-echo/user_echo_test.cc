// SPDX-License-Identifier: Apache-2.0
// The program in each variant, over loopback: buffers come back whole, however they are split;
// streams that end or begin wrongly end their connection and nothing else.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <memory>
#include <string>
#include <thread>

#include "echo/echo.h"
#include "rigload/test_endpoint.h"
#include "rigload/test_process.h"
#include "sockets/sockets.h"

namespace stackrig::user_echo {
namespace {

using rigload::fake::Process;
using Words = std::vector<std::string>;

std::string word(std::uint32_t size) {
  const auto bytes = echo::size_word(size);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class Client {
 public:
  explicit Client(wire::Endpoint server) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in a = sockets::to_sockaddr(server);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a), 0);
    sockets::set_no_delay(fd_.get());
  }
  void send(std::string_view text) const {
    EXPECT_EQ(::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  [[nodiscard]] std::string receive(std::size_t count) const {
    std::string text(count, '\0');
    const ssize_t n = ::recv(fd_.get(), text.data(), count, MSG_WAITALL);
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
  }
  void half_close() const { ::shutdown(fd_.get(), SHUT_WR); }

 private:
  sockets::Fd fd_;
};

class UserEcho : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    at_ = rigload::fake::free_endpoint();
    start();
  }
  void start() {
    server_ = std::make_unique<Process>(
        Words{USER_ECHO, "--listen", wire::to_string(at_), "--variant", GetParam()}, true);
    ASSERT_TRUE(server_->wait_until_ready()) << server_->complained();
  }
  void TearDown() override {
    server_->signal(SIGTERM);
    EXPECT_EQ(server_->wait(), 0);
  }
  [[nodiscard]] bool many() const { return std::string(GetParam()) != "blocking"; }

  wire::Endpoint at_;
  std::unique_ptr<Process> server_;
};

TEST_P(UserEcho, BuffersComeBackWhole) {
  const Client client(at_);
  client.send(word(4) + "abcdef");
  EXPECT_EQ(client.receive(4), "abcd");
  client.send("gh");
  EXPECT_EQ(client.receive(4), "efgh");
}

TEST_P(UserEcho, EverySplitGivesTheSame) {
  const std::string stream = word(3) + "012345678";
  for (std::size_t first = 1; first < stream.size(); ++first) {
    const Client client(at_);
    client.send(stream.substr(0, first));
    client.send(stream.substr(first));
    EXPECT_EQ(client.receive(9), "012345678") << first;
  }
  const Client client(at_);
  for (const char c : stream) client.send(std::string(1, c));
  EXPECT_EQ(client.receive(9), "012345678");
}

TEST_P(UserEcho, AHalfCloseIsAnsweredWithWhatWasWhole) {
  const Client client(at_);
  client.send(word(4) + "abcdefgh12");
  client.half_close();
  EXPECT_EQ(client.receive(100), "abcdefgh");
}

TEST_P(UserEcho, SizesThatAreNotAllowedCloseTheConnection) {
  for (const std::uint32_t size : {0U, 65537U, 0xffffffffU}) {
    const Client client(at_);
    client.send(word(size));
    EXPECT_EQ(client.receive(1), "") << size;
  }
}

TEST_P(UserEcho, TheLargestBufferComesBack) {
  const Client client(at_);
  std::string buffer(65536, '\0');
  for (std::size_t i = 0; i < buffer.size(); ++i) buffer[i] = static_cast<char>(i * 7 + i / 256);
  client.send(word(65536));
  for (int i = 0; i < 3; ++i) {
    client.send(buffer);
    EXPECT_EQ(client.receive(65536), buffer);
  }
}

TEST_P(UserEcho, AClientThatVanishesDisturbsNobody) {
  {
    const Client gone(at_);
    gone.send(word(1000) + "half a buffer");
  }
  const Client client(at_);
  client.send(word(2) + "ok");
  EXPECT_EQ(client.receive(2), "ok");
}

TEST_P(UserEcho, SeveralConnectionsAtOnceWhereTheVariantHasThem) {
  const Client first(at_), second(at_);
  first.send(word(1));
  second.send(word(2) + "b2");
  if (many()) {
    EXPECT_EQ(second.receive(2), "b2");
  }
  first.send("a");
  EXPECT_EQ(first.receive(1), "a");
  first.half_close();
  if (!many()) {
    EXPECT_EQ(second.receive(2), "b2") << "its turn comes when the first is gone";
  }
}

/// Back-pressure: a client that does not read is not read from, and loses nothing.
TEST_P(UserEcho, AClientThatReadsLateGetsEverything) {
  const Client client(at_);
  client.send(word(1024));
  std::string sent;
  for (int i = 0; i < 16384; ++i) sent += std::string(1024, static_cast<char>('a' + i % 26));
  const std::jthread sender([&] { client.send(sent); });
  EXPECT_EQ(client.receive(sent.size()), sent);
}

TEST_P(UserEcho, ItsPortIsFreeWhenItHasEnded) {
  for (int i = 0; i < 20; ++i) {
    server_->signal(SIGTERM);
    ASSERT_EQ(server_->wait(), 0);
    start();
    const Client client(at_);
    client.send(word(1) + "x");
    ASSERT_EQ(client.receive(1), "x");
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, UserEcho, testing::Values("blocking", "epoll", "io_uring"),
                         [](const auto& which) { return std::string(which.param); });

TEST(UserEchoProgram, BadInputIsRefusedBeforeAnythingStarts) {
  struct Case {
    Words words;
    const char* says;
  };
  const std::vector<Case> cases = {
      {{}, "--listen: none given"},
      {{"--listen", "x"}, "'x' is not an IPv4 address and port"},
      {{"--listen", "127.0.0.1:0", "--variant", "epol"}, "did you mean 'epoll'?"},
      {{"--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"}, "give one, or"},
      {{"--listen", "198.51.100.1:7"}, "choose an address of this machine"},
      {{"--listen", "127.0.0.1:0", "--core", "4096"}, "4096"},
      {{"--listen", "127.0.0.1:0", "--ready-fd", "99"}, "--ready-fd 99: is not open"},
  };
  for (const Case& c : cases) {
    Words words = c.words;
    words.insert(words.begin(), USER_ECHO);
    Process program(words);
    EXPECT_EQ(program.wait(), 2) << c.says;
    EXPECT_EQ(program.complained().find("user_echo: "), 0U) << program.complained();
    EXPECT_NE(program.complained().find(c.says), std::string::npos) << program.complained();
  }
}

}  // namespace
}  // namespace stackrig::user_echo
