// SPDX-License-Identifier: Apache-2.0
// The echo of Slick 3.2.2 (systems/lib/echo), run to completion: bytes are copied once, from the
// received packet to memory that the device sends from, and go back by reference when their buffer
// is whole. All buffers that a burst of packets completes for a connection leave in one write.
//
// Bounded: a connection has memory for two of its buffers, set aside when it says their size; where
// there is none, it is closed. It may have more while there is plenty. While all that is not
// acknowledged, it is not read from, and the window closes.
//
// Thread: the queue's. Time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "echo/echo.h"
#include "send_pool.h"
#include "service.h"
#include "stream_server.h"

namespace stackrig::rtc {

struct EchoCounters {
  std::uint64_t buffers, bytes;  ///< sent back (given to TCP)
  std::uint64_t refused_sizes;   ///< connections closed for a size that is not allowed
  std::uint64_t no_memory;       ///< connections closed because all memory was set aside
  std::uint64_t cut_short;       ///< connections that ended in the middle of a buffer
  std::uint64_t paused;          ///< times that reading waited for acknowledgements
  std::uint64_t timed_out;       ///< connections dropped for taking too long
  std::uint64_t connections_now;
};
std::span<const CounterInfo<EchoCounters>> echo_counter_table();

struct EchoConnection : StreamConnection {
  echo::SizeReader size;
  std::uint32_t missing = 0;  ///< bytes of the buffer that is arriving
};

class EchoService final : public Service, public StreamServer<EchoService, EchoConnection> {
 public:
  /// `stack` has room for the configured connections, `pool` is on its memory. Throws
  /// nmio::SetupError where the port is taken.
  EchoService(const ServiceConfig& config, tcpip::Stack& stack, SendPool& pool, Time now);

  void on_burst(std::span<const nmio::RxPacket> burst, Time now) override;
  void on_idle(Time now) override;
  [[nodiscard]] Time next_deadline() const override { return StreamServer::next_deadline(); }

  void place_counters(EchoCounters* where);
  [[nodiscard]] const EchoCounters& counters() const { return *counters_; }

 private:
  friend class tcpip::ConnectionServer<EchoService, EchoConnection>;
  friend class StreamServer<EchoService, EchoConnection>;
  using Connection = EchoConnection;
  /// What a connection may have pending for certain, if its buffers are smaller than half of it,
  /// and where there is memory enough.
  static constexpr std::uint64_t kLeastPending = std::uint64_t{3} * SendPool::kBlockBytes,
                                 kMostPending = 256U << 10;

  std::size_t take(Connection& c, std::span<const std::byte> bytes);
  bool start(Connection& c);
  void take_buffers(Connection& c, std::span<const std::byte> bytes);
  void before_close(Connection& c);
  void forget(Connection& /*c*/) {}
  [[nodiscard]] Time idle_timeout(const Connection& /*c*/) const { return config_.idle_timeout; }
  [[nodiscard]] Time send_timeout() const { return config_.send_timeout; }
  [[nodiscard]] std::uint64_t& connections_now() const { return counters_->connections_now; }
  [[nodiscard]] std::uint64_t& timed_out() const { return counters_->timed_out; }

  ServiceConfig config_;
  EchoCounters own_counters_{};
  EchoCounters* counters_ = &own_counters_;
};

}  // namespace stackrig::rtc
