// SPDX-License-Identifier: Apache-2.0
// The cable of a soft NIC: a thread that connects, notices when the peer is gone, and connects
// again, while the queues go on. Either side may start first.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "nmio/packet.h"
#include "nmio/shm/session.h"

namespace stackrig::nmio::shm {

class Link {
 public:
  /// Throws SetupError where the name is taken (server).
  Link(std::string name, Local local);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Changes with every coming and going of a peer. Queues look at it once per call.
  [[nodiscard]] std::uint32_t generation() const {
    return generation_.load(std::memory_order_acquire);
  }
  /// The session in force, null while there is no peer, and the generation that it belongs to.
  std::shared_ptr<Session> session(std::uint32_t& generation) const;

  /// Waits until there is a peer; false where none came within `patience`. `why` says why not.
  bool wait_for_peer(Time patience, std::string& why) const;

 private:
  void serve();
  void connect();
  /// Runs a session until its socket hangs up or the link is to stop.
  void hold(const std::shared_ptr<Session>& session, int also);
  void publish(std::shared_ptr<Session> session);
  void note_failure(const std::string& why);
  /// Sleeps until `fd` can be read, the link is to stop (false) or milliseconds have passed.
  bool poll_for(int fd, int milliseconds);

  std::string name_;
  Local local_;
  Fd listener_;
  Fd stop_;  ///< eventfd
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint32_t> generation_{0};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::shared_ptr<Session> session_;  ///< guarded by mutex_
  std::string failure_;               ///< guarded by mutex_
  std::thread thread_;
};

}  // namespace stackrig::nmio::shm
