// SPDX-License-Identifier: Apache-2.0
// A DNS load on kernel sockets: a connected UDP socket per flow, many datagrams per system call.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <vector>

#include "rigload/dns_client.h"
#include "rigload/lane.h"
#include "rigload/thread_meter.h"
#include "wire/address.h"

namespace stackrig::rigload {

class DnsSocketLane final : public SocketLane, private UsageMeter {
 public:
  struct Config {
    std::vector<KernelTransport::Target> targets;  ///< flow i asks the (i modulo their number)-th
    bool spin = false;  ///< look again at once instead of sleeping until something happens
  };

  /// Throws std::runtime_error (no file descriptors, no such source address, ...).
  DnsSocketLane(const Config& config, const DnsConfig& dns, const DnsQueries& queries,
                RunControl& control, RunStats& stats);
  ~DnsSocketLane() override;
  DnsSocketLane(const DnsSocketLane&) = delete;
  DnsSocketLane& operator=(const DnsSocketLane&) = delete;

  [[nodiscard]] DnsClient& client() override { return client_; }
  void run() override;

 private:
  static constexpr unsigned kBatch = 64;            ///< datagrams per system call
  static constexpr std::size_t kMostAnswer = 4096;  ///< bytes of an answer that are read
  static constexpr std::size_t kMostQuery = 512;
  static constexpr int kEvents = 64;

  struct Message {
    std::array<std::byte, kMostQuery> bytes;
  };
  /// What goes out on one socket in one call.
  struct Outbox {
    unsigned count = 0;
    std::array<Message, kBatch> messages;
    std::array<iovec, kBatch> parts;
    std::array<mmsghdr, kBatch> headers;
  };

  void open_sockets(const Config& config, std::uint32_t flows);
  unsigned poll(Time now);
  void read_all(std::uint32_t flow, Time now);
  bool send(Time now);
  void flush(std::uint32_t flow, Time now);
  Usage usage() override { return meter_.usage(); }

  bool spin_;
  std::uint32_t flows_;
  ThreadMeter meter_;
  DnsClient client_;
  int epoll_ = -1;
  std::vector<int> sockets_;  ///< by flow
  std::vector<Outbox> outboxes_;
  std::array<DnsOutgoing, kBatch> out_;
  std::vector<std::byte> in_bytes_;
  std::array<iovec, kBatch> in_parts_{};
  std::array<mmsghdr, kBatch> in_headers_{};
  std::array<epoll_event, kEvents> events_{};
};

}  // namespace stackrig::rigload
