// SPDX-License-Identifier: Apache-2.0
// The program's parts and rigload, on threads of their own over the soft NIC: every byte is
// compared by the other side. The thread sanitizer runs this too.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "echo/echo.h"
#include "instance.h"
#include "nmio/clock.h"
#include "runtime/counters.h"
#include "runtime/ports.h"
#include "runtime/threads.h"
#include "services.h"
#include "tcpip/test_support.h"

namespace stackrig::rtc {
namespace {

constexpr unsigned kQueues = 2, kConnections = 24;
constexpr wire::Ipv4Address kServerIp{0x0a4d0002}, kClientIp{0x0a4d0101};
constexpr std::uint32_t kSize = 3000, kBuffers = 20;

/// Connections that all send buffers at once and read what comes back.
class Clients {
 public:
  Clients(nmio::Port& port, nmio::TxBatch& batch, std::atomic<bool>& stop) : stop_(stop) {
    nmio::Queue& queue = port.queue(0);
    tcpip::Config c;
    c.address = {kClientIp, 16};
    c.mac = runtime::mac_of(port);
    c.offload = queue.offload();
    c.mtu = port.mtu();
    c.secret[0] = 7;
    stack_ = std::make_unique<tcpip::Stack>(c, queue.memory(), batch);
  }
  void on_burst(std::span<const nmio::RxPacket> burst, Time now) { stack_->input(burst, now); }
  void on_idle(Time now) {
    if (opened_ < kConnections) open(now);
    stack_->run_timers(now);
    stack_->poll_output(now);
    if (begin_ == 0) begin_ = now;
    if (whole() == kConnections || now - begin_ > 60 * nmio::kSecond) stop_.store(true);
  }
  [[nodiscard]] Time next_deadline() const {
    return opened_ < kConnections ? 0 : stack_->next_deadline();
  }
  /// Connections that have all that they sent.
  [[nodiscard]] unsigned whole() const {
    unsigned n = 0;
    for (unsigned i = 0; i < opened_; ++i) n += ones_[i].app.received == ones_[i].sent ? 1 : 0;
    return n;
  }

 private:
  struct One {
    tcpip::testing::App app;
    std::string sent = tcpip::testing::pattern(std::size_t{kSize} * kBuffers);
    std::unique_ptr<tcpip::testing::StringOwner> owner;
  };
  void open(Time now) {
    One& one = ones_[opened_++];
    const auto word = echo::size_word(kSize);
    one.owner = std::make_unique<tcpip::testing::StringOwner>(
        std::string(reinterpret_cast<const char*>(word.data()), word.size()) + one.sent);
    one.app.tcb = stack_->tcp_new();
    tcpip::testing::set_callbacks(*stack_, *one.app.tcb, one.app);
    stack_->tcp_connect(*one.app.tcb, {kServerIp, echo::kPort}, now);
    stack_->tcp_write(*one.app.tcb, *one.owner, 0, one.owner->size(), now);
  }

  std::atomic<bool>& stop_;
  std::unique_ptr<tcpip::Stack> stack_;
  std::array<One, kConnections> ones_;
  unsigned opened_ = 0;
  Time begin_ = 0;
};

TEST(Queues, EachEchoesFromAThreadOfItsOwn) {
  const std::string link = "shm:rtc-queues-" + std::to_string(::getpid());
  Settings settings;
  settings.service.tcp_port = echo::kPort;
  settings.service.connections = 64;
  settings.service.backends = 0;
  settings.send_memory_mib = 4;
  std::vector<runtime::OpenPort> ports;
  ports.push_back(
      {nmio::Port::open(link + "?side=server&queues=2&ring=256&chunks=4096"), {kServerIp, 16}});
  const auto client_port = nmio::Port::open(link + "?side=client&ring=256&chunks=4096");
  const auto page = runtime::make_page("", "rtc", "test", kQueues);
  runtime::Options options;
  std::atomic<bool> stop_server{false}, stop_clients{false}, ready{false};
  std::thread server([&] {
    runtime::run_threads<Instance>(
        options, ports, *page, stop_server,
        [&](runtime::QueuePlace& place) {
          return std::make_unique<Instance>(place, service_kind("echo"), settings);
        },
        [&] { ready.store(true); });
  });
  while (!ready.load()) std::this_thread::yield();
  nmio::TxBatch batch{};
  nmio::LoopCounters counters;
  Clients clients(*client_port, batch, stop_clients);
  nmio::run(client_port->queue(0), batch, clients, options.loop, counters, stop_clients);
  stop_server.store(true);
  server.join();
  EXPECT_EQ(clients.whole(), kConnections);
}

}  // namespace
}  // namespace stackrig::rtc
