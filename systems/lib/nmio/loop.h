// SPDX-License-Identifier: Apache-2.0
// The event loop: Figure 3.3 of the thesis (3.2.4), to be read from top to bottom.
//
// The transmit ring is the only output queue there is. A packet that the application pushes is put
// into the ring in the same turn; the doorbell is rung when `tx_interval` has passed since it was
// last rung, or at once when there is nothing more to batch with.
//
// Thread: the one that owns the queue. A turn is busy where it moved a packet, gave back a buffer
// or ran a timer, idle where it only looked; time spent blocked is idle. So busy / (busy + idle) is
// the share of a polling core that did work.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <span>
#include <thread>

#include "nmio/clock.h"
#include "nmio/packet.h"
#include "nmio/port.h"

namespace stackrig::nmio {

struct LoopConfig {
  static constexpr unsigned kMaxBurst = 256;
  enum class Idle : std::uint8_t {
    spin,      ///< look again at once, for ever
    adaptive,  ///< look again for spin_for, then block until a packet or the next deadline
    yield,     ///< look again when whoever else wants the core has had it: a core that never sleeps
               ///< and still lets a NAPI thread on it bring its packets
  };
  Idle idle = Idle::adaptive;
  Time spin_for = 50 * kMicrosecond;
  Time tx_interval = 80 * kMicrosecond;  ///< delta-t between doorbells under load (thesis 3.2.4)
  /// Longest that a packet may wait for the doorbell when packets come too rarely (thesis 3.2.4).
  Time straggler = 5 * kMillisecond;
  /// A turn that received nothing rings the doorbell for what waits: nothing could join it. Off:
  /// such packets wait for `straggler`, as in the thesis.
  bool flush_when_idle = true;
  unsigned burst = 64;  ///< packets per receive, 1 to kMaxBurst
};

/// What a loop has done. Written by its thread only; may lie in a telemetry page.
struct LoopCounters {
  std::uint64_t busy_cycles = 0, idle_cycles = 0;
  std::uint64_t turns = 0;
  std::uint64_t wakeups = 0;  ///< times that it had blocked and came back
};

/// What runs on a loop. on_burst() takes the packets and their chunks; both push what they want
/// sent into the loop's TxBatch, within its room.
template <class App>
concept LoopApp = requires(App& app, std::span<const RxPacket> burst, Time now) {
  app.on_burst(burst, now);
  app.on_idle(now);  ///< each turn: timers that are due, output that waited
  { app.next_deadline() } -> std::convertible_to<Time>;  ///< kNever where no timer is armed
};

/// The room that `queue` has for a batch that still holds some descriptors.
inline void set_room(TxBatch& batch, Queue& queue) {
  const unsigned room = std::min(queue.tx_room(), TxBatch::kCapacity);
  batch.room = room > batch.count ? room - batch.count : 0;
}

/// Hands the batch to the queue and keeps what the ring had no room for; returns how many were
/// taken.
inline unsigned put_batch(TxBatch& batch, Queue& queue) {
  if (batch.count == 0) return 0;
  const unsigned taken = queue.put(batch.span());
  if (taken < batch.count) {
    std::copy(batch.packets.begin() + taken, batch.packets.begin() + batch.count,
              batch.packets.begin());
  }
  batch.count -= taken;
  return taken;
}

template <LoopApp App>
class Loop {
 public:
  Loop(Queue& queue, TxBatch& batch, App& app, const LoopConfig& config, LoopCounters& counters)
      : queue_(queue), batch_(batch), app_(app), config_(config), counters_(counters) {
    config_.burst = std::clamp(config_.burst, 1U, LoopConfig::kMaxBurst);
  }

  void run(const std::atomic<bool>& stop) {
    turn_began_ = Clock::cycles();
    last_flush_ = idle_since_ = Clock::at(turn_began_);
    while (!stop.load(std::memory_order_relaxed)) {
      const bool worked = turn(Clock::at(turn_began_));
      account(worked);
      if (!worked) idle(Clock::at(turn_began_));
    }
    put_batch(batch_, queue_);
    queue_.flush();
    queue_.reap();
  }

  /// One turn at `now`; true where it did work. For a caller that keeps time itself (a simulation).
  bool turn(Time now) {
    set_room(batch_, queue_);
    const bool timer_due = app_.next_deadline() <= now;
    const unsigned received = queue_.receive({burst_.data(), config_.burst});  // step 1
    if (received != 0) app_.on_burst({burst_.data(), received}, now);          // steps 2 to 8
    app_.on_idle(now);
    const unsigned sent = put_batch(batch_, queue_);  // step 9
    if (sent != 0) first_waiting_ = unflushed_ != 0 ? first_waiting_ : now;
    unflushed_ += sent;
    if (unflushed_ != 0 && flush_is_due(now, received)) {  // step 10
      queue_.flush();
      last_flush_ = now;
      unflushed_ = 0;
    }
    const unsigned reaped = queue_.reap();
    const bool worked = received + sent + reaped != 0 || timer_due;
    if (worked) idle_since_ = now;
    return worked;  // step 11
  }

  /// When the next turn has something to do even if no packet comes; kNever where nothing waits.
  [[nodiscard]] Time next_deadline() const {
    const Time deadline = app_.next_deadline();
    return unflushed_ != 0 ? std::min(deadline, first_waiting_ + config_.straggler) : deadline;
  }

 private:
  [[nodiscard]] bool flush_is_due(Time now, unsigned received) const {
    if (now - last_flush_ >= config_.tx_interval) return true;
    if (received == 0 && config_.flush_when_idle) return true;
    return batch_.count != 0 ||
           now - first_waiting_ >= config_.straggler;  // a full ring waits for none
  }

  /// Adds the cycles since the last call to the side that they belong to.
  void account(bool worked) {
    const std::uint64_t cycles = Clock::cycles();
    (worked ? counters_.busy_cycles : counters_.idle_cycles) += cycles - turn_began_;
    turn_began_ = cycles;
    ++counters_.turns;
  }

  void idle(Time now) {
    if (config_.idle == LoopConfig::Idle::yield) {
      std::this_thread::yield();
      account(false);
      return;
    }
    if (config_.idle == LoopConfig::Idle::spin || now - idle_since_ < config_.spin_for) return;
    // A stop that came between the check and here is seen after at most kLongestBlock.
    const Time deadline = std::min(next_deadline(), now + kLongestBlock);
    if (deadline <= now) return;
    queue_.wait(now, deadline);
    ++counters_.wakeups;
    account(false);
  }

  static constexpr Time kLongestBlock = 100 * kMillisecond;

  Queue& queue_;
  TxBatch& batch_;
  App& app_;
  LoopConfig config_;
  LoopCounters& counters_;
  std::array<RxPacket, LoopConfig::kMaxBurst> burst_;
  std::uint64_t turn_began_ = 0;  ///< cycles
  Time last_flush_ = 0;
  Time first_waiting_ = 0;  ///< when the oldest unflushed packet was put
  Time idle_since_ = 0;     ///< the last turn that did work
  unsigned unflushed_ = 0;  ///< descriptors put since the last flush
};

/// Runs `app` on `queue` until `stop`. Packets still in `batch` and the ring are flushed at the
/// end.
template <LoopApp App>
void run(Queue& queue, TxBatch& batch, App& app, const LoopConfig& config, LoopCounters& counters,
         const std::atomic<bool>& stop) {
  Loop<App>(queue, batch, app, config, counters).run(stop);
}

}  // namespace stackrig::nmio
