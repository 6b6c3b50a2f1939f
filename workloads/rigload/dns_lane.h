// SPDX-License-Identifier: Apache-2.0
// A DNS load on one queue of a port: frames out of ready-made parts, answers straight to the
// client.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "ip/interface.h"
#include "rigload/dns_frames.h"
#include "rigload/lane.h"

namespace stackrig::rigload {

struct DnsLaneConfig {
  nmio::Queue* queue = nullptr;
  ip::InterfaceConfig interface;
  SourcePorts::Config sources;
  nmio::LoopConfig loop;
  ArpRelay* relay = nullptr;  ///< of the port, where it has several queues
};

/// What nmio's loop runs on the queue.
class DnsApp {
 public:
  DnsApp(const DnsLaneConfig& config, const DnsConfig& dns, std::size_t query_stride,
         nmio::TxBatch& batch, DnsClient& client);
  DnsApp(const DnsApp&) = delete;
  DnsApp& operator=(const DnsApp&) = delete;

  void on_burst(std::span<const nmio::RxPacket> burst, Time now);
  void on_idle(Time now);
  [[nodiscard]] Time next_deadline() const {
    return std::min(interface_.next_deadline(), resolved_ ? client_.next_deadline() : resolve_at_);
  }
  [[nodiscard]] ip::Interface& interface() { return interface_; }

 private:
  /// Packets sent in one turn: no more than keep the answers' ring from running over.
  static constexpr unsigned kMostPerTurn = 256;

  void receive(const ip::Datagram& datagram, bool checksum_is_good, Time now);
  void send(Time now);
  void find_server(Time now);
  static void on_icmp_error(void* self, const ip::IcmpError& error);

  nmio::PacketMemory& memory_;
  nmio::TxBatch& batch_;
  DnsClient& client_;
  ip::Interface interface_;
  DnsFlows flows_;
  std::size_t query_stride_;
  bool offload_;
  ArpRelay* relay_;
  unsigned queue_;
  bool resolved_ = false;
  Time resolve_at_ = 0;  ///< when the server's Ethernet address is looked at next
  Time now_ = 0;
  std::array<DnsOutgoing, kMostPerTurn> out_;
};

class DnsQueueLane final : public QueueLane {
 public:
  DnsQueueLane(const DnsLaneConfig& config, const DnsConfig& dns, const DnsQueries& queries,
               RunControl& control, RunStats& stats)
      : QueueLane(*config.queue),
        client_(dns, queries, *this, control, stats),
        app_(config, dns, queries.stride(), batch_, client_),
        loop_(queue_, batch_, app_, config.loop, own_counters_) {}

  [[nodiscard]] DnsClient& client() override { return client_; }
  [[nodiscard]] ip::Interface& interface() { return app_.interface(); }
  bool turn(Time now) override { return loop_.turn(now); }

 private:
  [[nodiscard]] Time loop_deadline() const override { return loop_.next_deadline(); }

  DnsClient client_;
  DnsApp app_;
  nmio::Loop<DnsApp> loop_;
};

}  // namespace stackrig::rigload
