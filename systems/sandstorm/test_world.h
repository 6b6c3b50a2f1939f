// SPDX-License-Identifier: Apache-2.0
// For tests: a Sandstorm and its clients, joined by a simulated network in virtual time.
//
//   World w(site({{"/f", "hello\n"}}));
//   Client& c = w.connect();
//   c.send("GET /f HTTP/1.1\r\nHost: a\r\n\r\n");
//   w.run(nmio::kSecond);
//   EXPECT_EQ(c.received(), ...);
//
// The wall clock is the network's: it shows kEpoch when the network's time is 0.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "library.h"
#include "nmio/sim.h"
#include "server.h"
#include "site.h"
#include "tcpip/test_support.h"

namespace stackrig::sandstorm::testing {

using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kSecond;

inline constexpr std::uint64_t kEpoch = 784111776;  ///< "Sun, 06 Nov 1994 08:49:36 GMT" at time 0
inline constexpr wire::Ipv4Address kServerIp{0x0a4d0002};  // 10.77.0.2
inline constexpr wire::Ipv4Address kClientIp{0x0a4d0101};  // 10.77.1.1

inline Site site(const std::vector<std::pair<std::string, std::string>>& files) {
  Site s;
  for (const auto& [path, text] : files) {
    Resource r;
    r.path = path;
    r.content_type = content_type_of(path);
    r.modified = 784111777;
    std::ranges::transform(text, std::back_inserter(r.body), [](char c) { return std::byte(c); });
    s.body_bytes += text.size();
    s.resources.push_back(std::move(r));
  }
  return s;
}

/// Text that tells every position: no two windows of it are alike.
inline std::string pattern(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i)
    text[i] = static_cast<char>('!' + (i * 31 + i / 94 * 7) % 94);
  return text;
}

struct WorldConfig {
  tcpip::SendMode mode = tcpip::SendMode::precopy;
  nmio::SimPortConfig server_port{.name = "server", .chunks = 4096};
  nmio::SimPortConfig client_port{.name = "client", .chunks = 4096};
  ServerConfig server;
  tcpip::Config tcp;         ///< the server's
  tcpip::Config client_tcp;  ///< the clients'
  std::uint64_t seed = 1;
};

/// One connection from the client's side.
class Client {
 public:
  Client(tcpip::Stack& stack, nmio::SimNetwork& net) : stack_(stack), net_(net) {
    app_.on_sent = [this](tcpip::Tcb&, std::uint64_t) { pump(); };
  }
  void send(std::string text) {
    waiting_.push_back(std::make_unique<tcpip::testing::StringOwner>(std::move(text)));
    pump();
  }
  void close() { stack_.tcp_close(*app_.tcb, net_.now()); }
  void abort() { stack_.tcp_abort(*app_.tcb, net_.now()); }
  /// Takes nothing more of what arrives: the window closes.
  void stop_reading() { app_.take_at_most = 0; }
  void read_again() {
    app_.take_at_most = ~std::size_t{0};
    stack_.tcp_resume(*app_.tcb, net_.now());
  }

  [[nodiscard]] const std::string& received() const { return app_.received; }
  [[nodiscard]] bool connected() const { return app_.connected != 0; }
  [[nodiscard]] bool server_closed() const { return app_.remote_closes != 0; }
  [[nodiscard]] bool gone() const { return app_.tcb == nullptr; }
  [[nodiscard]] bool was_reset() const {
    return !app_.ended.empty() && (app_.ended.back() == tcpip::Ended::reset_by_peer ||
                                   app_.ended.back() == tcpip::Ended::refused);
  }

 private:
  friend class World;
  // Writes what the stack has room for now; the rest when it says that something was acknowledged.
  void pump() {
    while (!waiting_.empty() && app_.tcb != nullptr) {
      auto& owner = *waiting_.front();
      if (stack_.tcp_write(*app_.tcb, owner, 0, owner.size(), net_.now()) != tcpip::Result::ok)
        return;
      written_.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
  }

  tcpip::Stack& stack_;
  nmio::SimNetwork& net_;
  tcpip::testing::App app_;
  std::deque<std::unique_ptr<tcpip::testing::StringOwner>> waiting_, written_;
};

/// The stack that the clients share, as an app of the loop.
struct ClientHost {
  void on_burst(std::span<const nmio::RxPacket> burst, Time now) { stack->input(burst, now); }
  void on_idle(Time now) {
    stack->run_timers(now);
    stack->poll_output(now);
  }
  [[nodiscard]] Time next_deadline() const { return stack->next_deadline(); }
  std::unique_ptr<tcpip::Stack> stack;
};

class World {
 public:
  explicit World(const Site& content, WorldConfig config = {})
      : net(config.seed),
        server_port(net.add_port(config.server_port)),
        client_port(net.add_port(config.client_port)),
        runner(net) {
    now_of() = &net;
    memory = &server_port.queue(0).memory();
    library = std::make_unique<Library>(content, *memory,
                                        tcpip::PackagedContent::Config{.mode = config.mode});
    stack = make_stack(config.tcp, server_port, kServerIp, server_batch);
    server = std::make_unique<Server>(config.server, *library, *stack, config.tcp.max_connections,
                                      wall_clock, net.now());
    clients_.stack = make_stack(config.client_tcp, client_port, kClientIp, client_batch);
    free_at_start_ = free_chunks();
    request_buffers_ = config.server.request_buffers;
    runner.attach(server_port.queue(0), server_batch, *server);
    runner.attach(client_port.queue(0), client_batch, clients_);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Opens a connection and sees it through the handshake, where there is one.
  Client& connect(Time handshake = 100 * kMillisecond) {
    Client& c = *all_.emplace_back(std::make_unique<Client>(*clients_.stack, net));
    tcpip::Stack& s = *clients_.stack;
    nmio::set_room(client_batch, client_port.queue(0));  // as in a turn of the loop
    tcpip::Tcb* t = s.tcp_new();
    EXPECT_NE(t, nullptr);
    c.app_.tcb = t;
    tcpip::testing::set_callbacks(s, *t, c.app_);
    s.tcp_connected(*t, tcpip::testing::connect_fn);
    EXPECT_EQ(s.tcp_bind(*t, kClientIp, next_port_++), tcpip::Result::ok);
    if (next_port_ == 0) next_port_ = 1024;
    EXPECT_EQ(s.tcp_connect(*t, {kServerIp, 80}, net.now()), tcpip::Result::ok);
    if (handshake != 0) run(handshake);
    return c;
  }
  void run(Time duration) { runner.run_for(duration); }

  /// A request on a connection of its own; what came back within a second.
  std::string ask(const std::string& request, bool* closed = nullptr) {
    Client& c = connect();
    c.send(request);
    run(kSecond);
    const std::string reply = c.received();
    if (closed != nullptr) *closed = c.server_closed() || c.gone();
    if (!c.gone()) c.abort();
    run(kMillisecond);
    all_.pop_back();
    return reply;
  }

  /// Clients whose connections are gone need not be kept; the test holds none of them any more.
  void forget_clients() {
    std::erase_if(all_, [](const auto& c) { return c->gone(); });
  }
  /// Free chunks of the server's memory, in all homes.
  [[nodiscard]] std::uint64_t free_chunks() const {
    std::set<nmio::HomeId> homes;
    for (nmio::ChunkId c = 0; c < memory->chunks(); ++c) homes.insert(memory->home_of(c));
    std::uint64_t free = 0;
    for (const nmio::HomeId h : homes) free += memory->free_count(h);
    return free;
  }
  /// Nothing is left of any connection: no slot, no buffer, no chunk.
  void expect_all_home() {
    EXPECT_EQ(server->counters().connections_now, 0U);
    EXPECT_EQ(server->free_request_buffers(), request_buffers_);
    EXPECT_EQ(free_chunks(), free_at_start_);
  }

  nmio::SimNetwork net;
  nmio::SimPort& server_port;
  nmio::SimPort& client_port;
  nmio::SimRunner runner;
  nmio::PacketMemory* memory = nullptr;
  nmio::TxBatch server_batch{};
  nmio::TxBatch client_batch{};
  std::unique_ptr<Library> library;
  std::unique_ptr<tcpip::Stack> stack;
  std::unique_ptr<Server> server;

 private:
  static nmio::SimNetwork*& now_of() {
    static nmio::SimNetwork* net_of_the_test = nullptr;
    return net_of_the_test;
  }
  static std::uint64_t wall_clock() { return kEpoch + now_of()->now() / kSecond; }

  std::unique_ptr<tcpip::Stack> make_stack(tcpip::Config c, nmio::SimPort& port,
                                           wire::Ipv4Address ip, nmio::TxBatch& batch) {
    c.address = {ip, 16};
    std::copy(port.mac().begin(), port.mac().end(), c.mac.bytes.begin());
    c.offload = port.queue(0).offload();
    c.mtu = port.mtu();
    c.secret[0] = ip.value;
    auto s = std::make_unique<tcpip::Stack>(c, port.queue(0).memory(), batch);
    s->tcpip_init(net.now());
    return s;
  }

  ClientHost clients_;
  std::vector<std::unique_ptr<Client>> all_;
  std::uint16_t next_port_ = 20000;
  std::uint64_t free_at_start_ = 0;
  std::size_t request_buffers_ = 0;
};

}  // namespace stackrig::sandstorm::testing
