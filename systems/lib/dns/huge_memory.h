// SPDX-License-Identifier: Apache-2.0
// Memory for a table that is read at random: on huge pages where the kernel gives them, so that a
// look-up misses the TLB less often; on others where it does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace stackrig::dns {

class HugeMemory {
 public:
  HugeMemory() = default;
  /// Zeroed, at the beginning of a page. Throws std::bad_alloc.
  explicit HugeMemory(std::size_t bytes);

  [[nodiscard]] std::uint8_t* data() { return bytes_.get(); }
  [[nodiscard]] const std::uint8_t* data() const { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  struct Unmap {
    std::size_t mapped;
    void operator()(std::uint8_t* p) const;
  };
  std::unique_ptr<std::uint8_t, Unmap> bytes_;
  std::size_t size_ = 0;
};

}  // namespace stackrig::dns
