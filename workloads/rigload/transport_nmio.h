// SPDX-License-Identifier: Apache-2.0
// Connections over our own TCP on one queue of a port: any backend of nmio.
//
// Local ports: every connection takes the next of all (source address, port) pairs, so that one is
// used again only after all the others; where the device spreads packets over queues by RSS, only
// pairs whose answers come to this queue are taken. With a connection per request the server closes
// first, so TIME_WAIT lies there, and a pair that is used again meets it with a newer SYN (RFC
// 6191).
#pragma once

#include <cstdint>
#include <vector>

#include "nmio/packet.h"
#include "rigload/stream_transport.h"
#include "tcpip/owner.h"
#include "tcpip/stack.h"
#include "wire/address.h"

namespace stackrig::rigload {

/// Source addresses and ports in turn.
class SourcePorts {
 public:
  struct Config {
    wire::Ipv4Address first;
    std::uint32_t addresses = 1;  ///< consecutive ones
    wire::Endpoint target;
    unsigned queue = 0;          ///< of the port
    unsigned queues = 1;         ///< above 1: only those whose answers RSS brings to `queue`
    std::uint32_t begin_at = 0;  ///< any number: where in the round to begin
  };
  static constexpr std::uint32_t kFirstPort = 10240;
  static constexpr std::uint32_t kPorts = 65536 - kFirstPort;

  explicit SourcePorts(const Config& config) : config_(config), at_(config.begin_at % round()) {}
  wire::Endpoint next();
  /// Pairs in a round, of all queues.
  [[nodiscard]] std::uint32_t round() const { return config_.addresses * kPorts; }

 private:
  Config config_;
  std::uint32_t at_;
};

class NmioTransport final : public StreamTransport, private tcpip::ByteOwner {
 public:
  /// `stack` is the queue's and outlives the transport.
  NmioTransport(tcpip::Stack& stack, const SourcePorts::Config& sources, std::uint32_t slots);
  /// Before anything is opened.
  void tell(StreamEvents& events) { events_ = &events; }
  /// The time of what the stack is about to call back for.
  void set_now(Time now) { now_ = now; }

  Open open(SlotId slot, Time now) override;
  bool send(SlotId slot, const Prepared& request, Time now) override;
  void close(SlotId slot, Time now) override;
  void abort(SlotId slot, Time now) override;

 private:
  static void connected(void* app, tcpip::Tcb& tcb);
  static std::size_t received(void* app, tcpip::Tcb& tcb, std::span<const std::byte> bytes);
  static void remote_closed(void* app, tcpip::Tcb& tcb);
  static void closed(void* app, tcpip::Tcb& tcb, tcpip::Ended why);

  tcpip::Fetched fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                       std::uint32_t max_segment, std::span<tcpip::Segment> out) override;

  tcpip::Stack& stack_;
  SourcePorts sources_;
  wire::Endpoint target_;
  StreamEvents* events_ = nullptr;
  std::vector<tcpip::Tcb*> tcbs_;  ///< by slot; nullptr where closed
  Time now_ = 0;
};

}  // namespace stackrig::rigload
