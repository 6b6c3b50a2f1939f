// SPDX-License-Identifier: Apache-2.0
// Memory for bytes that are to be sent, in blocks that the device can reach: what services have
// taken from their receivers stays here, by reference, until it is acknowledged (DLibOS section 4).
//
// Who queues bytes reserves room beforehand (reserve()), and the sum of all reservations fits: so
// nobody waits for memory that another holds, and there is no deadlock to be had.
//
// Thread: the one that owns the packet memory. Nothing is allocated after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nmio/packet_memory.h"
#include "tcpip/gather_owner.h"

namespace stackrig::rtc {

class SendPool {
 public:
  static constexpr std::uint32_t kBlockBytes = 4096;
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  struct Config {
    std::uint32_t blocks = 16384;
    std::uint32_t writes = 65536;  ///< that are on their way at a time, of all connections
    /// Blocks that nobody may reserve: acknowledged, while a device still refers to them.
    std::uint32_t spare_blocks = 0;
    std::uint32_t reference_from = 0;  ///< bytes; shorter segments are copied (GatherOwner)
  };
  /// Takes the blocks out of `memory`. Throws nmio::SetupError where it has no such run of chunks.
  SendPool(nmio::PacketMemory& memory, const Config& config);

  /// Chunks of `chunk_size` bytes that so many blocks are made of.
  static std::uint64_t chunks_for(std::uint64_t blocks, std::uint32_t chunk_size) {
    return (blocks * kBlockBytes + chunk_size - 1) / chunk_size;
  }
  /// Blocks that `bytes` bytes in a row may touch.
  static std::uint32_t blocks_for(std::uint64_t bytes) {
    return static_cast<std::uint32_t>((bytes + kBlockBytes - 1) / kBlockBytes) + 1;
  }

  /// False where the pool has not that many that nobody has reserved.
  bool reserve(std::uint32_t blocks);
  /// The same for what is good to have: a part of the pool is left for those that need it.
  bool reserve_more(std::uint32_t blocks) {
    return reservable_ >= blocks + this->blocks() / 4 && reserve(blocks);
  }
  void unreserve(std::uint32_t blocks) { reservable_ += blocks; }

  // --- for SendQueue ---------------------------------------------------------------------------
  std::uint32_t take();  ///< a block with one reference; kNone where none is free
  void add_reference(std::uint32_t block) { ++blocks_[block].references; }
  void drop_reference(std::uint32_t block) {
    if (--blocks_[block].references == 0) put_free(block);
  }
  [[nodiscard]] bool is_only_reference(std::uint32_t block) const {
    return blocks_[block].references == 1;
  }
  void chain(std::uint32_t block, std::uint32_t next) { blocks_[block].next = next; }
  [[nodiscard]] std::uint32_t next(std::uint32_t block) const { return blocks_[block].next; }
  [[nodiscard]] std::byte* data(std::uint32_t block) const {
    return base_ + std::size_t{block} * kBlockBytes;
  }
  [[nodiscard]] bool has_write() const { return gather_.held() < writes_.size(); }
  /// A write of `parts`, which lie in `count` chained blocks from `first` on. It takes over a
  /// reference of each. has_write() is true.
  std::uint64_t add_write(std::span<const tcpip::Fragment> parts, std::uint32_t first,
                          std::uint32_t count);
  [[nodiscard]] tcpip::ByteOwner& owner() { return gather_; }

  /// Each turn: blocks that a device has let go of.
  void poll() { gather_.poll(); }

  [[nodiscard]] std::uint32_t blocks() const { return static_cast<std::uint32_t>(blocks_.size()); }
  [[nodiscard]] std::uint32_t free_blocks() const { return free_count_; }
  [[nodiscard]] std::uint32_t reservable() const { return reservable_; }
  [[nodiscard]] std::uint32_t writes_held() const { return gather_.held(); }

 private:
  struct Block {
    std::uint32_t references = 0;
    std::uint32_t next = kNone;  ///< in its queue, or on the free list
  };
  struct Write {
    std::uint32_t first = kNone;
    std::uint32_t count = 0;
  };
  void put_free(std::uint32_t block) {
    blocks_[block].next = free_;
    free_ = block;
    ++free_count_;
  }
  static void write_done(void* pool, std::uint64_t cookie);

  tcpip::GatherOwner gather_;
  std::byte* base_ = nullptr;
  std::vector<Block> blocks_;
  std::vector<Write> writes_;  ///< by cookie
  std::uint32_t free_ = kNone;
  std::uint32_t free_count_ = 0;
  std::uint32_t reservable_;
};

}  // namespace stackrig::rtc
