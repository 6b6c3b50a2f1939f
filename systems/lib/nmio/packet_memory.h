// SPDX-License-Identifier: Apache-2.0
// Packet memory: a region of equal chunks in a memfd, and the free lists (homes) that chunks belong
// to.
//
// Every chunk has one home at any time. Whoever finishes with a chunk (a protocol, or a device
// whose transmission completed) calls give_back(), and the chunk is on its home's free list again.
// The common pool is a home; so is the set of copies of one prepackaged frame (thesis 3.2.2: copies
// are made on demand and kept). A chunk whose home is kBorrowed is application memory that is sent
// by reference: give_back() only counts its transmission down.
//
// Thread: one thread. Another process may map the region by its fd, with rights of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nmio/packet.h"

namespace stackrig::nmio {

using HomeId = std::uint32_t;
inline constexpr HomeId kPool = 0;  ///< the common pool
inline constexpr HomeId kBorrowed =
    1;  ///< application memory, referenced until sent and acknowledged

class PacketMemory {
 public:
  struct Config {
    std::uint32_t chunks = 8192;
    std::uint32_t chunk_size = 2048;  ///< a power of two, 2048 or 4096 for afxdp
    bool huge_pages = true;  ///< 2 MiB pages where the system has them; else plain, reported
  };

  /// Throws std::system_error or std::invalid_argument with the thing, the cause and the remedy.
  static std::unique_ptr<PacketMemory> create(const Config& config);
  ~PacketMemory();
  PacketMemory(const PacketMemory&) = delete;
  PacketMemory& operator=(const PacketMemory&) = delete;

  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] std::size_t size_bytes() const { return std::size_t{chunks_} * chunk_size_; }
  [[nodiscard]] std::uint32_t chunks() const { return chunks_; }
  [[nodiscard]] std::uint32_t chunk_size() const { return chunk_size_; }
  /// The memfd; sealed against shrinking. mapped_bytes(): its size, whole pages.
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::size_t mapped_bytes() const { return mapped_bytes_; }
  [[nodiscard]] bool on_huge_pages() const { return on_huge_pages_; }
  /// Why plain pages are used; empty on huge pages.
  [[nodiscard]] const std::string& plain_pages_reason() const { return plain_pages_reason_; }

  [[nodiscard]] std::byte* data(ChunkId c) const {
    return base_ + (std::size_t{c} << chunk_shift_);
  }
  [[nodiscard]] ChunkId chunk_of(const std::byte* p) const {
    return static_cast<ChunkId>(static_cast<std::size_t>(p - base_) >> chunk_shift_);
  }

  /// A new, empty home; its id is the one after the last. Homes are never removed.
  HomeId make_home();
  [[nodiscard]] std::size_t homes() const { return homes_.size(); }
  /// Takes a chunk from a home; kNoChunk where it is empty. Last in, first out: the warmest chunk.
  ChunkId take(HomeId home = kPool) {
    Home& h = homes_[home];
    const ChunkId c = h.head;
    if (c == kNoChunk) return kNoChunk;
    h.head = meta_[c].next;
    --h.free;
    return c;
  }
  /// Puts a chunk back to its home, or counts a borrowed chunk's transmission down.
  void give_back(ChunkId c) {
    Meta& m = meta_[c];
    if (m.home == kBorrowed) {
      --m.in_flight;
      return;
    }
    Home& h = homes_[m.home];
    m.next = h.head;
    h.head = c;
    ++h.free;
  }
  /// Changes the home of a chunk that the caller holds.
  void set_home(ChunkId c, HomeId home) {
    --homes_[meta_[c].home].total;
    ++homes_[home].total;
    meta_[c].home = home;
  }
  [[nodiscard]] HomeId home_of(ChunkId c) const { return meta_[c].home; }
  [[nodiscard]] std::uint32_t free_count(HomeId h = kPool) const { return homes_[h].free; }
  [[nodiscard]] std::uint32_t total_count(HomeId h = kPool) const { return homes_[h].total; }

  /// `n` chunks that lie next to each other, made kBorrowed: application memory that the device can
  /// reach. kNoChunk where the region has no such run left that was never used. Set-up only.
  ChunkId reserve_contiguous(std::uint32_t n);
  /// Transmissions of a borrowed chunk still with the device.
  void add_in_flight(ChunkId c) { ++meta_[c].in_flight; }
  [[nodiscard]] std::uint32_t in_flight(ChunkId c) const { return meta_[c].in_flight; }

 private:
  struct Meta {
    ChunkId next = kNoChunk;
    HomeId home = kPool;
    std::uint32_t in_flight = 0;
  };
  struct Home {
    ChunkId head = kNoChunk;
    std::uint32_t free = 0;
    std::uint32_t total = 0;
  };
  PacketMemory() = default;

  std::byte* base_ = nullptr;
  std::uint32_t chunks_ = 0;
  std::uint32_t chunk_size_ = 0;
  unsigned chunk_shift_ = 0;
  int fd_ = -1;
  std::size_t mapped_bytes_ = 0;
  bool on_huge_pages_ = false;
  std::string plain_pages_reason_;
  std::uint32_t never_used_end_ = 0;  ///< reserve_contiguous() takes from the region's end
  std::vector<Meta> meta_;
  std::vector<Home> homes_;
};

}  // namespace stackrig::nmio
