// SPDX-License-Identifier: Apache-2.0
// For tests: a Namestorm and its clients, joined by a simulated network in virtual time.
//
//   World<dns::WireKey> w;
//   w.ask(query("www.example.com", dns::type::kA));
//   EXPECT_EQ(w.only_answer(), w.composed(...));
//
// What is right is what dns::respond() says: that it is right has its own tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "edition.h"
#include "nmio/sim.h"
#include "nmio/test_frames.h"
#include "server.h"
#include "tcpip/test_support.h"
#include "test_messages.h"
#include "wire/frame.h"

namespace stackrig::namestorm::testing {

using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kSecond;

inline constexpr wire::Ipv4Address kServerIp{0x0a4d0002};  // 10.77.0.2
inline constexpr wire::Ipv4Address kClientIp{0x0a4d0101};  // 10.77.1.1

struct WorldConfig {
  nmio::SimPortConfig server_port{.name = "server", .chunks = 4096};
  nmio::SimPortConfig client_port{.name = "client", .chunks = 4096};
  ServerConfig server{.udp = {.working_chunks = 1024}};
  tcpip::Config tcp;  ///< the server's
  tcpip::Config client_tcp;
  nmio::LoopConfig loop{.tx_interval = 0};
  std::uint64_t seed = 1;
};

/// The clients' side: a TCP stack, and UDP frames as they come.
struct Clients {
  void on_burst(std::span<const nmio::RxPacket> burst, Time now) {
    for (const nmio::RxPacket& p : burst) {
      if (auto f = wire::UdpFrame::parse({p.data, p.len})) {
        answers.push_back(std::move(*f));
        stack->memory().give_back(p.chunk);
      } else {
        stack->input({&p, 1}, now);
      }
    }
  }
  void on_idle(Time now) {
    stack->run_timers(now);
    stack->poll_output(now);
  }
  [[nodiscard]] Time next_deadline() const { return stack->next_deadline(); }
  std::unique_ptr<tcpip::Stack> stack;
  std::vector<wire::UdpFrame> answers;
};

template <class Key = dns::WireKey>
class World {
 public:
  explicit World(WorldConfig config = {}, std::shared_ptr<const dns::ZoneSet> z = zones())
      : net(config.seed),
        server_port(net.add_port(config.server_port)),
        client_port(net.add_port(config.client_port)),
        runner(net),
        publisher(std::make_unique<Edition<Key>>(std::move(z))) {
    for (unsigned i = 0; i < server_port.queues(); ++i) add_instance(config, i);
    clients.stack = make_stack(config.client_tcp, client_port, 0, kClientIp, client_batch);
    runner.attach(client_port.queue(0), client_batch, clients);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Puts a datagram to the server's port 53 on the wire.
  void send(const Message& m, std::uint16_t port = 4242, wire::Ipv4Address from = kClientIp) {
    wire::UdpFrame f;
    std::copy(server_port.mac().begin(), server_port.mac().end(),
              f.ethernet.destination.bytes.begin());
    std::copy(client_port.mac().begin(), client_port.mac().end(), f.ethernet.source.bytes.begin());
    f.ip = {.source = from, .destination = kServerIp, .protocol = wire::kProtocolUdp};
    f.udp = {.source_port = port, .destination_port = 53};
    const auto bytes = std::as_bytes(std::span(m));
    f.payload.assign(bytes.begin(), bytes.end());
    ASSERT_TRUE(nmio::test::send_frame(client_port.queue(0), f.emit()));
    client_port.queue(0).reap();
  }
  void run(Time duration = kMillisecond) { runner.run_for(duration); }

  /// The answers that came since the last call, in order.
  std::vector<Message> take_answers() {
    std::vector<Message> all;
    for (const wire::UdpFrame& f : clients.answers) {
      const auto* p = reinterpret_cast<const std::uint8_t*>(f.payload.data());
      all.emplace_back(p, p + f.payload.size());
    }
    clients.answers.clear();
    return all;
  }
  /// Sends, and returns what comes back: empty where nothing does.
  Message ask(const Message& m, std::uint16_t port = 4242, wire::Ipv4Address from = kClientIp) {
    send(m, port, from);
    run();
    auto all = take_answers();
    EXPECT_LE(all.size(), 1U);
    return all.empty() ? Message{} : all[0];
  }
  [[nodiscard]] const dns::ZoneSet& served() const { return *publisher.current()->zones; }

  /// Chunks of a queue that are free, in whatever home.
  [[nodiscard]] std::uint64_t free_chunks(unsigned queue = 0) {
    nmio::PacketMemory& m = server_port.queue(queue).memory();
    std::set<nmio::HomeId> homes;
    for (nmio::ChunkId c = 0; c < m.chunks(); ++c) homes.insert(m.home_of(c));
    std::uint64_t free = 0;
    for (const nmio::HomeId h : homes) free += m.free_count(h);
    return free;
  }
  void expect_all_home() {
    for (unsigned i = 0; i < server_port.queues(); ++i)
      EXPECT_EQ(free_chunks(i), server_port.queue(i).memory().chunks()) << "queue " << i;
  }
  [[nodiscard]] Server<Key>& server(unsigned queue = 0) { return *servers_[queue]; }
  [[nodiscard]] tcpip::Stack& stack(unsigned queue = 0) { return *stacks_[queue]; }

  nmio::SimNetwork net;
  nmio::SimPort& server_port;
  nmio::SimPort& client_port;
  nmio::SimRunner runner;
  Publisher<Key> publisher;
  nmio::TxBatch client_batch{};
  Clients clients;

 private:
  std::unique_ptr<tcpip::Stack> make_stack(tcpip::Config c, nmio::SimPort& port, unsigned queue,
                                           wire::Ipv4Address ip, nmio::TxBatch& batch) {
    c.address = {ip, 16};
    std::copy(port.mac().begin(), port.mac().end(), c.mac.bytes.begin());
    c.offload = port.queue(queue).offload();
    c.mtu = port.mtu();
    c.secret[0] = ip.value;
    auto s = std::make_unique<tcpip::Stack>(c, port.queue(queue).memory(), batch);
    s->tcpip_init(net.now());
    return s;
  }
  void add_instance(const WorldConfig& config, unsigned queue) {
    nmio::TxBatch& batch = *batches_.emplace_back(std::make_unique<nmio::TxBatch>());
    stacks_.push_back(make_stack(config.tcp, server_port, queue, kServerIp, batch));
    servers_.push_back(std::make_unique<Server<Key>>(
        config.server, publisher, *stacks_.back(), config.tcp.max_connections, batch,
        server_port.queue(queue).offload(), net.now()));
    runner.attach(server_port.queue(queue), batch, *servers_.back(), config.loop);
  }

  std::vector<std::unique_ptr<nmio::TxBatch>> batches_;
  std::vector<std::unique_ptr<tcpip::Stack>> stacks_;
  std::vector<std::unique_ptr<Server<Key>>> servers_;
};

/// The four variants of the paper, for typed tests.
template <class K, SendMode kSend>
struct Variant {
  using Key = K;
  static WorldConfig config() {
    WorldConfig c;
    c.server.udp.mode = kSend;
    return c;
  }
};
using Variants = ::testing::Types<
    Variant<dns::WireKey, SendMode::memcpy>, Variant<dns::WireKey, SendMode::precopy>,
    Variant<dns::FqdnKey, SendMode::memcpy>, Variant<dns::FqdnKey, SendMode::precopy>>;

}  // namespace stackrig::namestorm::testing
