// SPDX-License-Identifier: Apache-2.0
// One direction of the delay box: what becomes of each packet, decided when it comes in.
//
// Loss first, then the rate with its queue, then the delay: as a lossy wire before a bottleneck. A
// packet is copied once, into the memory of the port that it leaves by, and held there; what finds
// no buffer is dropped and counted, so memory is bounded by that port's chunks.
//
// Thread: the one that owns both queues. Nothing is allocated after the start.
#pragma once

#include <cstdint>
#include <span>

#include "delaybox/buckets.h"
#include "delaybox/link.h"
#include "nmio/packet.h"
#include "nmio/packet_memory.h"
#include "telemetry/histogram.h"

namespace stackrig::delaybox {

struct DirectionCounters {
  std::uint64_t received = 0;    ///< packets that came in
  std::uint64_t forwarded = 0;   ///< handed to the device on the other side
  std::uint64_t lost = 0;        ///< by the loss that was asked for
  std::uint64_t reordered = 0;   ///< held longer, as asked for
  std::uint64_t queue_full = 0;  ///< dropped: too much waited for the rate
  std::uint64_t no_buffer = 0;   ///< dropped: the box's memory was full
  std::uint64_t passed = 0;      ///< no IPv4: passed at once
  std::uint64_t held_now = 0;
};

struct DirectionCounterInfo {
  const char* name;
  const char* unit;
  std::uint64_t DirectionCounters::*field;
};
std::span<const DirectionCounterInfo> direction_counter_table();

class Direction {
 public:
  /// `memory`: of the queue that packets leave by. `seed`: of the dice; the same packets in the
  /// same order meet the same fate.
  Direction(const LinkConfig& link, nmio::PacketMemory& memory, std::uint64_t seed, Time now);

  /// Decides about a packet and copies it; the caller keeps `packet.chunk`.
  void accept(const nmio::RxPacket& packet, Time now);
  /// Adds what is due to `batch`, within its room.
  void release(nmio::TxBatch& batch, Time now);
  [[nodiscard]] Time next_deadline() const { return buckets_.next_deadline(); }

  [[nodiscard]] const DirectionCounters& counters() const { return *counters_; }
  /// Moves the counters into memory that outlives this (a telemetry page).
  void place_counters(DirectionCounters* where, telemetry::HistogramData* late) {
    *where = *counters_;
    counters_ = where;
    late_ = late;
  }

 private:
  bool departs(std::uint32_t len, Time now, Time& departure);
  void hold(const nmio::RxPacket& packet, unsigned bucket, Time due);
  [[nodiscard]] unsigned band_of(std::span<const std::byte> frame) const;
  static bool chance(std::uint64_t& dice, double share);

  LinkConfig link_;
  nmio::PacketMemory& memory_;
  Buckets buckets_;  ///< one per band, one per band for what is reordered, one for what passes
  std::uint64_t flow_seed_;
  std::uint64_t loss_dice_, reorder_dice_;  ///< apart: one kind of fault does not move the other's
  Time free_at_ = 0;                        ///< when the rate has sent what waits for it
  DirectionCounters own_counters_;
  DirectionCounters* counters_ = &own_counters_;
  telemetry::HistogramData* late_ = nullptr;  ///< ns after its time that a packet was sent
};

}  // namespace stackrig::delaybox
