// SPDX-License-Identifier: Apache-2.0
// A peer that dies by SIGKILL, and one that writes what it should not into its region.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>

#include "nmio/shm/queue.h"
#include "nmio/test_frames.h"

namespace stackrig::nmio::shm {

/// Reaches into a client's queue for the region that it shares.
struct HostilePeer {
  static Session& session(Queue& q) { return *static_cast<ShmQueue&>(q).session_; }
  static Descriptor* ring(Queue& q) {
    return session(q).own_layout.ring(session(q).own.base(), 0, 0);
  }
  static std::atomic<std::uint32_t>& produced(Queue& q) {
    return session(q).own_layout.produced(session(q).own.base(), 0, 0)->value;
  }
  static std::atomic<std::uint32_t>& consumed(Queue& q) {
    return session(q).own_layout.consumed(session(q).own.base(), 0, 0)->value;
  }
};

namespace {

using namespace test;

struct Hostile : ::testing::Test {
  Hostile() {
    const std::string name = "hostile-" + std::to_string(getpid()) + "-" +
                             ::testing::UnitTest::GetInstance()->current_test_info()->name();
    server = Port::open("shm:" + name + "?side=server&pages=plain&ring=64&chunks=256");
    client = Port::open("shm:" + name + "?side=client&pages=plain&ring=64");
    while (receive_all(s()).empty()) {
      send_frame(c(), Bytes(60));
      c().reap();
    }
    while (c().memory().free_count() != c().memory().total_count()) {
      receive_all(s());
      c().reap();
    }
    s().counters() = {};
    at = HostilePeer::produced(c());
  }
  Queue& s() { return server->queue(0); }
  Queue& c() { return client->queue(0); }

  /// Writes one descriptor and publishes it.
  void write(std::uint64_t offset, std::uint32_t len, std::uint16_t flags = 0,
             std::uint16_t segment = 0, std::uint8_t l4 = 0, std::uint8_t header = 0) {
    TxPacket p = {
        .len = len, .flags = flags, .segment_size = segment, .l4_offset = l4, .header_len = header};
    HostilePeer::ring(c())[at++ & 63] = Descriptor::make(offset, p, 0);
    HostilePeer::produced(c()).store(at, std::memory_order_release);
  }
  std::unique_ptr<Port> server;
  std::unique_ptr<Port> client;
  std::uint32_t at = 0;
};

TEST_F(Hostile, DescriptorsThatReachOutsideAreRefused) {
  const std::uint64_t size = c().memory().mapped_bytes();
  write(size, 64);
  write(size - 63, 64);
  write(size + 1, 64);
  write(Descriptor::kMaxOffset, 1500);
  write(Descriptor::kMaxOffset, Descriptor::kMaxLength);
  write(0, Descriptor::kMaxLength);
  write(0, 1515);
  write(0, 13);
  write(0, 0);
  EXPECT_TRUE(receive_all(s()).empty());
  EXPECT_EQ(s().counters().rx_dropped, 9U);
  write(size - 64, 64);  // the last bytes that it may name
  EXPECT_EQ(receive_all(s()).size(), 1U);
  EXPECT_EQ(s().memory().free_count(), 256U);
}

TEST_F(Hostile, PacketsOfPartsThatReachOutsideAreRefused) {
  const std::uint64_t size = c().memory().mapped_bytes();
  write(0, 100, TxPacket::kMore);
  write(size, 100);
  write(0, Descriptor::kMaxLength, TxPacket::kMore);
  write(0, 100);
  EXPECT_TRUE(receive_all(s()).empty());
  EXPECT_EQ(s().counters().rx_dropped, 2U);
  EXPECT_EQ(s().memory().free_count(), 256U);
}

TEST_F(Hostile, APacketWithoutEndDoesNotHoldTheRing) {
  for (unsigned i = 0; i < 64; ++i) write(0, 100, TxPacket::kMore);
  EXPECT_TRUE(receive_all(s()).empty());
  EXPECT_EQ(s().counters().rx_dropped, 1U);
  write(0, 64);
  EXPECT_EQ(receive_all(s()).size(), 1U);
}

TEST_F(Hostile, SegmentsThatCannotBeAreRefused) {
  const Bytes good = make_frame({.payload = 1400, .tcp = true});
  std::memcpy(c().memory().data(0), good.data(), good.size());
  const auto len = static_cast<std::uint32_t>(good.size());
  write(0, len, TxPacket::kSegment, 0, 34, 54);
  write(0, len, TxPacket::kSegment, 65535, 34, 54);
  write(0, len, TxPacket::kSegment, 500, 0, 54);
  write(0, len, TxPacket::kSegment, 500, 255, 255);
  write(0, len, TxPacket::kSegment, 500, 34, 0);
  write(0, 54, TxPacket::kSegment, 500, 34, 54);
  write(0, 10, TxPacket::kSegment, 500, 34, 54);
  EXPECT_TRUE(receive_all(s()).empty());
  EXPECT_EQ(s().counters().rx_dropped, 7U);
  write(0, len, TxPacket::kSegment, 500, 34, 54);
  EXPECT_EQ(receive_all(s()).size(), 3U);
}

TEST_F(Hostile, AnIndexAheadByMoreThanARingEndsTheSession) {
  for (unsigned i = 0; i < 10; ++i) send_frame(s(), Bytes(60));
  EXPECT_EQ(s().memory().free_count(), 246U);
  HostilePeer::produced(c()).store(at + 65);
  while (s().memory().free_count() != 256) {  // they come back when the link goes down
    EXPECT_TRUE(receive_all(s()).empty());
    s().reap();
  }
}

TEST_F(Hostile, MoreCompletionsThanFramesEndTheSessionAndGiveNothingTwice) {
  send_frame(s(), Bytes(60));
  HostilePeer::consumed(c()).fetch_add(40);
  s().reap();
  EXPECT_EQ(s().memory().free_count(), 255U);
  while (s().memory().free_count() != 256) {
    receive_all(s());
    s().reap();
  }
}

TEST_F(Hostile, ThePeersMemoryCannotBeWritten) {
  Session& at_server = HostilePeer::session(s());
  for (const std::byte* p : {at_server.theirs.base(), at_server.peer_memory[0].base()}) {
    // The kernel tries to write for us.
    int pipe_fds[2];
    ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
    ASSERT_EQ(::write(pipe_fds[1], "x", 1), 1);
    EXPECT_EQ(::read(pipe_fds[0], const_cast<std::byte*>(p), 1), -1);
    EXPECT_EQ(errno, EFAULT);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    const auto page = reinterpret_cast<std::uintptr_t>(p) & ~std::uintptr_t{4095};
    EXPECT_NE(mprotect(reinterpret_cast<void*>(page), 4096, PROT_READ | PROT_WRITE), 0);
  }
}

/// Connects to a server by hand, says `bytes` and hangs up.
void say(const std::string& name, const void* bytes, std::size_t n) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  const std::string full = "stackrig-shm:" + name;
  std::memcpy(a.sun_path + 1, full.data(), full.size());
  const auto len = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + full.size());
  ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&a), len), 0);
  if (n != 0) {
    EXPECT_EQ(send(fd, bytes, n, MSG_NOSIGNAL), static_cast<ssize_t>(n));
  }
  // Until the server has had enough of it: it hangs up, or waits for what never comes.
  Hello answer;
  while (recv(fd, &answer, sizeof answer, 0) > 0 && n != 0) {
  }
  close(fd);
}

TEST(Handshake, WhoDoesNotSpeakItIsHungUpOnAndTheNextIsServed) {
  const std::string name = "handshake-" + std::to_string(getpid());
  auto server = Port::open("shm:" + name + "?side=server&pages=plain&queues=64&chunks=16&ring=16");
  const auto hello = [](auto change) {
    Hello h = {.side = Side::client, .memory_bytes = 4096};
    change(h);
    return h;
  };
  const Hello wrong[] = {
      hello([](Hello& h) { h.magic[0] = 'X'; }),
      hello([](Hello& h) { h.side = Side::server; }),
      hello([](Hello& h) { h.queues = 0; }),
      hello([](Hello& h) { h.queues = 65; }),
      hello([](Hello& h) { h.ring = 1000; }),
      hello([](Hello& h) { h.ring = 1U << 31; }),
      hello([](Hello& h) { h.memory_bytes = ~0ULL; }),
      hello([](Hello& h) { h.queues = 64, h.ring = Hello::kMaxRing; }),  // 4 GiB of rings
  };
  for (const Hello& h : wrong) say(name, &h, sizeof h);
  say(name, "GET / HTTP/1.0", 14);
  say(name, nullptr, 0);
  auto client = Port::open("shm:" + name + "?side=client&pages=plain&chunks=16&ring=16");
}

/// A client in a process of its own, that waits for a byte, connects, and sends until it is killed.
struct Client {
  explicit Client(const std::string& name) {
    if (pipe2(go, O_CLOEXEC) != 0) abort();
    pid = fork();
    if (pid != 0) return;
    char byte = 0;
    if (read(go[0], &byte, 1) != 1) _exit(1);
    auto port = Port::open("shm:" + name + "?side=client&pages=plain");
    for (;;) {
      send_frame(port->queue(0), Bytes(60));
      port->queue(0).reap();
    }
  }
  ~Client() {
    close(go[0]);
    close(go[1]);
  }
  void start() const { (void)!write(go[1], "x", 1); }
  void kill_it() const {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  int go[2] = {-1, -1};
  pid_t pid = -1;
};

TEST(Killed, AClientKilledAndAnotherConnectedTheServerGoesOn) {
  const std::string name = "killed-" + std::to_string(getpid());
  const Client first(name);  // forked before this process has threads
  const Client second(name);
  auto server = Port::open("shm:" + name + "?side=server&pages=plain&ring=64&chunks=256");
  Queue& s = server->queue(0);
  for (const Client* client : {&first, &second}) {
    client->start();
    while (receive_all(s).empty()) {
    }
    for (unsigned i = 0; i < 40; ++i) send_frame(s, Bytes(60));
    EXPECT_LT(s.memory().free_count(), 256U);
    client->kill_it();
    while (s.memory().free_count() != 256) {  // all of its in-flight buffers come back
      receive_all(s);
      s.reap();
    }
  }
}

}  // namespace
}  // namespace stackrig::nmio::shm
