// SPDX-License-Identifier: Apache-2.0
// Sandstorm on one queue: the TCP core, the cut frames, and HTTP between them (thesis 3.2.2).
//
// Everything happens in the callback that brings a request: parse, look up, tcp_write() the frames.
// A connection has a buffer only while a request's head arrives in pieces; there is no other
// buffering. Slow and hostile peers are bounded in memory (connections, request buffers, pending
// responses) and in time (head, keep-alive and send timeouts, looked at by a sweep over the
// connections once a second).
//
// Thread: the queue's. Time is an argument; the wall clock for Date is asked once a second.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "http/request.h"
#include "library.h"
#include "nmio/packet.h"
#include "tcpip/connection_server.h"

namespace stackrig::sandstorm {

using nmio::Time;

struct ServerConfig {
  std::uint16_t tcp_port = 80;
  http::Limits limits;
  std::uint32_t request_buffers = 1024;         ///< heads that may arrive in pieces at a time
  Time header_timeout = 60 * nmio::kSecond;     ///< from accepting, or a head's first byte
  Time keepalive_timeout = 75 * nmio::kSecond;  ///< from the last response
  Time send_timeout = 60 * nmio::kSecond;       ///< without an acknowledged byte
};

struct ServerCounters {
  std::uint64_t requests, body_bytes;
  std::uint64_t status_200, status_300, status_400, status_500;
  std::uint64_t timed_out;          ///< connections dropped for taking too long
  std::uint64_t no_request_buffer;  ///< connections dropped for want of a request buffer
  std::uint64_t paused;  ///< times that a pipeline waited for responses to be acknowledged
  std::uint64_t connections_now;
};

/// Seconds since 1970 now; called about once a second.
using WallClock = std::uint64_t (*)();

struct Connection : tcpip::ServedConnection {
  enum class Waits : std::uint8_t { for_head, between_requests };
  Waits waits = Waits::for_head;
  std::uint32_t buffer = kNone;  ///< request buffer
  std::uint32_t buffered = 0;    ///< bytes in it
  std::uint32_t scanned = 0;     ///< of them, searched for the head's end
  std::uint64_t skip = 0;        ///< bytes of a request's body still to be passed over
};

class Server : public tcpip::ConnectionServer<Server, Connection> {
 public:
  /// `stack` has room for `max_connections`. Throws nmio::SetupError where the port is taken.
  Server(const ServerConfig& config, Library& library, tcpip::Stack& stack,
         std::uint32_t max_connections, WallClock wall_clock, Time now);

  // What nmio::Loop asks of an application.
  void on_burst(std::span<const nmio::RxPacket> burst, Time now);
  void on_idle(Time now);

  void place_counters(ServerCounters* where);
  [[nodiscard]] const ServerCounters& counters() const { return *counters_; }
  [[nodiscard]] std::size_t free_request_buffers() const { return free_buffers_.size(); }

 private:
  friend class tcpip::ConnectionServer<Server, Connection>;
  using Waits = Connection::Waits;

  void set_time(Time now);
  std::size_t take(Connection& c, std::span<const std::byte> bytes);
  std::size_t take_whole(Connection& c, std::string_view rest, bool& wait);
  std::size_t take_buffered(Connection& c, std::string_view rest, bool& wait);
  bool start_buffer(Connection& c, std::string_view head, std::uint32_t scanned);
  void release_buffer(Connection& c);
  void answer(Connection& c, const http::Request& request);
  void refuse(Connection& c, const http::Parsed& p);
  void respond(Connection& c, Library::Answer a, bool head_only, bool close);
  [[nodiscard]] Library::Answer look_up(const http::Request& request) const;
  [[nodiscard]] Library::Answer find(const http::Request& request) const;
  [[nodiscard]] Time idle_timeout(const Connection& c) const {
    return c.waits == Waits::for_head ? config_.header_timeout : config_.keepalive_timeout;
  }
  [[nodiscard]] Time send_timeout() const { return config_.send_timeout; }
  [[nodiscard]] std::uint64_t& connections_now() const { return counters_->connections_now; }
  [[nodiscard]] std::uint64_t& timed_out() const { return counters_->timed_out; }
  [[nodiscard]] char* buffer(std::uint32_t i) const { return buffers_.get() + i * buffer_bytes_; }

  ServerConfig config_;
  Library& library_;
  WallClock wall_clock_;
  std::uint64_t unix_seconds_;
  Time next_second_;

  std::size_t buffer_bytes_;
  std::unique_ptr<char[]> buffers_;  ///< not touched until used
  std::vector<std::uint32_t> free_buffers_;
  ServerCounters own_counters_{};
  ServerCounters* counters_ = &own_counters_;
};

}  // namespace stackrig::sandstorm
