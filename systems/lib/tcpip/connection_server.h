// SPDX-License-Identifier: Apache-2.0
// What servers on the TCP core have in common: a slot per connection, reading that pauses while too
// much is pending, closing after what was asked is answered, a sweep over the slow once a second.
//
// A server derives from ConnectionServer<Server, Connection>, its Connection from ServedConnection,
// and gives (private, with the base as a friend):
//   std::size_t take(Connection&, std::span<const std::byte>)   bytes that came; how many it took
//   void release_buffer(Connection&)                            of a connection that has ended
//   Time idle_timeout(const Connection&), send_timeout()
//   std::uint64_t& connections_now() const, timed_out() const   counters
// and, where it has use for them, in place of what stands here:
//   bool past_deadline(const Connection&) const                 asked by the sweep: drop it?
//   void write_done(Connection&)                                the oldest write is acknowledged
//   bool may_resume(const Connection&) const                    is that what reading waited for?
//   void close(Connection&)                                     the peer is done, all is answered
//
// Thread: the queue's. Time is an argument.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nmio/packet.h"
#include "nmio/port.h"
#include "tcpip/stack.h"

namespace stackrig::tcpip {

struct ServedConnection {
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  Tcb* tcb = nullptr;              ///< nullptr: the slot is free
  nmio::Time since = 0;            ///< when the present wait began, or the last progress was seen
  std::uint32_t acknowledged = 0;  ///< at the last look
  std::uint32_t next_free = kNone;
  bool paused = false;  ///< left bytes unread: too many writes pending
  bool peer_closed = false;
};

template <class Server, class Connection>
class ConnectionServer {
 public:
  ConnectionServer(const ConnectionServer&) = delete;
  ConnectionServer& operator=(const ConnectionServer&) = delete;

  [[nodiscard]] nmio::Time next_deadline() const {
    const bool sweeps = static_cast<const Server&>(*this).connections_now() != 0;
    return std::min(sweeps ? next_sweep_ : nmio::kNever, stack_.next_deadline());
  }

 protected:
  static constexpr std::uint32_t kNone = ServedConnection::kNone;
  using Time = nmio::Time;

  /// `stack` has room for `max_connections`.
  ConnectionServer(Stack& stack, std::uint32_t max_connections, Time now)
      : stack_(stack), now_(now), connections_(max_connections) {
    for (std::uint32_t i = max_connections; i-- > 0;) {
      connections_[i].next_free = free_connection_;
      free_connection_ = i;
    }
  }
  ~ConnectionServer() = default;

  /// Throws nmio::SetupError where the port is taken; `option` is what chooses another.
  void listen(std::uint16_t port, std::string_view option) {
    Tcb* listener = stack_.tcp_new();
    if (listener == nullptr || stack_.tcp_bind(*listener, {}, port) != Result::ok ||
        stack_.tcp_listen(*listener) != Result::ok) {
      throw nmio::SetupError("TCP port " + std::to_string(port) +
                             ": cannot be listened on; choose another with " + std::string(option));
    }
    stack_.tcp_app(*listener, &self());
    stack_.tcp_accept(*listener, accepted);
    stack_.tcp_recv(*listener, received);
    stack_.tcp_sent(*listener, sent);
    stack_.tcp_remote_closed(*listener, remote_closed);
    stack_.tcp_closed(*listener, closed);
  }

  /// Timers, output that waited, the sweep: once a turn. now_ is set.
  void run_due() {
    stack_.run_timers(now_);
    stack_.poll_output(now_);
    if (now_ >= next_sweep_) sweep();
  }

  [[nodiscard]] bool past_deadline(const Connection& /*c*/) const { return false; }
  void write_done(Connection& /*c*/) {}
  [[nodiscard]] bool may_resume(const Connection& /*c*/) const { return true; }
  void close(Connection& c) {
    if (!fin_queued(*c.tcb)) stack_.tcp_close(*c.tcb, now_);
  }

  /// Goes on reading where a connection had paused, and closes it where that was all.
  void resume(Connection& c) {
    Tcb* const tcb = c.tcb;
    c.paused = false;
    stack_.tcp_resume(*tcb, now_);
    if (c.tcb == tcb && c.peer_closed && !c.paused) self().close(c);
  }

  [[nodiscard]] Connection& connection(std::uint32_t index) { return connections_[index]; }
  [[nodiscard]] std::uint32_t index_of(const Connection& c) const {
    return static_cast<std::uint32_t>(&c - connections_.data());
  }

  Stack& stack_;
  Time now_;

 private:
  Server& self() { return static_cast<Server&>(*this); }
  Connection& connection(Tcb& tcb) { return connections_[user(tcb)]; }

  static bool accepted(void* app, Tcb& tcb) {
    Server& s = *static_cast<Server*>(app);
    const std::uint32_t i = s.free_connection_;
    if (i == kNone) return false;
    Connection& c = s.connections_[i];
    s.free_connection_ = c.next_free;
    c = Connection{};
    c.tcb = &tcb;
    c.since = s.now_;
    user(tcb) = i;
    ++s.connections_now();
    return true;
  }

  static std::size_t received(void* app, Tcb& tcb, std::span<const std::byte> bytes) {
    Server& s = *static_cast<Server*>(app);
    return s.take(s.connection(tcb), bytes);
  }

  static void sent(void* app, Tcb& tcb, std::uint64_t /*cookie*/) {
    Server& s = *static_cast<Server*>(app);
    Connection& c = s.connection(tcb);
    c.since = s.now_;
    s.write_done(c);
    if (c.tcb == &tcb && c.paused && s.may_resume(c)) s.resume(c);
  }

  /// The peer sends no more: what it asked for is still answered, then we close too.
  static void remote_closed(void* app, Tcb& tcb) {
    Server& s = *static_cast<Server*>(app);
    Connection& c = s.connection(tcb);
    c.peer_closed = true;
    if (!c.paused) s.close(c);
  }

  static void closed(void* app, Tcb& tcb, Ended /*why*/) {
    Server& s = *static_cast<Server*>(app);
    Connection& c = s.connection(tcb);
    s.release_buffer(c);
    c.tcb = nullptr;
    c.next_free = s.free_connection_;
    s.free_connection_ = s.index_of(c);
    --s.connections_now();
  }

  void sweep() {
    next_sweep_ = now_ + nmio::kSecond;
    if (self().connections_now() == 0) return;
    for (Connection& c : connections_) {
      if (c.tcb == nullptr || !too_slow(c)) continue;
      ++self().timed_out();
      stack_.tcp_abort(*c.tcb, now_);
    }
  }

  bool too_slow(Connection& c) {
    if (self().past_deadline(c)) return true;
    if (pending_writes(*c.tcb) != 0) {
      const std::uint32_t seen = acknowledged(*c.tcb);
      if (seen != c.acknowledged) {
        c.acknowledged = seen;
        c.since = now_;
      }
      return now_ - c.since > self().send_timeout();
    }
    return now_ - c.since > (fin_queued(*c.tcb) ? self().send_timeout() : self().idle_timeout(c));
  }

  Time next_sweep_ = 0;
  std::vector<Connection> connections_;
  std::uint32_t free_connection_ = kNone;
};

}  // namespace stackrig::tcpip
