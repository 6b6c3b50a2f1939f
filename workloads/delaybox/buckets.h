// SPDX-License-Identifier: Apache-2.0
// The delay box's memory of packets (thesis Figure 4.11): a bucket for each delay, in each of which
// packets lie in the order of their time; a timing wheel fires a bucket when its first is due.
//
// Packets of one delay leave in the order that they came in, so that a constant delay reorders
// nothing. O(1) a packet; nothing is allocated after the start: a packet's place is its chunk's.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "nmio/packet.h"
#include "timer/wheel.h"

namespace stackrig::delaybox {

using nmio::ChunkId;
using nmio::kNoChunk;
using nmio::Time;

class Buckets {
 public:
  /// 2^12 ns, about 4 us: how exact a delay is.
  static constexpr unsigned kTickShift = 12;

  Buckets(unsigned buckets, std::uint32_t chunks, Time now)
      : count_(buckets),
        buckets_(std::make_unique<Bucket[]>(buckets)),
        held_(chunks),
        wheel_(now, kTickShift) {}

  [[nodiscard]] unsigned count() const { return count_; }
  [[nodiscard]] std::uint64_t held() const { return held_now_; }

  /// Keeps a packet until `due`, which is no earlier than that of the bucket's last.
  void hold(unsigned bucket, ChunkId chunk, std::uint32_t len, Time due) {
    Bucket& b = buckets_[bucket];
    held_[chunk] = {due, len, kNoChunk};
    ++held_now_;
    if (b.last == kNoChunk) {
      b.first = b.last = chunk;
      wheel_.arm(b, due);
    } else {
      held_[b.last].next = chunk;
      b.last = chunk;
    }
  }

  /// Gives what is due to send(chunk, len, due), which takes it or says false where there is no
  /// room: then it is asked again at the next tick.
  template <class Send>
  void release(Time now, Send&& send) {
    wheel_.advance(now, [&](timer::Node& node) {
      auto& b = static_cast<Bucket&>(node);
      while (b.first != kNoChunk) {
        const Held& h = held_[b.first];
        if (h.due > now) {
          wheel_.arm(b, h.due);
          return;
        }
        if (!send(b.first, h.len, h.due)) {
          wheel_.arm(b, now + 1);
          return;
        }
        b.first = h.next;
        --held_now_;
      }
      b.last = kNoChunk;
    });
  }

  /// When release() has something to do next; kNever where nothing is held.
  [[nodiscard]] Time next_deadline() const { return wheel_.next_deadline(); }

 private:
  struct Bucket : timer::Node {
    ChunkId first = kNoChunk, last = kNoChunk;
  };
  struct Held {
    Time due = 0;
    std::uint32_t len = 0;
    ChunkId next = kNoChunk;
  };

  unsigned count_;
  std::unique_ptr<Bucket[]> buckets_;
  std::vector<Held> held_;  ///< by chunk
  std::uint64_t held_now_ = 0;
  timer::Wheel wheel_;
};

}  // namespace stackrig::delaybox
