// SPDX-License-Identifier: Apache-2.0
// A connection to a sink. What the kernel does not take at once waits here; senders look at full()
// before they write, and where it is, wait_for_room() has them called when there is room again: so
// a slow sink slows its senders, and what waits is bounded.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "counters.h"
#include "event_handles.h"
#include "sockets/sockets.h"

namespace stackrig::libevent {

class Backend {
 public:
  /// Bytes that may wait: above `high` nobody adds to them, until they are below `low`.
  struct Water {
    std::size_t high = 256 * 1024;
    std::size_t low = 64 * 1024;
  };

  /// `socket` is connected and does not block. `gone` is called when the sink has closed or reset,
  /// and after finish() when all has been sent; it may delete the backend.
  Backend(event_base* base, sockets::Fd socket, const Water& water, Counters& counters,
          std::function<void(Backend&)> gone);
  ~Backend();
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  [[nodiscard]] bool full() const { return waiting() >= water_.high; }
  [[nodiscard]] bool empty() const { return waiting() == 0; }
  /// Sends the message on its own, if nothing waits before it.
  void write(std::span<const std::byte> message);
  /// Keeps the message until flush().
  void add(std::span<const std::byte> message);
  /// Sends what add() kept, in as few system calls as that takes.
  void flush();
  void wait_for_room(std::function<void()> call) { waiters_.push_back(std::move(call)); }
  void forget_waiters() { waiters_.clear(); }
  /// Nothing will be written any more: closes when what waits has been sent.
  void finish();

 private:
  [[nodiscard]] std::size_t waiting() const { return ::evbuffer_get_length(out_.get()); }
  void on_readable();
  void on_writable();
  void on_lost();
  void call_waiters();

  sockets::Fd socket_;
  Water water_;
  Counters& counters_;
  std::function<void(Backend&)> gone_;
  Buffer out_;
  Event readable_, writable_, lost_;
  std::vector<std::function<void()>> waiters_;
  bool blocked_ = false;    ///< the kernel took less than it was given
  bool finishing_ = false;  ///< finish() was called
};

}  // namespace stackrig::libevent
