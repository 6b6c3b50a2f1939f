// SPDX-License-Identifier: Apache-2.0
// A delay box between two simulated wires, in virtual time, for tests.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "delaybox/box.h"
#include "nmio/sim.h"
#include "nmio/test_frames.h"

namespace stackrig::delaybox {

using nmio::test::Bytes;
using nmio::test::FrameSpec;
using nmio::test::make_frame;
using nmio::test::Received;

constexpr std::array<std::uint8_t, 6> kServerMac = {2, 0, 0, 0, 0, 0x51};
constexpr std::array<std::uint8_t, 6> kClientMac = {2, 0, 0, 0, 0, 0xc1};

struct Arrived {
  Bytes bytes;
  Time at;
};

/// Server and client at ports of their own; the box's ports carry the other side's addresses, since
/// a simulated switch hands a frame to the port that has its destination.
class World {
 public:
  explicit World(const BoxConfig& config, std::uint32_t chunks = 8192)
      : server(server_net.add_port(
            {.name = "server", .mac = kServerMac, .out = wire(), .in = wire()})),
        client(client_net.add_port(
            {.name = "client", .mac = kClientMac, .out = wire(), .in = wire()})),
        server_side(server_net.add_port(
            {.name = "box-s", .mac = kClientMac, .chunks = chunks, .out = wire(), .in = wire()})),
        client_side(client_net.add_port(
            {.name = "box-c", .mac = kServerMac, .chunks = chunks, .out = wire(), .in = wire()})),
        box(server_side.queue(0), client_side.queue(0), config, server_net.now()) {}

  [[nodiscard]] Time now() const { return server_net.now(); }

  void from_client(FrameSpec spec) {
    spec.destination = kServerMac;
    spec.source = kClientMac;
    send(client, make_frame(spec));
  }
  void from_server(FrameSpec spec) {
    spec.destination = kClientMac;
    spec.source = kServerMac;
    send(server, make_frame(spec));
  }
  static void send(nmio::SimPort& port, const Bytes& frame) {
    nmio::test::send_frame(port.queue(0), frame);
    port.queue(0).reap();
  }

  /// Goes on to `time`, by the steps in which anything happens.
  void run_until(Time time) {
    for (;;) {
      look();
      while (box.turn(now())) look();
      Time next = std::min({server_net.next_event(), client_net.next_event(), box.next_deadline()});
      next = std::max(next, now() + 1);
      if (next > time) break;
      server_net.run_until(next);
      client_net.run_until(next);
    }
    server_net.run_until(time);
    client_net.run_until(time);
  }
  void run_for(Time duration) { run_until(now() + duration); }

  nmio::SimNetwork server_net{1}, client_net{2};
  nmio::SimPort& server;
  nmio::SimPort& client;
  nmio::SimPort& server_side;
  nmio::SimPort& client_side;
  Box box;
  std::vector<Arrived> at_server, at_client;

 private:
  static nmio::SimLink wire() { return {.delay = 0}; }
  void look() {
    server_net.run_until(now());
    client_net.run_until(now());
    for (Received& r : nmio::test::receive_all(server.queue(0)))
      at_server.push_back({std::move(r.bytes), now()});
    for (Received& r : nmio::test::receive_all(client.queue(0)))
      at_client.push_back({std::move(r.bytes), now()});
  }
};

}  // namespace stackrig::delaybox
