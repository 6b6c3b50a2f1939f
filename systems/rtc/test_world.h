// SPDX-License-Identifier: Apache-2.0
// For tests: a service, and its clients and sinks on hosts of their own, joined by a simulated
// network in virtual time.
//
//   World<EchoService> w;
//   Client& c = w.connect();
//   c.send(...);  w.run(nmio::kSecond);  EXPECT_EQ(c.received(), ...);
//   Sink& s = w.sink(5000);              // listens on the sinks' host
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nmio/sim.h"
#include "send_pool.h"
#include "service.h"
#include "tcpip/test_support.h"

namespace stackrig::rtc::testing {

using nmio::kMillisecond;
using nmio::kSecond;
using tcpip::testing::pattern;

inline constexpr wire::Ipv4Address kServerIp{0x0a4d0002};  // 10.77.0.2
inline constexpr wire::Ipv4Address kClientIp{0x0a4d0101};  // 10.77.1.1
inline constexpr wire::Ipv4Address kSinkIp{0x0a4d0102};    // 10.77.1.2
inline constexpr std::uint16_t kPort = 7000;

struct WorldConfig {
  nmio::SimPortConfig server_port{.name = "server", .chunks = 8192};
  nmio::SimPortConfig client_port{.name = "client", .chunks = 16384};
  nmio::SimPortConfig sink_port{.name = "sink", .chunks = 16384};
  ServiceConfig service{.tcp_port = kPort,
                        .connections = 64,
                        .backends = 32,
                        .large_messages = 4,
                        .idle_timeout = 600 * kSecond};
  SendPool::Config pool{.blocks = 2048, .writes = 1024};
  tcpip::Config tcp;    ///< the server's
  tcpip::Config peers;  ///< the clients' and the sinks'
  std::uint64_t seed = 1;
};

/// A stack on a port, as an app of the loop.
class Host {
 public:
  Host(nmio::SimNetwork& network, const nmio::SimPortConfig& port_config, wire::Ipv4Address ip,
       tcpip::Config c)
      : net(network), port(network.add_port(port_config)) {
    c.address = {ip, 16};
    std::copy(port.mac().begin(), port.mac().end(), c.mac.bytes.begin());
    c.offload = port.queue(0).offload();
    c.mtu = port.mtu();
    c.secret[0] = ip.value;
    stack = std::make_unique<tcpip::Stack>(c, port.queue(0).memory(), batch);
    stack->tcpip_init(net.now());
  }
  void on_burst(std::span<const nmio::RxPacket> burst, Time now) { stack->input(burst, now); }
  void on_idle(Time now) {
    stack->run_timers(now);
    stack->poll_output(now);
  }
  [[nodiscard]] Time next_deadline() const { return stack->next_deadline(); }
  void set_room() { nmio::set_room(batch, port.queue(0)); }

  nmio::SimNetwork& net;
  nmio::SimPort& port;
  nmio::TxBatch batch{};
  std::unique_ptr<tcpip::Stack> stack;
};

/// One connection, from the peer's side.
class Client {
 public:
  explicit Client(Host& host) : host_(host) {
    app_.on_sent = [this](tcpip::Tcb&, std::uint64_t) { pump(); };
  }
  /// As one write: in as few segments as it fits.
  void send(std::string text) {
    waiting_.push_back(std::make_unique<tcpip::testing::StringOwner>(std::move(text)));
    pump();
  }
  void close() {
    closing_ = true;
    pump();
  }
  void abort() { host_.stack->tcp_abort(*app_.tcb, host_.net.now()); }
  /// Takes nothing more of what arrives: the window closes.
  void stop_reading() { app_.take_at_most = 0; }
  void read_again() {
    app_.take_at_most = ~std::size_t{0};
    host_.stack->tcp_resume(*app_.tcb, host_.net.now());
  }

  [[nodiscard]] const std::string& received() const { return app_.received; }
  [[nodiscard]] bool connected() const { return app_.connected != 0; }
  [[nodiscard]] bool server_closed() const { return app_.remote_closes != 0; }
  [[nodiscard]] bool gone() const { return app_.tcb == nullptr; }
  [[nodiscard]] bool was_reset() const {
    return !app_.ended.empty() && (app_.ended.back() == tcpip::Ended::reset_by_peer ||
                                   app_.ended.back() == tcpip::Ended::refused);
  }
  [[nodiscard]] tcpip::testing::App& app() { return app_; }

 private:
  // Writes what the stack has room for now; the rest when it says that something was acknowledged.
  void pump() {
    const Time now = host_.net.now();
    while (!waiting_.empty() && app_.tcb != nullptr) {
      auto& owner = *waiting_.front();
      if (host_.stack->tcp_write(*app_.tcb, owner, 0, owner.size(), now) != tcpip::Result::ok)
        return;
      written_.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    if (closing_ && app_.tcb != nullptr) host_.stack->tcp_close(*app_.tcb, now);
  }

  Host& host_;
  tcpip::testing::App app_;
  std::deque<std::unique_ptr<tcpip::testing::StringOwner>> waiting_, written_;
  bool closing_ = false;
};

/// A listener; the connections that it was given, in their order. Closes when its peer does.
class Sink {
 public:
  Sink(Host& host, std::uint16_t port) : host_(host) {
    tcpip::Stack& s = *host.stack;
    listener_ = s.tcp_new();
    EXPECT_EQ(s.tcp_bind(*listener_, {}, port), tcpip::Result::ok);
    tcpip::testing::set_callbacks(s, *listener_, app_);
    s.tcp_app(*listener_, this);
    s.tcp_accept(*listener_, [](void* p, tcpip::Tcb& t) {
      static_cast<Sink*>(p)->accept(t);
      return true;
    });
    s.tcp_closed(*listener_, nullptr);
    EXPECT_EQ(s.tcp_listen(*listener_), tcpip::Result::ok);
  }
  void stop_listening() { host_.stack->tcp_abort(*listener_, host_.net.now()); }
  /// Of those to come.
  void read_nothing() { reads_ = false; }

  [[nodiscard]] std::size_t connections() const { return all_.size(); }
  [[nodiscard]] tcpip::testing::App& at(std::size_t i) { return *all_[i]; }
  [[nodiscard]] const std::string& received(std::size_t i = 0) { return all_.at(i)->received; }
  [[nodiscard]] bool told_end(std::size_t i = 0) { return all_.at(i)->remote_closes != 0; }
  void abort(std::size_t i = 0) { host_.stack->tcp_abort(*all_[i]->tcb, host_.net.now()); }
  void stop_reading(std::size_t i = 0) { all_[i]->take_at_most = 0; }
  void read_again(std::size_t i = 0) {
    all_[i]->take_at_most = ~std::size_t{0};
    host_.stack->tcp_resume(*all_[i]->tcb, host_.net.now());
  }

 private:
  void accept(tcpip::Tcb& t) {
    auto& a = *all_.emplace_back(std::make_unique<tcpip::testing::App>());
    a.tcb = &t;
    if (!reads_) a.take_at_most = 0;
    a.on_remote_close = [this](tcpip::Tcb& tcb) { host_.stack->tcp_close(tcb, host_.net.now()); };
    tcpip::testing::set_callbacks(*host_.stack, t, a);
  }

  Host& host_;
  tcpip::Tcb* listener_;
  tcpip::testing::App app_;
  bool reads_ = true;
  std::vector<std::unique_ptr<tcpip::testing::App>> all_;
};

template <class S>
class World {
 public:
  explicit World(WorldConfig config = {})
      : net(config.seed),
        runner(net),
        clients(net, config.client_port, kClientIp, config.peers),
        sinks(net, config.sink_port, kSinkIp, config.peers) {
    config.tcp.max_connections = config.service.connections + config.service.backends + 1 + 64;
    nmio::SimPort& port = net.add_port(config.server_port);
    server_port = &port;
    pool = std::make_unique<SendPool>(port.queue(0).memory(), config.pool);
    tcpip::Config c = config.tcp;
    c.address = {kServerIp, 16};
    std::copy(port.mac().begin(), port.mac().end(), c.mac.bytes.begin());
    c.offload = port.queue(0).offload();
    c.mtu = port.mtu();
    stack = std::make_unique<tcpip::Stack>(c, port.queue(0).memory(), batch);
    stack->tcpip_init(net.now());
    service = std::make_unique<S>(config.service, *stack, *pool, net.now());
    reservable_ = pool->reservable();
    free_chunks_ = port.queue(0).memory().free_count();
    runner.attach(port.queue(0), batch, *service);
    runner.attach(clients.port.queue(0), clients.batch, clients);
    runner.attach(sinks.port.queue(0), sinks.batch, sinks);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Opens a connection and sees it through the handshake, where there is one.
  Client& connect(Time handshake = 10 * kMillisecond) {
    Client& c = *all_.emplace_back(std::make_unique<Client>(clients));
    tcpip::Stack& s = *clients.stack;
    clients.set_room();
    tcpip::Tcb* t = s.tcp_new();
    EXPECT_NE(t, nullptr);
    c.app().tcb = t;
    tcpip::testing::set_callbacks(s, *t, c.app());
    s.tcp_connected(*t, tcpip::testing::connect_fn);
    EXPECT_EQ(s.tcp_connect(*t, {kServerIp, kPort}, net.now()), tcpip::Result::ok);
    if (handshake != 0) run(handshake);
    return c;
  }
  Sink& sink(std::uint16_t port) {
    return *sinks_.emplace_back(std::make_unique<Sink>(sinks, port));
  }
  void run(Time duration) { runner.run_for(duration); }
  void forget_clients() {
    std::erase_if(all_, [](const auto& c) { return c->gone(); });
  }

  /// Nothing is left of any connection: no slot, no block, no chunk.
  void expect_all_home() {
    EXPECT_EQ(service->counters().connections_now, 0U);
    EXPECT_EQ(pool->writes_held(), 0U);
    EXPECT_EQ(pool->free_blocks(), pool->blocks());
    EXPECT_EQ(pool->reservable(), reservable_);
    EXPECT_EQ(server_port->queue(0).memory().free_count(), free_chunks_);
  }

  nmio::SimNetwork net;
  nmio::SimRunner runner;
  Host clients, sinks;
  nmio::SimPort* server_port = nullptr;
  nmio::TxBatch batch{};
  std::unique_ptr<SendPool> pool;
  std::unique_ptr<tcpip::Stack> stack;
  std::unique_ptr<S> service;

 private:
  std::vector<std::unique_ptr<Client>> all_;
  std::vector<std::unique_ptr<Sink>> sinks_;
  std::uint32_t reservable_ = 0;
  std::uint32_t free_chunks_ = 0;
};

}  // namespace stackrig::rtc::testing
