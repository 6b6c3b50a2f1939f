// SPDX-License-Identifier: Apache-2.0
#include "nmio/packet_memory.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace stackrig::nmio {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kPage = 4096;

std::size_t round_up(std::size_t n, std::size_t to) {
  return (n + to - 1) / to * to;
}

struct Region {
  std::byte* base = nullptr;
  int fd = -1;
  std::size_t bytes = 0;
};

/// Maps a new memfd, populated: a page that is not there fails here, not in the packet path. errno
/// says why where base is null.
Region map_memfd(std::size_t bytes, unsigned flags) {
  Region r;
  r.fd = memfd_create("stackrig-packets", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
  if (r.fd < 0) return r;
  // Sealed: a process that maps it as well need not fear that it shrinks.
  if (ftruncate(r.fd, static_cast<off_t>(bytes)) == 0 &&
      fcntl(r.fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0) {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r.fd, 0);
    if (p != MAP_FAILED) {
      r.base = static_cast<std::byte*>(p);
      r.bytes = bytes;
      return r;
    }
  }
  const int why = errno;
  close(r.fd);
  errno = why;
  return r;
}

void check(const PacketMemory::Config& c) {
  if (c.chunks == 0) throw std::invalid_argument("packet memory: no chunks; ask for at least one");
  if (!std::has_single_bit(c.chunk_size) || c.chunk_size < 64) {
    throw std::invalid_argument("packet memory: chunks of " + std::to_string(c.chunk_size) +
                                " bytes cannot be; give a power of two from 64 on");
  }
}

}  // namespace

std::unique_ptr<PacketMemory> PacketMemory::create(const Config& config) {
  check(config);
  std::unique_ptr<PacketMemory> m(new PacketMemory());
  m->chunks_ = config.chunks;
  m->chunk_size_ = config.chunk_size;
  m->chunk_shift_ = static_cast<unsigned>(std::countr_zero(config.chunk_size));
  const std::size_t bytes = std::size_t{config.chunks} * config.chunk_size;

  Region region;
  if (!config.huge_pages) {
    m->plain_pages_reason_ = "not asked for";
  } else {
    region = map_memfd(round_up(bytes, kHugePage), MFD_HUGETLB | MFD_HUGE_2MB);
    m->on_huge_pages_ = region.base != nullptr;
    if (!m->on_huge_pages_) {
      m->plain_pages_reason_ = std::string("no 2 MiB pages to be had (") + std::strerror(errno) +
                               "); set vm.nr_hugepages";
    }
  }
  if (region.base == nullptr) region = map_memfd(round_up(bytes, kPage), 0);
  if (region.base == nullptr) {
    throw std::system_error(errno, std::generic_category(),
                            "packet memory of " + std::to_string(bytes >> 20) +
                                " MiB cannot be mapped; ask for fewer chunks");
  }
  m->base_ = region.base;
  m->fd_ = region.fd;
  m->mapped_bytes_ = region.bytes;

  m->never_used_end_ = config.chunks;
  m->meta_.resize(config.chunks);
  m->homes_.resize(2);
  m->homes_[kPool].total = config.chunks;
  for (ChunkId c = config.chunks; c-- > 0;) m->give_back(c);
  return m;
}

PacketMemory::~PacketMemory() {
  if (base_ != nullptr) munmap(base_, mapped_bytes_);
  if (fd_ >= 0) close(fd_);
}

HomeId PacketMemory::make_home() {
  homes_.emplace_back();
  return static_cast<HomeId>(homes_.size() - 1);
}

ChunkId PacketMemory::reserve_contiguous(std::uint32_t n) {
  if (n == 0 || n > never_used_end_) return kNoChunk;
  const ChunkId first = never_used_end_ - n;
  // All of the run must lie on the pool's free list: whoever took a chunk of it may still hold it.
  std::uint32_t found = 0;
  for (ChunkId c = homes_[kPool].head; c != kNoChunk; c = meta_[c].next) {
    if (c >= first && c < first + n) ++found;
  }
  if (found != n) return kNoChunk;

  ChunkId* link = &homes_[kPool].head;
  while (*link != kNoChunk) {
    const ChunkId c = *link;
    if (c >= first && c < first + n) {
      *link = meta_[c].next;
    } else {
      link = &meta_[c].next;
    }
  }
  homes_[kPool].free -= n;
  for (ChunkId c = first; c < first + n; ++c) set_home(c, kBorrowed);
  never_used_end_ = first;
  return first;
}

}  // namespace stackrig::nmio
