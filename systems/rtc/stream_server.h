// SPDX-License-Identifier: Apache-2.0
// What the services of `rtc` have in common on top of ConnectionServer: a queue of bytes to be sent
// per connection, and one write at the end of a turn for all that a burst of packets made of it.
//
// A service derives from StreamServer<Server, Connection>, its Connection from StreamConnection,
// and gives, besides what ConnectionServer asks for:
//   void before_close(Connection&)    the peer is done, all is written; our FIN is next
//   void forget(Connection&)          the connection is gone
//
// Thread: the queue's. Time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "send_pool.h"
#include "send_queue.h"
#include "tcpip/connection_server.h"

namespace stackrig::rtc {

struct StreamConnection : tcpip::ServedConnection {
  bool listed = false;  ///< has something to flush
  SendQueue out;
};

template <class Server, class Connection>
class StreamServer : public tcpip::ConnectionServer<Server, Connection> {
  using Base = tcpip::ConnectionServer<Server, Connection>;

 protected:
  using Base::now_;
  using Base::stack_;
  using typename Base::Time;

  StreamServer(tcpip::Stack& stack, SendPool& pool, std::uint32_t max_connections, Time now)
      : Base(stack, max_connections, now), pool_(pool) {
    to_flush_.reserve(std::size_t{2} * max_connections);
  }
  ~StreamServer() = default;

  [[nodiscard]] Time next_deadline() const { return to_flush_.empty() ? Base::next_deadline() : 0; }

  /// There is something committed in the connection's queue.
  void list(Connection& c) {
    if (c.listed) return;
    c.listed = true;
    to_flush_.push_back(this->index_of(c));
  }

  /// One write for each connection that has something to say.
  void flush() {
    std::size_t kept = 0;
    for (const std::uint32_t i : to_flush_) {
      Connection& c = this->connection(i);
      if (!c.listed) continue;  // gone since
      c.listed = false;
      if (!c.out.flush(pool_, stack_, *c.tcb, now_)) {
        stack_.tcp_abort(*c.tcb, now_);
      } else if (c.out.is_starved()) {
        c.listed = true;
        to_flush_[kept++] = i;
      } else if (c.peer_closed) {
        close(c);
      }
    }
    to_flush_.resize(kept);
  }

  /// The peer sends no more: FIN behind the last byte.
  void close(Connection& c) {
    if (c.paused || c.out.waiting() != 0 || tcpip::fin_queued(*c.tcb)) return;
    self().before_close(c);
    stack_.tcp_close(*c.tcb, now_);
  }

  void write_done(Connection& c) {
    c.out.acknowledged(pool_);
    if (c.out.waiting() != 0) list(c);
  }

  void release_buffer(Connection& c) {
    self().forget(c);
    c.listed = false;
    c.out.close(pool_);
  }

  SendPool& pool_;

 private:
  friend class tcpip::ConnectionServer<Server, Connection>;
  Server& self() { return static_cast<Server&>(*this); }

  std::vector<std::uint32_t> to_flush_;  ///< connections, each once
};

}  // namespace stackrig::rtc
