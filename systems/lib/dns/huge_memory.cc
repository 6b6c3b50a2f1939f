// SPDX-License-Identifier: Apache-2.0
#include "dns/huge_memory.h"

#include <sys/mman.h>

#include <new>

namespace stackrig::dns {

HugeMemory::HugeMemory(std::size_t bytes) : size_(bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t page = bytes >= kHugePage ? kHugePage : std::size_t{4096};
  const std::size_t mapped = (bytes + page - 1) / page * page;
  if (mapped == 0) return;
  void* p = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  ::madvise(p, mapped, MADV_HUGEPAGE);  // a wish: without it the table is the same, but slower
  bytes_ = {static_cast<std::uint8_t*>(p), Unmap{mapped}};
}

void HugeMemory::Unmap::operator()(std::uint8_t* p) const {
  ::munmap(p, mapped);
}

}  // namespace stackrig::dns
