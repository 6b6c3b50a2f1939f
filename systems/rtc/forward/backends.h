// SPDX-License-Identifier: Apache-2.0
// The forwarder's connections to those that it forwards to: opened actively by our own stack, found
// by key, each with memory for a longest message and some more.
//
// A backend is opening, then open (its key leads to it), then closing: no key leads to it, what was
// accepted for it is still sent, and a sender that was waiting to hand it a message may. Then
// leaving: all is acknowledged, the FIN is out. It may end at any point; what was on its way is
// lost then, and counted.
//
// Thread: the queue's. Nothing is allocated after construction.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "forward/counters.h"
#include "forward/key_table.h"
#include "forward/wait_list.h"
#include "send_pool.h"
#include "send_queue.h"
#include "service.h"
#include "tcpip/stack.h"

namespace stackrig::rtc {

struct Backend {
  enum class State : std::uint8_t { free, opening, open, closing, leaving };
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  State state = State::free;
  bool listed = false;  ///< has something to flush
  std::int32_t key = 0;
  std::int32_t error = 0;        ///< opening: why we gave up
  std::uint32_t serial = 0;      ///< tells one user of this slot from the next
  std::uint32_t asker = kNone;   ///< opening: the connection that waits for the answer
  std::uint32_t closer = kNone;  ///< closing: the connection that waits for the end
  std::uint32_t senders = 0;  ///< that have a message for it and wait, or were just told to go on
  std::uint32_t acknowledged = 0;  ///< at the last look
  std::uint32_t next_free = kNone;
  Time since = 0;  ///< of the state; closing: of the last progress
  tcpip::Tcb* tcb = nullptr;
  WaitList waiting;
  SendQueue out;
};

/// What backends tell their service. Called in the middle of the stack's work.
class BackendEvents {
 public:
  virtual void opened(std::uint32_t asker, std::int32_t error) = 0;
  /// All in backend.waiting may try again (or find out that it is gone).
  virtual void go_on(Backend& backend) = 0;
  virtual void closed_for(std::uint32_t closer) = 0;

 protected:
  ~BackendEvents() = default;
};

class Backends {
 public:
  static constexpr std::uint32_t kNone = Backend::kNone;

  Backends(const ServiceConfig& config, tcpip::Stack& stack, SendPool& pool, BackendEvents& events,
           ForwardCounters*& counters);
  Backends(const Backends&) = delete;
  Backends& operator=(const Backends&) = delete;

  /// Begins to open; opened() tells how it ended. An errno where it cannot begin.
  std::int32_t open(std::int32_t key, std::string_view host, std::int32_t port,
                    std::uint32_t asker);
  /// The asker is gone: nobody knows of the backend.
  void abandon(std::uint32_t asker);
  /// All that are open are closing from now on; how many. settle() afterwards.
  std::uint32_t close_all(std::uint32_t closer);
  void settle_all();
  void forget_closer(std::uint32_t closer);

  /// nullptr where the key leads nowhere.
  [[nodiscard]] Backend* find(std::int32_t key) {
    const std::uint32_t i = keys_.find(key);
    return i == kNone ? nullptr : &backends_[i];
  }
  /// The backend that a sender waited for, if it is still there.
  [[nodiscard]] Backend* still_there(std::uint32_t index, std::uint32_t serial) {
    Backend& b = backends_[index];
    const bool takes = b.state == Backend::State::open || b.state == Backend::State::closing;
    return takes && b.serial == serial ? &b : nullptr;
  }
  [[nodiscard]] std::uint32_t index_of(const Backend& b) const {
    return static_cast<std::uint32_t>(&b - backends_.data());
  }
  /// One message, which fits b.out.room().
  void send(Backend& b, std::span<const std::byte> message);
  /// A sender that was waiting has handed over its message, or is gone.
  void leave(Backend& b);

  /// Before the stack is given anything to do at that time.
  void set_time(Time now) { now_ = now; }
  void flush();
  /// Gives up those that take too long; once a second.
  void sweep();
  [[nodiscard]] Time next_deadline() const;
  [[nodiscard]] std::uint32_t used() const { return used_; }

 private:
  using State = Backend::State;

  static Backends& self(void* app) { return *static_cast<Backends*>(app); }
  static void connected(void* app, tcpip::Tcb& tcb);
  static void sent(void* app, tcpip::Tcb& tcb, std::uint64_t cookie);
  static void closed(void* app, tcpip::Tcb& tcb, tcpip::Ended why);

  std::int32_t connect(Backend& b, wire::Endpoint to);
  void retire(Backend& b, std::uint32_t closer);
  void settle(Backend& b);
  void tell_closer(Backend& b);
  void free(Backend& b);
  [[nodiscard]] bool too_slow(Backend& b) const;

  ServiceConfig config_;
  tcpip::Stack& stack_;
  SendPool& pool_;
  BackendEvents& events_;
  ForwardCounters*& counters_;
  KeyTable keys_;
  std::vector<Backend> backends_;
  std::vector<std::uint32_t> to_flush_;
  std::uint32_t first_free_ = kNone;
  std::uint32_t used_ = 0;
  Time now_ = 0;
  Time next_sweep_ = 0;
};

}  // namespace stackrig::rtc
