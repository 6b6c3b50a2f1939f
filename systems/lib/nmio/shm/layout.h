// SPDX-License-Identifier: Apache-2.0
// What the two sides of a soft NIC share: descriptors, indices, and where they lie.
//
// Each side writes one region, which the other maps read-only: its transmit rings and how far it
// has filled them, how far it has emptied the peer's, and whether its queues sleep. A descriptor
// names bytes in the sender's packet memory, which the receiver maps read-only too; the receiver
// copies them out
// ("DMA") and counts the descriptor as consumed, which is the sender's completion.
//
// There is one ring for each pair of a sending and a receiving queue, so each has one producer and
// one consumer. Indices run freely, modulo 2^32. Nothing read from the peer's region is used before
// it has been copied and checked.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "nmio/packet.h"

namespace stackrig::nmio::shm {

/// Two cache lines: the adjacent-line prefetcher pulls lines in pairs.
struct alignas(128) Index {
  std::atomic<std::uint32_t> value;
};
static_assert(sizeof(Index) == 128 && std::atomic<std::uint32_t>::is_always_lock_free);

/// A transmit descriptor, four to a cache line.
struct Descriptor {
  std::uint64_t place;  ///< offset in the sender's packet memory (40 bits), length (20), flags (4)
  std::uint64_t about;  ///< segment size (16 bits), L4 offset (8), header length (8), RSS hash (32)

  static constexpr std::uint32_t kMaxLength = (1U << 20) - 1;
  static constexpr std::uint64_t kMaxOffset = (std::uint64_t{1} << 40) - 1;

  static Descriptor make(std::uint64_t offset, const TxPacket& p, std::uint32_t hash) {
    return {offset | std::uint64_t{p.len} << 40 | (p.flags & std::uint64_t{0xf}) << 60,
            p.segment_size | std::uint64_t{p.l4_offset} << 16 | std::uint64_t{p.header_len} << 24 |
                std::uint64_t{hash} << 32};
  }
  [[nodiscard]] std::uint64_t offset() const { return place & kMaxOffset; }
  [[nodiscard]] std::uint32_t len() const {
    return static_cast<std::uint32_t>(place >> 40) & kMaxLength;
  }
  [[nodiscard]] unsigned flags() const { return static_cast<unsigned>(place >> 60); }
  [[nodiscard]] std::uint32_t segment_size() const { return about & 0xffff; }
  [[nodiscard]] std::uint32_t l4_offset() const { return about >> 16 & 0xff; }
  [[nodiscard]] std::uint32_t header_len() const { return about >> 24 & 0xff; }
  [[nodiscard]] std::uint32_t hash() const { return static_cast<std::uint32_t>(about >> 32); }
};
static_assert(sizeof(Descriptor) == 16);

/// Where things lie in the region that a side with `writer_queues` writes for a reader with
/// `reader_queues`, whose receive rings have `reader_ring` descriptors.
class RegionLayout {
 public:
  RegionLayout(unsigned writer_queues, unsigned reader_queues, std::uint32_t reader_ring)
      : writers_(writer_queues), readers_(reader_queues), ring_(reader_ring) {}

  [[nodiscard]] std::size_t bytes() const { return rings_at() + pairs() * ring_bytes(); }
  [[nodiscard]] std::uint32_t ring() const { return ring_; }

  /// Odd while the writer's queue sleeps; grows with each sleep and each waking.
  [[nodiscard]] Index* sleeps(std::byte* base, unsigned queue) const {
    return reinterpret_cast<Index*>(base) + queue;
  }
  /// How far the writer's queue has emptied the ring of the reader's queue `from`.
  [[nodiscard]] Index* consumed(std::byte* base, unsigned queue, unsigned from) const {
    return reinterpret_cast<Index*>(base) + writers_ + pair(queue, from);
  }
  /// How far the writer's queue has filled its ring towards the reader's queue `to`.
  [[nodiscard]] Index* produced(std::byte* base, unsigned queue, unsigned to) const {
    return reinterpret_cast<Index*>(base) + writers_ + pairs() + pair(queue, to);
  }
  [[nodiscard]] Descriptor* ring(std::byte* base, unsigned queue, unsigned to) const {
    return reinterpret_cast<Descriptor*>(base + rings_at() + pair(queue, to) * ring_bytes());
  }

 private:
  [[nodiscard]] std::size_t pairs() const { return std::size_t{writers_} * readers_; }
  [[nodiscard]] std::size_t pair(unsigned writer, unsigned reader) const {
    return std::size_t{writer} * readers_ + reader;
  }
  [[nodiscard]] std::size_t ring_bytes() const { return std::size_t{ring_} * sizeof(Descriptor); }
  [[nodiscard]] std::size_t rings_at() const { return sizeof(Index) * (writers_ + 2 * pairs()); }

  unsigned writers_;
  unsigned readers_;
  std::uint32_t ring_;
};

}  // namespace stackrig::nmio::shm
