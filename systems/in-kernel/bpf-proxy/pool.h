// SPDX-License-Identifier: Apache-2.0
// Connections to the backend: some are opened before a client needs one, so that its first request
// does not wait for a handshake; their number is bounded, and so is the wait of clients that come
// when all are in use. Thread: the poller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <vector>

#include "../bpf/poller.h"
#include "counters.h"
#include "wire/address.h"

namespace stackrig::in_kernel::proxy {

class Pool {
 public:
  struct Config {
    wire::Endpoint backend;
    std::uint32_t spare = 32;   ///< connections that are open and idle, as far as `most` allows
    std::uint32_t most = 8192;  ///< connections at a time, those under way and in use too
    BufferSizes buffers;
    std::chrono::milliseconds connect_timeout{2000};
    /// An idle connection is replaced before the backend closes it by itself.
    std::chrono::milliseconds most_idle{10'000};
    std::chrono::milliseconds longest_wait{1000};
  };

  /// Who wants a connection. Told once, never from within take().
  class Waiter {
   public:
    virtual ~Waiter() = default;
    virtual void connected(Fd fd) = 0;
    virtual void not_connected() = 0;  ///< the backend does not answer, or refuses
    virtual void all_in_use() = 0;     ///< for longest_wait
  };

  Pool(Poller& poller, Counters& counters, const Config& config);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// A connection that is there, or none: then the waiter is told later.
  Fd take(Waiter& waiter);
  void cancel(Waiter& waiter);
  /// A connection that was taken is closed.
  void closed();
  /// To be called some times a second: what is due, and what is missing.
  void tick();

 private:
  class Connection;
  struct Waiting {
    Waiter* waiter;
    Clock::time_point since;
  };
  void established(Connection& connection);
  void failed(Connection& connection, bool was_idle);
  void connect_one();
  void fill();
  void retire(Connection& connection);
  void count();

  Poller& poller_;
  Counters& counters_;
  Config config_;
  std::uint32_t total_ = 0;                     ///< connecting, idle, in use
  std::uint32_t connecting_ = 0;                ///< of those
  std::list<std::unique_ptr<Connection>> all_;  ///< connecting or idle
  std::vector<Connection*> idle_;               ///< the one that was opened last is at the end
  std::deque<Waiting> waiting_;
  Clock::time_point no_spares_before_{};  ///< after a failure
};

}  // namespace stackrig::in_kernel::proxy
