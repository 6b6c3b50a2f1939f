// SPDX-License-Identifier: Apache-2.0
// Ports and queues: one small interface over every packet device (thesis: libnmio).
//
//   auto port = Port::open("afxdp:veth0?queues=2");
//   Queue& q = port->queue(0);             // belongs to one thread from now on
//   n = q.receive(burst);                  // the caller owns the chunks
//   q.put(batch); q.flush();               // the device owns the chunks until they are sent
//   q.reap();                              // sent chunks are back in their homes
//
// A virtual call per burst, none per packet. Errors at set-up are exceptions (SetupError) that name
// the thing, the cause and the remedy; on the packet path there are counters only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "nmio/packet.h"
#include "nmio/packet_memory.h"

namespace stackrig::nmio {

/// Set-up failed; what() says what, why and what to do about it.
class SetupError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What a device does itself.
struct Offload {
  bool tx_checksum = false;        ///< TxPacket::kChecksum
  bool rx_checksum = false;        ///< RxPacket::kChecksumGood may be set
  bool segment = false;            ///< TxPacket::kSegment (TSO)
  bool scatter_gather = false;     ///< TxPacket::kMore
  std::uint32_t max_frame = 1514;  ///< longest frame without TSO, with Ethernet header
};

/// What a queue has seen. Written by its thread only; may lie in a telemetry page.
struct QueueCounters {
  std::uint64_t rx_packets = 0, rx_bytes = 0;
  std::uint64_t tx_packets = 0, tx_bytes = 0;  ///< handed to the device
  std::uint64_t rx_dropped = 0;  ///< lost for want of a buffer or ring space on the way in
  std::uint64_t tx_dropped = 0;  ///< lost on the way out after put() accepted them (tail drop)
  std::uint64_t syscalls = 0;    ///< system calls that this queue made
  std::uint64_t receive_calls = 0, receive_empty = 0, flushes = 0;
};

class Queue {
 public:
  virtual ~Queue() = default;
  /// Takes up to out.size() packets; never blocks. The caller owns their chunks.
  virtual unsigned receive(std::span<RxPacket> out) = 0;
  /// Queues whole packets for sending, in order; returns how many descriptors were taken (never
  /// part of a packet). The rest stays the caller's. Sent at the latest by the next flush().
  virtual unsigned put(std::span<const TxPacket> in) = 0;
  /// Rings the doorbell for all that was put.
  virtual void flush() = 0;
  /// Gives chunks that were sent back to their homes; returns how many.
  virtual unsigned reap() = 0;
  /// Blocks until a packet can be received or `deadline` (monotonic ns) has passed; may return
  /// early.
  virtual void wait(Time now, Time deadline) = 0;
  /// For an owner that blocks on several queues (wait_any()): readies this one as wait() does and
  /// gives the descriptor that is readable when a packet can be received. -1: only wait() will do.
  virtual int prepare_wait() { return -1; }
  /// Descriptors that put() would take now.
  [[nodiscard]] virtual unsigned tx_room() = 0;

  [[nodiscard]] PacketMemory& memory() const { return *memory_; }
  [[nodiscard]] const Offload& offload() const { return offload_; }
  [[nodiscard]] QueueCounters& counters() { return *counters_; }
  /// Moves the counters into memory that outlives the queue (a telemetry page).
  void place_counters(QueueCounters* where) {
    *where = *counters_;
    counters_ = where;
  }

 protected:
  Queue() = default;
  std::unique_ptr<PacketMemory> memory_;
  Offload offload_;
  QueueCounters own_counters_;
  QueueCounters* counters_ = &own_counters_;
};

/// Queue::wait() for one thread that owns all of `queues`: until any of them can receive, or the
/// deadline. Where one has no descriptor to wait for, it returns after 50 us at most.
void wait_any(std::span<Queue* const> queues, Time now, Time deadline);

/// One (real or virtual) NIC. URIs: `SCHEME:NAME?key=value&...`. Keys common to all schemes:
///   queues=N          receive/transmit queue pairs (default 1)
///   chunks=N          packet buffers per queue (default 8192)
///   ring=N            descriptors per ring, a power of two (default 2048)
///   address=A.B.C.D   the address that the port claims for itself (afxdp: what its XDP program
///   takes)
/// Each backend documents its own keys in its header.
class Port {
 public:
  /// Throws SetupError: unknown scheme or key (with the nearest that exist), no such interface, ...
  static std::unique_ptr<Port> open(std::string_view uri);
  virtual ~Port() = default;

  [[nodiscard]] virtual unsigned queues() const = 0;
  [[nodiscard]] virtual Queue& queue(unsigned index) = 0;
  /// The port's Ethernet address, six bytes.
  [[nodiscard]] virtual std::span<const std::uint8_t, 6> mac() const = 0;
  [[nodiscard]] virtual std::uint32_t mtu() const = 0;
  /// One line for logs and records: backend, mode, pages, offloads in force.
  [[nodiscard]] virtual std::string describe() const = 0;
};

}  // namespace stackrig::nmio
