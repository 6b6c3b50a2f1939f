// SPDX-License-Identifier: Apache-2.0
// For tests: a stack on a port of a simulated network, run by the real loop in virtual time.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <span>

#include "nmio/sim.h"
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {

using nmio::SimNetwork;
using nmio::SimPort;
using nmio::SimPortConfig;
using nmio::SimRunner;

struct Node {
  Node(SimNetwork& net, const SimPortConfig& port_config, wire::Ipv4Address ip, Config c)
      : port(net.add_port(port_config)), queue(port.queue(0)) {
    c.address = {ip, 24};
    std::copy(port.mac().begin(), port.mac().end(), c.mac.bytes.begin());
    c.offload = queue.offload();
    stack = std::make_unique<Stack>(c, queue.memory(), batch);
    stack->tcpip_init(net.now());
  }
  // nmio::LoopApp
  void on_burst(std::span<const nmio::RxPacket> burst, Time now) {
    now_ = now;
    stack->input(burst, now);
  }
  void on_idle(Time now) {
    now_ = now;
    if (idle) idle(now);
    stack->run_timers(now);
    stack->poll_output(now);
  }
  Time next_deadline() const { return stack->next_deadline(); }

  SimPort& port;
  nmio::Queue& queue;
  nmio::TxBatch batch{};
  std::unique_ptr<Stack> stack;
  std::function<void(Time)> idle;
  Time now_ = 0;
};

}  // namespace stackrig::tcpip::testing
