// SPDX-License-Identifier: Apache-2.0
// Waits for sockets and for times. Thread: the one that polls.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "socket.h"

namespace stackrig::in_kernel {

using Clock = std::chrono::steady_clock;

/// What is told of events. Owned by whoever made it; retired, not deleted, from within ready() or
/// due().
class Watched {
 public:
  Watched() = default;
  virtual ~Watched() = default;
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  virtual void ready(std::uint32_t events) = 0;
  /// The time that it asked for with Poller::call_at() has come.
  virtual void due() {}

 private:
  friend class Poller;
  Clock::time_point at_ = Clock::time_point::max();
  bool listed_ = false, retired_ = false;
};

class Poller {
 public:
  /// Throws std::system_error.
  Poller();

  /// Edge-triggered where `events` says so (EPOLLET). False where the kernel refuses.
  bool add(int fd, std::uint32_t events, Watched& watched);
  bool change(int fd, std::uint32_t events, Watched& watched);

  /// due() is called once, then or up to 1 ms later; replaces what was asked for before.
  void call_at(Watched& watched, Clock::time_point at);
  void never_call(Watched& watched) { watched.at_ = Clock::time_point::max(); }

  /// Deleted when nothing can refer to it any more; told of nothing until then.
  void retire(std::unique_ptr<Watched> watched);

  /// Waits for events for at most `longest`, and calls those that they are for.
  void turn(std::chrono::milliseconds longest);

 private:
  void call_due();

  Fd epoll_;
  std::vector<Watched*> timed_;
  std::vector<std::unique_ptr<Watched>> retired_;
};

}  // namespace stackrig::in_kernel
