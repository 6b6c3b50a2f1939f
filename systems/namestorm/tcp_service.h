// SPDX-License-Identifier: Apache-2.0
// Queries over TCP (RFC 7766): what was truncated over UDP comes again here. Messages with a
// two-byte length before them, any number in a row and on their way at a time, on the project's TCP
// core.
//
// Bounded in memory: connections, buffers for queries that come in pieces, answers that are not
// acknowledged. Where no buffer is free, the connection that has held one the longest is dropped
// for the newcomer, so that slow ones cannot shut others out. Bounded in time: a connection that
// neither asks nor takes its answers is dropped; a query in pieces, and each answer, have a
// deadline that single bytes do not put off. Queries are answered in order.
//
// Thread: the queue's. Time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "answer_buffers.h"
#include "buffer_pool.h"
#include "dns/zone_set.h"
#include "nmio/packet.h"
#include "tcpip/connection_server.h"
#include "telemetry.h"

namespace stackrig::namestorm {

using nmio::Time;

struct TcpConfig {
  std::uint32_t query_buffers = 256;  ///< queries that may be arriving in pieces at a time
  std::uint32_t short_answers = 4096, long_answers = 64;  ///< kept until acknowledged
  Time idle_timeout = 10 * nmio::kSecond;    ///< from accepting, or the last whole query; and from
                                             ///< a query's first byte to its last
  Time send_timeout = 10 * nmio::kSecond;    ///< without an acknowledged byte
  Time answer_timeout = 30 * nmio::kSecond;  ///< until an answer whose turn it is is acknowledged
};

struct TcpConnection : tcpip::ServedConnection {
  std::uint32_t buffer = kNone;
  std::uint32_t buffered = 0;   ///< bytes in it
  nmio::Time query_since = 0;   ///< with a buffer: when the query began to come
  nmio::Time answer_since = 0;  ///< with pending writes: when the oldest became the oldest
};

class TcpService : public tcpip::ConnectionServer<TcpService, TcpConnection> {
 public:
  /// Longest query. A name, a type and every option there is fit it many times.
  static constexpr std::size_t kMaxQuery = 4096;

  /// Listens on `port`; `stack` has room for `max_connections`. Throws nmio::SetupError where the
  /// port is taken.
  TcpService(const TcpConfig& config, std::uint16_t port, tcpip::Stack& stack,
             std::uint32_t max_connections, const dns::ZoneSet& zones, DnsCounters& counters,
             Time now);

  void input(std::span<const nmio::RxPacket> packets, Time now);
  void on_idle(Time now);

  /// Answers are made from these from now on. What was answered before is not affected.
  void start_edition(const dns::ZoneSet& zones) { zones_ = &zones; }
  void place_counters(DnsCounters& counters) { counters_ = &counters; }
  [[nodiscard]] std::size_t free_query_buffers() const { return buffers_.free(); }
  [[nodiscard]] std::size_t free_answer_buffers() const { return answers_.free(); }

 private:
  friend class tcpip::ConnectionServer<TcpService, TcpConnection>;
  using Connection = TcpConnection;
  static constexpr std::size_t kPrefix = 2;
  static constexpr std::size_t kBufferBytes = kPrefix + kMaxQuery;

  std::size_t take(Connection& c, std::span<const std::byte> bytes);
  std::size_t take_whole(Connection& c, std::span<const std::byte> rest);
  std::size_t take_piece(Connection& c, std::span<const std::byte> rest);
  bool start_buffer(Connection& c);
  void release_buffer(Connection& c);
  void answer(Connection& c, std::span<const std::byte> message);
  void send(Connection& c, std::size_t length);
  std::optional<std::uint64_t> keep(Connection& c, std::span<const std::uint8_t> bytes);
  bool make_room(Connection& c, Connection* longest_holder);
  void give_up(Connection& c, std::uint64_t& counter);
  [[nodiscard]] bool past_deadline(const Connection& c) const;
  void write_done(Connection& c) { c.answer_since = now_; }
  [[nodiscard]] Time idle_timeout(const Connection& /*c*/) const { return config_.idle_timeout; }
  [[nodiscard]] Time send_timeout() const { return config_.send_timeout; }
  [[nodiscard]] std::uint64_t& connections_now() const { return counters_->tcp_connections_now; }
  [[nodiscard]] std::uint64_t& timed_out() const { return counters_->tcp_timed_out; }

  TcpConfig config_;
  const dns::ZoneSet* zones_;
  DnsCounters* counters_;
  AnswerBuffers answers_;
  BufferPool buffers_;                       ///< for queries in pieces
  std::unique_ptr<std::uint8_t[]> scratch_;  ///< an answer with its prefix, before it is kept
};

}  // namespace stackrig::namestorm
