// SPDX-License-Identifier: Apache-2.0
// Several queues, a thread each, over the soft NIC: every queue serves, from memory of its own. The
// thread sanitizer runs this too: nothing is shared.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>

#include "instance.h"
#include "runtime/counters.h"
#include "runtime/ports.h"
#include "runtime/threads.h"
#include "test_world.h"

namespace stackrig::sandstorm::testing {
namespace {

constexpr unsigned kQueues = 2, kConnections = 64;
constexpr const char* kRequest = "GET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Opens connections one after the other, a request on each, and checks what comes back.
class Clients {
 public:
  Clients(nmio::Port& port, nmio::TxBatch& batch, const std::string& body, std::atomic<bool>& stop)
      : body_(body), stop_(stop) {
    nmio::Queue& queue = port.queue(0);
    tcpip::Config c;
    c.address = {kClientIp, 16};
    c.mac = runtime::mac_of(port);
    c.offload = queue.offload();
    c.mtu = port.mtu();
    c.secret[0] = 7;
    stack_ = std::make_unique<tcpip::Stack>(c, queue.memory(), batch);
  }
  void on_burst(std::span<const nmio::RxPacket> burst, Time now) {
    now_ = now;
    stack_->input(burst, now);
  }
  void on_idle(Time now) {
    now_ = now;
    if (opened_ < kConnections && opened_ - ended < 8) open(now);
    stack_->run_timers(now);
    stack_->poll_output(now);
    if (ended == kConnections) stop_.store(true);
    if (begin_ == 0) begin_ = now;
    if (now - begin_ > 60 * kSecond) stop_.store(true);
  }
  [[nodiscard]] Time next_deadline() const {
    return opened_ < kConnections ? 0 : stack_->next_deadline();
  }
  unsigned good = 0, ended = 0;

 private:
  struct One {
    Clients* all = nullptr;
    tcpip::testing::StringOwner request{kRequest};
    std::string received;
  };
  void open(Time now) {
    One& one = ones_[opened_];
    one.all = this;
    tcpip::Tcb* t = stack_->tcp_new();
    stack_->tcp_app(*t, &one);
    stack_->tcp_connected(*t, [](void* p, tcpip::Tcb& tcb) {
      One& o = *static_cast<One*>(p);
      o.all->stack_->tcp_write(tcb, o.request, 0, o.request.size(), o.all->now_);
    });
    stack_->tcp_recv(*t, [](void* p, tcpip::Tcb&, std::span<const std::byte> bytes) {
      static_cast<One*>(p)->received.append(reinterpret_cast<const char*>(bytes.data()),
                                            bytes.size());
      return bytes.size();
    });
    stack_->tcp_remote_closed(*t, [](void* p, tcpip::Tcb& tcb) {
      One& o = *static_cast<One*>(p);
      o.all->stack_->tcp_close(tcb, o.all->now_);
    });
    stack_->tcp_closed(*t, [](void* p, tcpip::Tcb&, tcpip::Ended) {
      One& o = *static_cast<One*>(p);
      ++o.all->ended;
      o.all->good += o.received.ends_with("\r\n\r\n" + o.all->body_) ? 1 : 0;
    });
    if (stack_->tcp_connect(*t, {kServerIp, 80}, now) == tcpip::Result::ok) ++opened_;
  }

  const std::string& body_;
  std::atomic<bool>& stop_;
  std::unique_ptr<tcpip::Stack> stack_;
  std::array<One, kConnections> ones_;
  unsigned opened_ = 0;
  Time now_ = 0, begin_ = 0;
};

class Queues : public ::testing::TestWithParam<tcpip::SendMode> {};

TEST_P(Queues, EachServesItsFlowsFromAThreadOfItsOwn) {
  const std::string link = "shm:queues-" + std::to_string(::getpid());
  const std::string body = pattern(20'000);
  const Site content = site({{"/f", body}});
  Settings settings;
  settings.content.mode = GetParam();

  std::vector<runtime::OpenPort> ports;
  ports.push_back(
      {nmio::Port::open(link + "?side=server&queues=2&ring=256&chunks=2048"), {kServerIp, 16}});
  const auto client_port = nmio::Port::open(link + "?side=client&ring=256&chunks=2048");
  const auto page = runtime::make_page("", "sandstorm", "test", kQueues);
  runtime::Options options;
  std::atomic<bool> stop_server{false}, stop_clients{false}, ready{false};
  std::array<std::uint64_t, kQueues> requests{};  // each written by its thread
  std::array<std::thread::id, kQueues> threads;
  std::thread server([&] {
    runtime::run_threads<Instance>(
        options, ports, *page, stop_server,
        [&](runtime::QueuePlace& place) {
          return std::make_unique<Instance>(place, content, settings);
        },
        [&] { ready.store(true); },
        [&](Instance& instance, runtime::QueuePlace& place) {
          requests[place.index] = instance.counters().requests;
          threads[place.index] = std::this_thread::get_id();
        });
  });
  while (!ready.load()) std::this_thread::yield();
  nmio::TxBatch batch{};
  nmio::LoopCounters counters;
  Clients clients(*client_port, batch, body, stop_clients);
  nmio::run(client_port->queue(0), batch, clients, options.loop, counters, stop_clients);
  stop_server.store(true);
  server.join();
  EXPECT_EQ(clients.good, kConnections);
  EXPECT_NE(threads[0], threads[1]);
  EXPECT_EQ(requests[0] + requests[1], kConnections);
  for (unsigned q = 0; q < kQueues; ++q) EXPECT_GT(requests[q], 0U) << "queue " << q;
}

INSTANTIATE_TEST_SUITE_P(Variants, Queues,
                         ::testing::Values(tcpip::SendMode::precopy, tcpip::SendMode::memcpy),
                         [](const auto& v) {
                           return v.param == tcpip::SendMode::precopy ? "precopy" : "memcpy";
                         });

}  // namespace
}  // namespace stackrig::sandstorm::testing
