// SPDX-License-Identifier: Apache-2.0
// Received chunks that are held: bytes that a reader left behind, and bytes beyond a gap.
//
// One record per chunk in a pool of fixed size; a connection's records are a list in the order of
// their sequence numbers. What does not overlap is never copied; what overlaps is resolved one way:
// the bytes that came first stay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "nmio/packet.h"
#include "tcpip/seq.h"

namespace stackrig::tcpip {

inline constexpr std::uint32_t kNoHold = ~std::uint32_t{0};

struct Hold {
  std::byte* data;  ///< in the chunk
  Seq seq;          ///< of data[0]
  std::uint32_t len;
  nmio::ChunkId chunk;
  std::uint32_t next;
  bool fin;  ///< a FIN follows the bytes

  [[nodiscard]] Seq end() const { return seq + len; }
};

class HoldPool {
 public:
  explicit HoldPool(std::uint32_t records)
      : records_(std::make_unique<Hold[]>(records)), capacity_(records) {
    clear();
  }
  [[nodiscard]] Hold& operator[](std::uint32_t i) { return records_[i]; }
  [[nodiscard]] std::uint32_t take() {
    const std::uint32_t i = free_;
    if (i != kNoHold) {
      free_ = records_[i].next;
      ++used_;
    }
    return i;
  }
  void give_back(std::uint32_t i) {
    records_[i].next = free_;
    free_ = i;
    --used_;
  }
  void clear() {
    used_ = 0;
    free_ = kNoHold;
    for (std::uint32_t i = capacity_; i-- > 0;) {
      records_[i].next = free_;
      free_ = i;
    }
  }
  [[nodiscard]] std::uint32_t used() const { return used_; }
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }

 private:
  std::unique_ptr<Hold[]> records_;
  std::uint32_t capacity_;
  std::uint32_t free_ = kNoHold;
  std::uint32_t used_ = 0;
};

}  // namespace stackrig::tcpip
