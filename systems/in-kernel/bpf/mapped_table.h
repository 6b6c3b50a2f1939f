// SPDX-License-Identifier: Apache-2.0
// A BPF array map (BPF_F_MMAPABLE) as an array in this process' memory.
#pragma once

#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace stackrig::in_kernel {

/// Bytes that `count` entries are mapped in: whole pages.
template <class T>
std::size_t table_bytes(std::uint32_t count) {
  constexpr std::size_t kPage = 4096;
  return (count * sizeof(T) + kPage - 1) / kPage * kPage;
}

/// The entries; nullptr where the kernel refuses, and errno says why. unmap_table() ends it.
template <class T>
T* map_table(const bpf_map* map, std::uint32_t count) {
  void* at = ::mmap(nullptr, table_bytes<T>(count), PROT_READ | PROT_WRITE, MAP_SHARED,
                    bpf_map__fd(map), 0);
  return at == MAP_FAILED ? nullptr : static_cast<T*>(at);
}

/// Also of nullptr.
template <class T>
void unmap_table(T* table, std::uint32_t count) {
  if (table != nullptr) ::munmap(table, table_bytes<T>(count));
}

}  // namespace stackrig::in_kernel
