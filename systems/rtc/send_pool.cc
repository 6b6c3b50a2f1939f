// SPDX-License-Identifier: Apache-2.0
#include "send_pool.h"

#include <algorithm>
#include <string>

#include "nmio/port.h"

namespace stackrig::rtc {

SendPool::SendPool(nmio::PacketMemory& memory, const Config& config)
    : gather_(memory, config.writes, config.reference_from),
      blocks_(config.blocks),
      writes_(config.writes),
      reservable_(config.blocks - std::min(config.blocks, config.spare_blocks)) {
  const std::uint64_t chunks = chunks_for(config.blocks, memory.chunk_size());
  const nmio::ChunkId first = chunks < memory.chunks()
                                  ? memory.reserve_contiguous(static_cast<std::uint32_t>(chunks))
                                  : nmio::kNoChunk;
  if (first == nmio::kNoChunk) {
    throw nmio::SetupError("packet memory of " + std::to_string(memory.chunks()) +
                           " chunks has no room for " + std::to_string(chunks) +
                           " of them to send from; raise --chunks or lower --send-memory-mib");
  }
  base_ = memory.data(first);
  for (std::uint32_t i = config.blocks; i-- > 0;) put_free(i);
}

bool SendPool::reserve(std::uint32_t blocks) {
  if (blocks > reservable_) return false;
  reservable_ -= blocks;
  return true;
}

std::uint32_t SendPool::take() {
  const std::uint32_t block = free_;
  if (block == kNone) return kNone;
  free_ = blocks_[block].next;
  --free_count_;
  blocks_[block] = {.references = 1, .next = kNone};
  return block;
}

std::uint64_t SendPool::add_write(std::span<const tcpip::Fragment> parts, std::uint32_t first,
                                  std::uint32_t count) {
  const std::uint64_t cookie = gather_.add(parts, write_done, this).value_or(0);
  writes_[cookie] = {first, count};
  return cookie;
}

void SendPool::write_done(void* pool, std::uint64_t cookie) {
  auto& self = *static_cast<SendPool*>(pool);
  const Write w = self.writes_[cookie];
  std::uint32_t block = w.first;
  for (std::uint32_t i = 0; i < w.count; ++i) {
    const std::uint32_t next = self.next(block);  // dropping it may free the block
    self.drop_reference(block);
    block = next;
  }
}

}  // namespace stackrig::rtc
