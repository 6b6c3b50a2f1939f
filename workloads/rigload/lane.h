// SPDX-License-Identifier: Apache-2.0
// What a thread of rigload runs: a client on the kernel's sockets, or clients on one or more
// queues.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "nmio/loop.h"
#include "nmio/port.h"
#include "rigload/arp_relay.h"
#include "rigload/load_client.h"
#include "rigload/transport_kernel.h"
#include "rigload/transport_nmio.h"
#include "tcpip/stack.h"

namespace stackrig::rigload {

class Lane {
 public:
  virtual ~Lane() = default;
  [[nodiscard]] virtual ClientState& client() = 0;
};

/// A lane on the kernel's sockets: runs on a thread of its own until its client is done.
class SocketLane : public Lane {
 public:
  virtual void run() = 0;
};

/// A lane on one queue of a port: LaneLoop gives it turns.
class QueueLane : public Lane, protected UsageMeter {
 public:
  explicit QueueLane(nmio::Queue& queue) : queue_(queue) {}

  /// One turn of the loop; true where it did work.
  virtual bool turn(Time now) = 0;
  /// When the next turn has something to do even if no packet comes.
  [[nodiscard]] Time next_deadline() const { return has_output() ? 0 : loop_deadline(); }
  [[nodiscard]] bool has_output() const { return batch_.count != 0; }
  [[nodiscard]] nmio::Queue& queue() { return queue_; }
  [[nodiscard]] nmio::TxBatch& batch() { return batch_; }
  /// The counters of the thread's loop; only a thread's first lane has them.
  void account_to(const nmio::LoopCounters* counters) { loop_counters_ = counters; }

 protected:
  [[nodiscard]] virtual Time loop_deadline() const = 0;
  Usage usage() override;

  nmio::Queue& queue_;
  nmio::TxBatch batch_;
  nmio::LoopCounters own_counters_;

 private:
  const nmio::LoopCounters* loop_counters_ = nullptr;
};

/// Everything that a client needs besides its transport.
struct ClientParts {
  LoadConfig config;
  std::unique_ptr<Exchange> exchange;
  RunControl* control = nullptr;
  RunStats* stats = nullptr;
};

class KernelLane final : public SocketLane {
 public:
  KernelLane(const KernelTransport::Config& config, ClientParts parts)
      : exchange_(std::move(parts.exchange)),
        transport_(config),
        client_(parts.config, *exchange_, transport_, transport_, *parts.control, *parts.stats) {}
  [[nodiscard]] LoadClient& client() override { return client_; }
  void run() override { transport_.run(client_); }

 private:
  std::unique_ptr<Exchange> exchange_;
  KernelTransport transport_;
  LoadClient client_;
};

/// What nmio's loop runs on a queue: packets to the stack, turns to the client.
class NmioApp {
 public:
  /// `relay`: where the port has several queues, of which this is number `queue`.
  NmioApp(tcpip::Stack& stack, NmioTransport& transport, LoadClient& client, ArpRelay* relay,
          unsigned queue)
      : stack_(stack), transport_(transport), client_(client), relay_(relay), queue_(queue) {}
  void on_burst(std::span<const nmio::RxPacket> burst, Time now) {
    transport_.set_now(now);
    client_.tick(now);
    if (relay_ != nullptr) relay_->pass_on(queue_, burst);
    stack_.input(burst, now);
  }
  void on_idle(Time now) {
    transport_.set_now(now);
    if (relay_ != nullptr) take_relayed(now);
    stack_.run_timers(now);
    client_.turn(now);
    stack_.poll_output(now);
  }
  [[nodiscard]] Time next_deadline() const {
    return std::min(stack_.next_deadline(), client_.next_deadline());
  }

 private:
  void take_relayed(Time now) {
    const auto packets = relay_->take(queue_, stack_.memory());
    if (!packets.empty()) stack_.input(packets, now);
  }

  tcpip::Stack& stack_;
  NmioTransport& transport_;
  LoadClient& client_;
  ArpRelay* relay_;
  unsigned queue_;
};

/// A client on one queue, with a TCP stack of its own.
class NmioLane final : public QueueLane {
 public:
  struct Config {
    nmio::Queue* queue = nullptr;
    tcpip::Config stack;
    SourcePorts::Config sources;
    nmio::LoopConfig loop;
    ArpRelay* relay = nullptr;  ///< of the port, where it has several queues
  };
  NmioLane(const Config& config, ClientParts parts);

  [[nodiscard]] LoadClient& client() override { return client_; }
  [[nodiscard]] tcpip::Stack& stack() { return stack_; }
  bool turn(Time now) override { return loop_.turn(now); }
  [[nodiscard]] NmioApp& app() { return app_; }

 private:
  [[nodiscard]] Time loop_deadline() const override { return loop_.next_deadline(); }

  std::unique_ptr<Exchange> exchange_;
  tcpip::Stack stack_;
  NmioTransport transport_;
  LoadClient client_;
  NmioApp app_;
  nmio::Loop<NmioApp> loop_;
};

/// Runs lanes on this thread until all clients are done: nmio's loop (loop.h) over several queues,
/// so that ports that share a core do not wait for each other's time slices.
class LaneLoop {
 public:
  LaneLoop(std::vector<QueueLane*> lanes, const nmio::LoopConfig& config,
           nmio::LoopCounters& counters)
      : lanes_(std::move(lanes)), config_(config), counters_(counters) {}
  void run();

 private:
  bool turn_all(Time now);
  void account(bool worked);
  void idle(Time now);
  void flush_rest();

  std::vector<QueueLane*> lanes_;
  nmio::LoopConfig config_;
  nmio::LoopCounters& counters_;
  std::uint64_t turn_began_ = 0;  ///< cycles
  Time idle_since_ = 0;
  std::size_t waits_on_ = 0;  ///< lane whose queue is waited on next
};

}  // namespace stackrig::rigload
