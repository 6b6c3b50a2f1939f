// SPDX-License-Identifier: Apache-2.0
// The kernel's TCP at the other end of a veth pair: bulk both ways, thousands of short connections,
// both as server and as client.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "nmio/afxdp/test_wire.h"
#include "nmio/clock.h"
#include "nmio/loop.h"
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

constexpr std::uint32_t kStackIp = 0x0a63000a;   // 10.99.0.10, which the kernel does not own
constexpr std::uint32_t kKernelIp = 0x0a630002;  // 10.99.0.2, VethWire's other end
constexpr std::size_t kBulk = std::size_t{8} << 20;

std::uint64_t hash_of(std::string_view text, std::uint64_t h = 1469598103934665603u) {
  for (const char ch : text) h = (h ^ static_cast<unsigned char>(ch)) * 1099511628211u;
  return h;
}

/// A stack on an afxdp port, with its loop on a thread of its own.
class Host {
 public:
  explicit Host(nmio::test::VethWire& wire, const std::function<void(Config&)>& change = {}) {
    port_ = wire.open_a("address=10.99.0.10&chunks=8192");
    Config c;
    c.address = {{kStackIp}, 24};
    std::copy(port_->mac().begin(), port_->mac().end(), c.mac.bytes.begin());
    c.offload = port_->queue(0).offload();
    c.receive_window = 1 << 20;
    c.secret[0] = 11;
    if (change) change(c);
    stack = std::make_unique<Stack>(c, port_->queue(0).memory(), batch_);
    stack->tcpip_init(nmio::Clock::now());
  }
  ~Host() { finish(); }
  void start() {
    thread_ = std::thread([this] {
      nmio::LoopConfig lc;
      lc.tx_interval = 0;
      nmio::LoopCounters counters;
      nmio::run(port_->queue(0), batch_, *this, lc, counters, stop_);
    });
  }
  void finish() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // nmio::LoopApp
  void on_burst(std::span<const nmio::RxPacket> burst, Time t) {
    now = t;
    stack->input(burst, t);
  }
  void on_idle(Time t) {
    now = t;
    if (idle) idle();
    stack->run_timers(t);
    stack->poll_output(t);
  }
  Time next_deadline() const { return idle ? now + kMillisecond : stack->next_deadline(); }

  std::unique_ptr<Stack> stack;
  std::function<void()> idle;
  Time now = 0;

 private:
  std::unique_ptr<nmio::Port> port_;
  nmio::TxBatch batch_{};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

/// "G<bytes>\n": that many bytes of the text, then FIN. "S<bytes>\n" and bytes: their hash, then
/// FIN.
class Service {
 public:
  Service(Host& host, const std::string& text)
      : host_(host), owner_(text), sums_(std::string(64, ' ')) {
    Stack& s = *host.stack;
    Tcb* l = s.tcp_new();
    EXPECT_EQ(s.tcp_bind(*l, {}, 80), Result::ok);
    s.tcp_app(*l, this);
    s.tcp_accept(*l, [](void*, Tcb&) { return true; });
    s.tcp_recv(*l, [](void* p, Tcb& t, std::span<const std::byte> b) {
      return static_cast<Service*>(p)->on_bytes(
          t, {reinterpret_cast<const char*>(b.data()), b.size()});
    });
    s.tcp_remote_closed(*l, [](void* p, Tcb& t) {
      auto& self = *static_cast<Service*>(p);
      if (!fin_queued(t)) self.host_.stack->tcp_close(t, self.host_.now);
    });
    EXPECT_EQ(s.tcp_listen(*l), Result::ok);
  }
  std::atomic<std::uint64_t> sink_hash{0}, sink_bytes{0};

 private:
  std::size_t on_bytes(Tcb& t, std::string_view text) {
    Stack& s = *host_.stack;
    std::size_t taken = 0;
    if (user(t) == 0) {
      const std::size_t end = text.find('\n');
      if (end == std::string_view::npos) return 0;
      taken = end + 1;
      const auto n = std::strtoull(std::string(text.substr(1, end - 1)).c_str(), nullptr, 10);
      if (text[0] == 'G') {
        EXPECT_EQ(s.tcp_write(t, owner_, 0, n, host_.now), Result::ok);
        s.tcp_close(t, host_.now);
        return text.size();
      }
      user(t) = n + 1;
      sink_hash = 1469598103934665603u;
      sink_bytes = 0;
      text.remove_prefix(taken);
    }
    sink_hash = hash_of(text, sink_hash);
    sink_bytes += text.size();
    if (sink_bytes + 1 == user(t)) s.tcp_close(t, host_.now);
    return taken + text.size();
  }
  Host& host_;
  StringOwner owner_;
  StringOwner sums_;
};

/// A kernel socket of the second namespace.
class Socket {
 public:
  explicit Socket(nmio::test::VethWire& wire)
      : fd_(wire.in_b([] { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); })) {
    const timeval patience{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int fd() const { return fd_; }
  bool connect_to_stack() const {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(80);
    a.sin_addr.s_addr = htonl(kStackIp);
    return connect(fd_, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0;
  }
  bool send_all(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t n = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  /// Until the peer's FIN; nothing where it ended otherwise.
  [[nodiscard]] std::optional<std::string> read_all() const {
    std::string all;
    std::vector<char> buffer(65536);
    for (;;) {
      const ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
      if (n == 0) return all;
      if (n < 0) return std::nullopt;
      all.append(buffer.data(), static_cast<std::size_t>(n));
    }
  }

 private:
  int fd_;
};

std::optional<std::string> get(nmio::test::VethWire& wire, std::size_t bytes) {
  const Socket s(wire);
  if (!s.connect_to_stack()) return std::nullopt;
  if (!s.send_all("G" + std::to_string(bytes) + "\n")) return std::nullopt;
  return s.read_all();
}

TEST(AgainstTheKernel, BulkDownArrivesWhole) {
  SKIP_UNLESS_ROOT();
  nmio::test::VethWire wire;
  Host host(wire);
  const std::string text = pattern(kBulk);
  Service service(host, text);
  host.start();
  const auto got = get(wire, kBulk);
  ASSERT_TRUE(got) << "the connection ended early: " << std::strerror(errno);
  EXPECT_TRUE(*got == text) << got->size() << " bytes";
}

TEST(AgainstTheKernel, BulkUpArrivesWhole) {
  SKIP_UNLESS_ROOT();
  nmio::test::VethWire wire;
  Host host(wire);
  const std::string text = pattern(kBulk);
  Service service(host, text);
  host.start();
  const Socket s(wire);
  ASSERT_TRUE(s.connect_to_stack());
  ASSERT_TRUE(s.send_all("S" + std::to_string(kBulk) + "\n"));
  ASSERT_TRUE(s.send_all(text));
  EXPECT_TRUE(s.read_all());
  EXPECT_EQ(service.sink_bytes, kBulk);
  EXPECT_EQ(service.sink_hash, hash_of(text));
}

TEST(AgainstTheKernel, ThousandsOfShortConnections) {
  SKIP_UNLESS_ROOT();
  nmio::test::VethWire wire;
  Host host(wire);
  const std::string text = pattern(70000);
  Service service(host, text);
  host.start();
  for (int i = 0; i < 3000; ++i) {
    const std::size_t n = i % 10 == 0 ? 70000 : static_cast<std::size_t>(1 + i % 3000);
    const auto got = get(wire, n);
    ASSERT_TRUE(got) << "connection " << i << ": " << std::strerror(errno);
    ASSERT_TRUE(*got == text.substr(0, n)) << "connection " << i;
  }
  host.finish();
  EXPECT_EQ(host.stack->counters().connections_accepted, 3000u);
  EXPECT_EQ(host.stack->counters().rst_in, 0u);
}

TEST(AgainstTheKernel, AFullBacklogIsServedByCookies) {
  SKIP_UNLESS_ROOT();
  nmio::test::VethWire wire;
  Host host(wire, [](Config& c) { c.max_backlog = 0; });
  const std::string text = pattern(70000);
  Service service(host, text);
  host.start();
  for (int i = 0; i < 200; ++i) {
    const auto got = get(wire, 70000);
    ASSERT_TRUE(got) << "connection " << i << ": " << std::strerror(errno);
    ASSERT_TRUE(*got == text);
  }
  host.finish();
  EXPECT_EQ(host.stack->counters().syn_cookies_good, 200u);
}

TEST(AgainstTheKernel, OursAsTheClient) {
  SKIP_UNLESS_ROOT();
  constexpr unsigned kConnections = 500;
  nmio::test::VethWire wire;
  const Socket listener(wire);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(9000);
  a.sin_addr.s_addr = htonl(kKernelIp);
  ASSERT_EQ(bind(listener.fd(), reinterpret_cast<const sockaddr*>(&a), sizeof a), 0);
  ASSERT_EQ(listen(listener.fd(), 64), 0);

  // The kernel's server: reads to the FIN, answers with what it read.
  std::thread server([&] {
    for (unsigned i = 0; i < kConnections; ++i) {
      const Socket peer(accept(listener.fd(), nullptr, nullptr));
      if (peer.fd() < 0) return;
      const auto text = peer.read_all();
      if (!text || !peer.send_all(*text)) return;
    }
  });

  struct Client {
    Host* host = nullptr;
    std::unique_ptr<StringOwner> owner;
    std::string received;
    unsigned started = 0, finished = 0, wrong = 0;
    bool open = false;
  };
  Client client;
  std::atomic<bool> done{false};
  Host host(wire);
  client.host = &host;
  host.idle = [&] {
    if (client.open || client.finished == kConnections) {
      done = client.finished == kConnections;
      return;
    }
    Stack& s = *host.stack;
    Tcb* t = s.tcp_new();
    ASSERT_NE(t, nullptr);
    s.tcp_bind(*t, {}, 0);
    s.tcp_app(*t, &client);
    client.owner = std::make_unique<StringOwner>(
        pattern(client.started % 50 == 0 ? 500000 : 1 + client.started * 7, client.started));
    ++client.started;
    client.received.clear();
    s.tcp_connected(*t, [](void* p, Tcb& tcb) {
      auto& c = *static_cast<Client*>(p);
      c.host->stack->tcp_write(tcb, *c.owner, 0, c.owner->size(), c.host->now);
      c.host->stack->tcp_close(tcb, c.host->now);
    });
    s.tcp_recv(*t, [](void* p, Tcb&, std::span<const std::byte> b) {
      auto& c = *static_cast<Client*>(p);
      c.received.append(reinterpret_cast<const char*>(b.data()), b.size());
      return b.size();
    });
    s.tcp_closed(*t, [](void* p, Tcb&, Ended why) {
      auto& c = *static_cast<Client*>(p);
      if (why != Ended::normally || c.received != c.owner->text()) ++c.wrong;
      ++c.finished;
      c.open = false;
    });
    client.open = s.tcp_connect(*t, {{kKernelIp}, 9000}, host.now) == Result::ok;
  };
  host.start();
  for (int i = 0; i < 6000 && !done; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  host.finish();
  shutdown(listener.fd(), SHUT_RDWR);
  server.join();
  EXPECT_EQ(client.finished, kConnections);
  EXPECT_EQ(client.wrong, 0u);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
