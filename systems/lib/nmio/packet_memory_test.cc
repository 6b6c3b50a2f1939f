// SPDX-License-Identifier: Apache-2.0
#include "nmio/packet_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <set>
#include <stdexcept>

namespace stackrig::nmio {
namespace {

std::unique_ptr<PacketMemory> make(std::uint32_t chunks) {
  return PacketMemory::create({.chunks = chunks, .chunk_size = 2048, .huge_pages = false});
}

TEST(PacketMemory, EveryChunkOnceThenNone) {
  auto m = make(100);
  std::set<ChunkId> seen;
  for (ChunkId c = m->take(); c != kNoChunk; c = m->take()) {
    EXPECT_TRUE(seen.insert(c).second);
    EXPECT_EQ(m->chunk_of(m->data(c)), c);
    EXPECT_EQ(m->chunk_of(m->data(c) + 2047), c);
  }
  EXPECT_EQ(seen.size(), 100U);
  EXPECT_EQ(m->free_count(), 0U);
  for (const ChunkId c : seen) m->give_back(c);
  EXPECT_EQ(m->free_count(), 100U);
}

TEST(PacketMemory, TheChunkGivenBackLastIsTakenFirst) {
  auto m = make(4);
  const ChunkId a = m->take();
  const ChunkId b = m->take();
  m->give_back(a);
  m->give_back(b);
  EXPECT_EQ(m->take(), b);
  EXPECT_EQ(m->take(), a);
}

TEST(PacketMemory, AChunkReturnsToItsHome) {
  auto m = make(4);
  const HomeId copies = m->make_home();
  EXPECT_EQ(m->take(copies), kNoChunk);
  const ChunkId c = m->take();
  m->set_home(c, copies);
  m->give_back(c);
  EXPECT_EQ(m->free_count(), 3U);
  EXPECT_EQ(m->total_count(), 3U);
  EXPECT_EQ(m->free_count(copies), 1U);
  EXPECT_EQ(m->total_count(copies), 1U);
  EXPECT_EQ(m->take(copies), c);
}

TEST(PacketMemory, BorrowedChunksLieTogetherAndCountTheirTransmissions) {
  auto m = make(10);
  const ChunkId first = m->reserve_contiguous(4);
  ASSERT_NE(first, kNoChunk);
  EXPECT_EQ(m->data(first + 3) - m->data(first), 3 * 2048);
  EXPECT_EQ(m->free_count(), 6U);
  m->add_in_flight(first + 1);
  m->add_in_flight(first + 1);
  m->give_back(first + 1);
  EXPECT_EQ(m->in_flight(first + 1), 1U);
  EXPECT_EQ(m->free_count(), 6U) << "a borrowed chunk is never free";
  for (ChunkId c = m->take(); c != kNoChunk; c = m->take()) EXPECT_LT(c, first);
}

TEST(PacketMemory, NoRunIsReservedOverAChunkInUse) {
  auto m = make(4);
  while (m->take() != kNoChunk) {
  }
  EXPECT_EQ(m->reserve_contiguous(1), kNoChunk);
  EXPECT_EQ(make(4)->reserve_contiguous(5), kNoChunk);
}

TEST(PacketMemory, AnotherMappingOfTheFdShowsTheSameBytes) {
  auto m = make(2);
  std::memcpy(m->data(1), "frame", 5);
  void* view = mmap(nullptr, m->size_bytes(), PROT_READ, MAP_SHARED, m->fd(), 0);
  ASSERT_NE(view, MAP_FAILED);
  EXPECT_EQ(std::memcmp(static_cast<char*>(view) + 2048, "frame", 5), 0);
  munmap(view, m->size_bytes());
}

TEST(PacketMemory, SaysWhyItIsOnPlainPages) {
  auto m = PacketMemory::create({.chunks = 2, .chunk_size = 2048, .huge_pages = true});
  EXPECT_EQ(m->plain_pages_reason().empty(), m->on_huge_pages());
}

TEST(PacketMemory, SizesThatCannotBeAreRefused) {
  EXPECT_THROW(PacketMemory::create({.chunks = 0}), std::invalid_argument);
  EXPECT_THROW(PacketMemory::create({.chunks = 1, .chunk_size = 1500}), std::invalid_argument);
}

}  // namespace
}  // namespace stackrig::nmio
