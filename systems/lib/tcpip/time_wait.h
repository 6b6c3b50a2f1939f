// SPDX-License-Identifier: Apache-2.0
// Connections in TIME_WAIT, as compact entries in a ring: the newest at the head, the oldest at the
// tail.
//
// All wait equally long, so the ring is in order of expiry and needs no timer per entry. An entry
// that ends early (a new SYN took its place) is left behind as a hole that the tail passes over:
// nothing but the ring's ends is touched, whatever the rate. When the ring is full the oldest goes.
#pragma once

#include <cstdint>
#include <memory>

#include "nmio/packet.h"
#include "tcpip/flow_key.h"
#include "tcpip/seq.h"
#include "tcpip/table.h"

namespace stackrig::tcpip {

struct TimeWaitEntry {
  FlowKey key;
  std::uint32_t hash;
  bool alive = false;
  bool timestamps = false;
  std::uint16_t window = 0;  ///< as in our last segment's field
  Seq snd_nxt = 0;
  Seq rcv_nxt = 0;
  std::uint32_t ts_recent = 0;
  std::uint32_t ts_offset = 0;
  nmio::Time expires = 0;
};
static_assert(sizeof(TimeWaitEntry) <= 64);

class TimeWaitRing {
 public:
  explicit TimeWaitRing(std::uint32_t entries)
      : entries_(std::make_unique<TimeWaitEntry[]>(entries)), capacity_(entries) {}

  [[nodiscard]] TimeWaitEntry& operator[](std::uint32_t i) { return entries_[i]; }

  /// The place of a new entry; the oldest is taken out of `table` where the ring is full. The
  /// caller fills the entry and enters it. `recycled`: one that was alive had to go.
  std::uint32_t push(ConnectionTable& table, bool& recycled) {
    recycled = false;
    if (used_ == capacity_) {
      recycled = entries_[tail_].alive;
      pop(table);
    }
    const std::uint32_t place = head_;
    head_ = next(head_);
    ++used_;
    ++alive_;
    // The next one to go is known now: have its bucket at hand when it does.
    if (used_ == capacity_) {
      table.prefetch(entries_[tail_].hash);
      __builtin_prefetch(&entries_[next(tail_)]);
    }
    return place;
  }
  /// The entry is over; the caller has taken it out of the table or replaced it there.
  void kill(std::uint32_t i) {
    entries_[i].alive = false;
    --alive_;
  }
  /// Takes out what has expired, `limit` entries at most: a bounded piece of work.
  void expire(ConnectionTable& table, nmio::Time now, unsigned limit) {
    while (used_ != 0 && limit-- != 0 &&
           (!entries_[tail_].alive || entries_[tail_].expires <= now)) {
      pop(table);
    }
  }
  [[nodiscard]] nmio::Time next_deadline() const {
    return used_ == 0 ? nmio::kNever : entries_[tail_].expires;
  }
  [[nodiscard]] std::uint32_t alive() const { return alive_; }

  void clear() { head_ = tail_ = used_ = alive_ = 0; }

 private:
  [[nodiscard]] std::uint32_t next(std::uint32_t i) const { return i + 1 == capacity_ ? 0 : i + 1; }
  void pop(ConnectionTable& table) {
    TimeWaitEntry& e = entries_[tail_];
    if (e.alive) {
      table.erase(e.hash, Ref::time_wait(tail_));
      e.alive = false;
      --alive_;
    }
    tail_ = next(tail_);
    --used_;
  }

  std::unique_ptr<TimeWaitEntry[]> entries_;
  std::uint32_t capacity_;
  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
  std::uint32_t used_ = 0;
  std::uint32_t alive_ = 0;
};

}  // namespace stackrig::tcpip
