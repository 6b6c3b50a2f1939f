// SPDX-License-Identifier: Apache-2.0
#include "delaybox/direction.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "nmio/rss.h"

namespace stackrig::delaybox {
namespace {

constexpr std::uint32_t kWireOverhead = 24;  // preamble, FCS and gap, bytes
constexpr std::size_t kEthernet = 14;

/// splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
std::uint64_t mixed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

bool is_ipv4(const nmio::RxPacket& p) {
  return p.len >= kEthernet + 20 && p.data[12] == std::byte{0x08} && p.data[13] == std::byte{0x00};
}

}  // namespace

std::span<const DirectionCounterInfo> direction_counter_table() {
  using C = DirectionCounters;
  static constexpr auto kTable = std::to_array<DirectionCounterInfo>({
      {"received", "packets", &C::received},
      {"forwarded", "packets", &C::forwarded},
      {"lost", "packets", &C::lost},
      {"reordered", "packets", &C::reordered},
      {"queue_full", "packets", &C::queue_full},
      {"no_buffer", "packets", &C::no_buffer},
      {"passed", "packets", &C::passed},
      {"held_now", "packets", &C::held_now},
  });
  return kTable;
}

Direction::Direction(const LinkConfig& link, nmio::PacketMemory& memory, std::uint64_t seed,
                     Time now)
    : link_(link),
      memory_(memory),
      buckets_(2 * link.bands + 1, memory.chunks(), now),
      flow_seed_(mixed(seed ^ 0x666c6f77)),
      loss_dice_(mixed(seed)),
      reorder_dice_(mixed(seed ^ 0x72656f72)) {
}

void Direction::accept(const nmio::RxPacket& packet, Time now) {
  ++counters_->received;
  if (!is_ipv4(packet)) {
    ++counters_->passed;
    hold(packet, 2 * link_.bands, now);
    return;
  }
  if (chance(loss_dice_, link_.loss)) {
    ++counters_->lost;
    return;
  }
  Time departure = now;
  if (link_.rate != 0 && !departs(packet.len, now, departure)) {
    ++counters_->queue_full;
    return;
  }
  const unsigned band = band_of({packet.data, packet.len});
  Time due = departure + link_.delay_of(band);
  unsigned bucket = band;
  if (chance(reorder_dice_, link_.reorder)) {
    ++counters_->reordered;
    due += link_.reorder_by;
    bucket += link_.bands;
  }
  hold(packet, bucket, due);
}

/// When the rate lets a packet go that comes now; false where too much waits already.
bool Direction::departs(std::uint32_t len, Time now, Time& departure) {
  const Time waits = free_at_ > now ? free_at_ - now : 0;
  const auto ns_of = [this](std::uint64_t bytes) {
    return static_cast<Time>(static_cast<unsigned __int128>(bytes) * 8 * nmio::kSecond /
                             link_.rate);
  };
  if (waits > ns_of(link_.queue_bytes)) return false;
  free_at_ = std::max(free_at_, now) + ns_of(len + kWireOverhead);
  departure = free_at_;
  return true;
}

void Direction::hold(const nmio::RxPacket& packet, unsigned bucket, Time due) {
  const ChunkId chunk = packet.len <= memory_.chunk_size() ? memory_.take() : nmio::kNoChunk;
  if (chunk == kNoChunk) {
    ++counters_->no_buffer;
    return;
  }
  std::memcpy(memory_.data(chunk), packet.data, packet.len);
  buckets_.hold(bucket, chunk, packet.len, due);
  counters_->held_now = buckets_.held();
}

void Direction::release(nmio::TxBatch& batch, Time now) {
  buckets_.release(now, [&](ChunkId chunk, std::uint32_t len, Time due) {
    if (!batch.has_room()) return false;
    batch.push({.data = memory_.data(chunk), .len = len, .chunk = chunk});
    ++counters_->forwarded;
    if (late_ != nullptr) late_->record(now - due);
    return true;
  });
  counters_->held_now = buckets_.held();
}

/// Constant for a flow: its addresses and ports choose, with the seed.
unsigned Direction::band_of(std::span<const std::byte> frame) const {
  if (link_.bands < 2) return 0;
  const std::uint64_t hash = mixed(flow_seed_ + nmio::rss_hash_frame(frame));
  return static_cast<unsigned>((hash >> 32) * link_.bands >> 32);
}

bool Direction::chance(std::uint64_t& dice, double share) {
  if (share <= 0) return false;
  dice += 0x9e3779b97f4a7c15U;
  return static_cast<double>(mixed(dice) >> 11) * 0x1.0p-53 < share;
}

}  // namespace stackrig::delaybox
