// SPDX-License-Identifier: Apache-2.0
// The Thrift forwarder of Slick 3.3 (systems/lib/thrift/forwarder.h), run to completion: messages
// are read where their packet lies, copied once, into the queue of their key's backend, and all
// that a burst of packets brought for a backend leaves in one write. A message in pieces is put
// together first: one sender's half a message never stands in another's way.
//
// Back-pressure, not loss: a sender whose message finds its backend's queue full is not read from
// until there is room, in the order in which senders came to wait. Memory is bounded: queues are
// set aside when their backend is opened, small buffers belong to connections, large ones are
// shared.
//
// Replies come in the order of their calls: a connection that waits for a backend to open, or for
// all to close, is not read from meanwhile.
//
// Thread: the queue's. Time is an argument. One instance: backends belong to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "forward/backends.h"
#include "forward/counters.h"
#include "forward/message_buffers.h"
#include "forward/wait_list.h"
#include "send_pool.h"
#include "service.h"
#include "stream_server.h"
#include "thrift/forwarder.h"

namespace stackrig::rtc {

struct ForwardConnection : StreamConnection {
  enum class Waits : std::uint8_t { nothing, backend, buffer, opening, closing };
  Waits waits = Waits::nothing;
  bool whole = false;           ///< a message lies in the buffer and waits for what `waits` says
  std::uint32_t large = kNone;  ///< the large buffer, if it has one
  std::uint32_t buffered = 0;   ///< bytes in the buffer
  std::uint32_t needed = 0;     ///< bytes that the message in pieces has at least; 0: there is none
  std::uint32_t backend = kNone;  ///< that it waits for, or has waited for and may go on
  std::uint32_t serial = 0;       ///< of the backend
  std::int32_t sequence = 0;      ///< of the call that is not answered yet
  std::uint32_t closing = 0;      ///< backends whose end its close() waits for
  std::uint32_t closed = 0;       ///< what close() will answer
  Time large_since = 0;
  WaitList* list = nullptr;
  WaitLink link;
};

class ForwardService final : public Service,
                             public StreamServer<ForwardService, ForwardConnection>,
                             private BackendEvents {
 public:
  /// `stack` has room for the configured connections and backends, `pool` is on its memory. Throws
  /// nmio::SetupError where the port is taken.
  ForwardService(const ServiceConfig& config, tcpip::Stack& stack, SendPool& pool, Time now);

  void on_burst(std::span<const nmio::RxPacket> burst, Time now) override;
  void on_idle(Time now) override;
  [[nodiscard]] Time next_deadline() const override;

  void place_counters(ForwardCounters* where);
  [[nodiscard]] const ForwardCounters& counters() const { return *counters_; }
  /// Backends that are not over: opening to leaving.
  [[nodiscard]] std::uint32_t backends_used() const { return backends_.used(); }
  [[nodiscard]] std::size_t free_large_buffers() const { return buffers_.free_large(); }

 private:
  friend class tcpip::ConnectionServer<ForwardService, ForwardConnection>;
  friend class StreamServer<ForwardService, ForwardConnection>;
  using Connection = ForwardConnection;
  using Waits = Connection::Waits;
  using Bytes = std::span<const std::byte>;
  /// Bytes of replies that a connection may have pending, and of the longest.
  static constexpr std::uint64_t kReplies = 4096, kLongestReply = 640;

  void set_time(Time now);
  // bytes to messages
  std::size_t take(Connection& c, Bytes bytes);
  std::size_t take_whole(Connection& c, Bytes rest);
  std::size_t take_piece(Connection& c, Bytes rest);
  bool make_room(Connection& c);
  void finish_piece(Connection& c);
  bool take_buffered(Connection& c);
  void refuse(Connection& c);
  [[nodiscard]] std::byte* buffer(const Connection& c) const;
  // messages to backends and answers; false where the connection has to wait with it
  bool handle(Connection& c, const thrift::Request& request, Bytes message);
  bool forward(Connection& c, const thrift::Request& request, Bytes message);
  void connect(Connection& c, const thrift::Request& request);
  void close_backends(Connection& c, const thrift::Request& request);
  void reply(Connection& c);
  // waiting
  void wait(Connection& c, Waits why, WaitList* list);
  void make_ready(Connection& c);
  [[nodiscard]] bool may_have_large() const {
    return !wait_for_large_.empty() && buffers_.free_large() != 0;
  }
  void wake();
  void resume(Connection& c);
  void leave_backend(Connection& c);
  void opened(std::uint32_t asker, std::int32_t error) override;
  void go_on(Backend& backend) override;
  void closed_for(std::uint32_t closer) override;
  auto links() {
    return [this](std::uint32_t i) -> WaitLink& { return connection(i).link; };
  }
  // what StreamServer asks
  void before_close(Connection& c);
  void forget(Connection& c);
  [[nodiscard]] bool may_resume(const Connection& c) const { return c.waits == Waits::nothing; }
  [[nodiscard]] bool past_deadline(const Connection& c) const;
  [[nodiscard]] Time idle_timeout(const Connection& c) const {
    return c.waits == Waits::nothing ? config_.idle_timeout : nmio::kNever;
  }
  [[nodiscard]] Time send_timeout() const { return config_.send_timeout; }
  [[nodiscard]] std::uint64_t& connections_now() const { return counters_->connections_now; }
  [[nodiscard]] std::uint64_t& timed_out() const { return counters_->timed_out; }

  ServiceConfig config_;
  thrift::Limits limits_;
  ForwardCounters own_counters_{};
  ForwardCounters* counters_ = &own_counters_;
  MessageBuffers buffers_;
  Backends backends_;
  WaitList ready_;           ///< may go on: in the next turn, when the stack is at rest
  WaitList wait_for_large_;  ///< for a large buffer
  thrift::Bytes scratch_;    ///< a reply that is being written
};

}  // namespace stackrig::rtc
