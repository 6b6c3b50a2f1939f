// SPDX-License-Identifier: Apache-2.0
// The BPF programs by themselves, on connections over loopback: what they send on, what they hand
// up, and how a connection comes back.
#include "programs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <string_view>
#include <thread>

#include "thrift/forwarder.h"

namespace stackrig::in_kernel {
namespace {

struct Connection {
  Fd client, server;
};

Connection connected(const Programs* programs = nullptr) {
  const Fd listener = sockets::listen_on({{0x7f000001}, 0}, false);
  if (programs != nullptr && !programs->guard(listener.get())) return {};
  Connection c{Fd(::socket(AF_INET, SOCK_STREAM, 0)), Fd()};
  const sockaddr_in to = sockets::to_sockaddr(sockets::local_of(listener.get()));
  if (::connect(c.client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return c;
  c.server = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
  set_buffers(c.server.get(), {});
  return c;
}

void say(const Fd& fd, std::string_view text) {
  ASSERT_EQ(::send(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
}

bool is_readable(int fd, int milliseconds) {
  pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, milliseconds) == 1;
}

std::string hear(int fd, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes && is_readable(fd, 20'000)) {
    std::array<char, 65536> part;
    const ssize_t n = ::recv(fd, part.data(), std::min(part.size(), bytes - text.size()), 0);
    if (n <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(n));
  }
  return text;
}

std::string msg(std::int32_t key, std::string_view payload) {
  thrift::Bytes bytes;
  thrift::write_msg(bytes, 0, key, payload);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class ProgramsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: it loads BPF programs";
    line_ = connected();
    ASSERT_TRUE(line_.server);
  }
  void begin(Programs& programs, std::uint32_t size) {
    up_ = programs.open_up(0);
    ASSERT_TRUE(up_);
    ASSERT_TRUE(programs.add_client(0, line_.server.get(), size));
  }
  /// Once what was sent has been judged.
  static Programs::Up taken(const Programs& programs, std::uint64_t passed) {
    while (programs.up(0).passed < passed) ::usleep(1000);
    return programs.up(0);
  }

  Connection line_;
  Fd up_;
};

TEST_F(ProgramsTest, EchoSendsWholeBuffersBackAndKeepsTheRest) {
  Programs programs({.service = Service::echo});
  begin(programs, 4);
  say(line_.client, "abcdefghij");
  EXPECT_EQ(hear(line_.client.get(), 8), "abcdefgh");
  EXPECT_FALSE(is_readable(line_.client.get(), 50));
  say(line_.client, "kl");
  EXPECT_EQ(hear(line_.client.get(), 4), "ijkl");
  EXPECT_EQ(programs.up(0).flow, Programs::Flow::runs);
  EXPECT_EQ(programs.seen(0), 12U);
  EXPECT_FALSE(is_readable(up_.get(), 0));
}

TEST_F(ProgramsTest, EchoInBatchesIsTheSameStream) {
  Programs programs({.service = Service::echo, .batch = true});
  say(line_.client, "abcdefghij");
  begin(programs, 4);
  EXPECT_EQ(hear(line_.client.get(), 8), "abcdefgh");
  EXPECT_FALSE(is_readable(line_.client.get(), 50));
  say(line_.client, "klmnopq");
  EXPECT_EQ(hear(line_.client.get(), 8), "ijklmnop");
  std::array<std::uint64_t, COUNTERS> counted{};
  programs.read_counters(counted);
  EXPECT_EQ(counted[COUNT_MESSAGES], 4U) << "buffers, not frames";
}

TEST_F(ProgramsTest, WhatWasThereBeforeIsSeenToo) {
  Programs programs({.service = Service::echo});
  say(line_.client, "before");
  begin(programs, 3);
  EXPECT_EQ(hear(line_.client.get(), 6), "before");
}

TEST_F(ProgramsTest, AMessageGoesToTheBackendOfItsKey) {
  Programs programs({.service = Service::forward});
  const Connection one = connected(), two = connected();
  ASSERT_TRUE(programs.add_backend(5, one.server.get()));
  ASSERT_TRUE(programs.add_backend(6, two.server.get()));
  ASSERT_TRUE(programs.route(100, 5));
  ASSERT_TRUE(programs.route(-100, 6));
  begin(programs, 0);
  say(line_.client, msg(100, "x") + msg(-100, "y") + msg(7, "nobody's") + msg(100, "z"));
  EXPECT_EQ(hear(one.client.get(), 62), msg(100, "x") + msg(100, "z"));
  EXPECT_EQ(hear(two.client.get(), 31), msg(-100, "y"));
  std::array<std::uint64_t, COUNTERS> counted{};
  programs.read_counters(counted);
  EXPECT_EQ(counted[COUNT_MESSAGES], 3U);
  EXPECT_EQ(counted[COUNT_BYTES], 93U);
  EXPECT_EQ(counted[COUNT_DROPPED_NO_KEY], 1U);
}

TEST_F(ProgramsTest, WhatTheyDoNotKnowGoesUpAndTheConnectionComesBack) {
  Programs programs({.service = Service::forward});
  const Connection backend = connected();
  ASSERT_TRUE(programs.add_backend(1, backend.server.get()));
  ASSERT_TRUE(programs.route(1, 1));
  begin(programs, 0);
  say(line_.client, "something else");
  EXPECT_EQ(taken(programs, 14).flow, Programs::Flow::taken);
  EXPECT_TRUE(is_readable(programs.taken_fd(), 20'000));
  EXPECT_EQ(programs.taken(), std::vector<std::uint32_t>{0});
  EXPECT_EQ(hear(up_.get(), 14), "something else");
  EXPECT_FALSE(programs.give_back(0, 13)) << "not all that was passed has been dealt with";
  EXPECT_TRUE(programs.give_back(0, 14));
  say(line_.client, msg(1, "x"));
  EXPECT_EQ(hear(backend.client.get(), 31), msg(1, "x"));
}

TEST_F(ProgramsTest, WhatComesBehindItStaysInTheReceiveQueue) {
  Programs programs({.service = Service::forward});
  begin(programs, 0);
  say(line_.client, "something else");
  taken(programs, 14);
  say(line_.client, "more");
  while (programs.up(0).flow != Programs::Flow::ended) ::usleep(1000);
  EXPECT_FALSE(programs.give_back(0, 14));
  EXPECT_TRUE(programs.stop(0, line_.server.get()));
  EXPECT_EQ(hear(line_.server.get(), 4), "more");
  // An ordinary socket now, which can be given to them again.
  ASSERT_TRUE(programs.add_client(0, line_.server.get(), 0));
  say(line_.client, "again");
  taken(programs, 5);
  EXPECT_EQ(hear(up_.get(), 19), "something elseagain");
}

/// However long those take who send it on, or give it back: nobody does here.
TEST_F(ProgramsTest, OfAClientThatDoesNotReadNoMoreIsTakenThanIsSaid) {
  Programs programs({.service = Service::echo, .handed_up_bytes = 1 << 20});
  line_ = connected(&programs);
  ASSERT_TRUE(line_.server);
  begin(programs, 4096);
  const int flags = ::fcntl(line_.client.get(), F_GETFL);
  ASSERT_EQ(::fcntl(line_.client.get(), F_SETFL, flags | O_NONBLOCK), 0);
  const std::string much(1 << 20, 'x');
  std::size_t sent = 0;
  pollfd p{.fd = line_.client.get(), .events = POLLOUT, .revents = 0};
  while (::poll(&p, 1, 1000) == 1 && sent < 256U << 20) {
    const ssize_t n = ::send(line_.client.get(), much.data(), much.size(), 0);
    if (n > 0) sent += static_cast<std::size_t>(n);
  }
  EXPECT_NE(programs.up(0).flow, Programs::Flow::runs);
  EXPECT_LT(programs.up(0).passed, 2U << 20);
  EXPECT_LT(sent, 32U << 20) << "and the buffers of both sides";
}

TEST_F(ProgramsTest, WhatTheLoaderSendsItselfDoesNotPassForWhatWasGiven) {
  Programs programs({.service = Service::echo});
  const int small = 4096;
  ::setsockopt(line_.server.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  ::setsockopt(line_.client.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  begin(programs, 4096);
  const std::string own(1000, 'o'), given(40 * 4096, 'g');
  for (int i = 0; i < 400; ++i) {
    say(line_.server, own);
    programs.note_sent(0, own.size());
    ASSERT_EQ(hear(line_.client.get(), own.size()), own);
  }
  say(line_.client, given);
  while (programs.seen(0) < given.size()) ::usleep(1000);
  EXPECT_GT(programs.waiting_on_client(0, line_.server.get()), 0U) << "nobody reads";
  EXPECT_EQ(hear(line_.client.get(), given.size()), given);
  while (programs.waiting_on_client(0, line_.server.get()) != 0) ::usleep(1000);
}

TEST_F(ProgramsTest, ABackendThatIsFullStopsThoseWhoSend) {
  Programs programs({.service = Service::forward, .waiting_frames = 20});
  const Connection backend = connected();
  const int small = 4096;
  ASSERT_EQ(::setsockopt(backend.server.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  ASSERT_TRUE(programs.add_backend(1, backend.server.get()));
  ASSERT_TRUE(programs.route(1, 1));
  begin(programs, 0);
  const std::string message = msg(1, std::string(60'000, 'x'));
  std::size_t sent = 0;
  while (programs.up(0).flow == Programs::Flow::runs) {
    const ssize_t n = ::send(line_.client.get(), message.data() + sent % message.size(),
                             message.size() - sent % message.size(), 0);
    ASSERT_GT(n, 0);
    sent += static_cast<std::size_t>(n);
  }
  EXPECT_TRUE(programs.is_congested(0));
  EXPECT_EQ(taken(programs, message.size()).passed, message.size()) << "one, and no more";
  const std::string up = hear(up_.get(), message.size());
  EXPECT_EQ(up, message);
  const auto frame = std::as_bytes(std::span(up));
  EXPECT_EQ(programs.detour(1, frame), Detour::full);
  std::thread sink([&] {
    std::array<char, 65536> part;
    while (::recv(backend.client.get(), part.data(), part.size(), 0) > 0) {
    }
  });
  while (programs.detour(1, frame) == Detour::full) ::usleep(1000);
  while (programs.waiting(1, backend.server.get()) != 0) ::usleep(1000);
  ::shutdown(backend.server.get(), SHUT_RDWR);
  sink.join();
}

TEST_F(ProgramsTest, NoDetourToABackendThatIsGone) {
  Programs programs({.service = Service::forward});
  EXPECT_EQ(programs.detour(3, std::as_bytes(std::span("abc"))), Detour::gone);
}

TEST_F(ProgramsTest, AConnectionThatTheClientHasEndedIsRefused) {
  Programs programs({.service = Service::echo});
  ::shutdown(line_.client.get(), SHUT_WR);
  ASSERT_TRUE(is_readable(line_.server.get(), 20'000));
  EXPECT_FALSE(programs.add_client(0, line_.server.get(), 4));
}

}  // namespace
}  // namespace stackrig::in_kernel
