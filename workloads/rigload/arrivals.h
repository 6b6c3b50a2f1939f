// SPDX-License-Identifier: Apache-2.0
// When requests are due in an open loop: Poisson or evenly spaced arrivals at a rate, from a seed.
//
// A due time depends on the rate and the seed alone, never on how the server or this program keeps
// up: that is what makes the loop open. Time is an argument; nothing here reads a clock.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "nmio/packet.h"
#include "rigload/random.h"

namespace stackrig::rigload {

using nmio::Time;

enum class ArrivalKind : std::uint8_t { poisson, uniform };

/// One thread's share of the arrivals. The shares of all threads add up to the whole: Poisson
/// streams because sums of Poisson streams are one, uniform ones because each takes every
/// `shares`-th arrival.
class Arrivals {
 public:
  struct Config {
    ArrivalKind kind = ArrivalKind::poisson;
    double rate = 1;  ///< requests per second, of all shares together; above 0
    unsigned share = 0, shares = 1;
    std::uint64_t seed = 0;
  };

  explicit Arrivals(const Config& config)
      : kind_(config.kind),
        gap_ns_(1e9 * config.shares / config.rate),
        random_(config.seed, config.share) {
    offset_ns_ =
        kind_ == ArrivalKind::poisson ? exponential() : gap_ns_ * config.share / config.shares;
  }

  void start(Time at) { start_ = at; }
  /// The next arrival; the same until advance().
  [[nodiscard]] Time next() const { return start_ + static_cast<Time>(offset_ns_); }
  void advance() { offset_ns_ += kind_ == ArrivalKind::poisson ? exponential() : gap_ns_; }

 private:
  double exponential() { return -std::log(random_.unit()) * gap_ns_; }

  ArrivalKind kind_;
  double gap_ns_;         ///< mean time between arrivals of this share
  double offset_ns_ = 0;  ///< of the next arrival from the start: exact to 1 ns for 100 days
  Time start_ = 0;
  Random random_;
};

/// Requests that were due and wait for a connection: their due times, first in first out, up to a
/// bound.
class DueQueue {
 public:
  explicit DueQueue(std::size_t bound) : ring_(bound) {}

  /// False where the queue is full: the request is never sent.
  bool push(Time due) {
    if (count_ == ring_.size()) return false;
    ring_[(head_ + count_) % ring_.size()] = due;
    ++count_;
    return true;
  }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::size_t size() const { return count_; }
  Time pop() {
    const Time due = ring_[head_];
    head_ = head_ + 1 == ring_.size() ? 0 : head_ + 1;
    --count_;
    return due;
  }

 private:
  std::vector<Time> ring_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
};

/// Moves the arrivals up to and with `last` into `queue`, at most so many; `unsent(due)` is called
/// for each that finds no place there and so will never be sent.
template <typename Unsent>
void take_arrivals(Arrivals& arrivals, DueQueue& queue, Time last, unsigned at_most,
                   Unsent&& unsent) {
  for (; arrivals.next() <= last && at_most != 0; arrivals.advance(), --at_most) {
    if (!queue.push(arrivals.next())) unsent(arrivals.next());
  }
}

}  // namespace stackrig::rigload
