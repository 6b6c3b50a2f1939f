// SPDX-License-Identifier: Apache-2.0
// Which backend a key leads to: looked up once per message. Open addressing, no tombstones, at most
// half full.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace stackrig::rtc {

class KeyTable {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  /// For at most `keys` at a time.
  explicit KeyTable(std::uint32_t keys)
      : slots_(std::bit_ceil(std::size_t{2} * keys + 2)),
        mask_(static_cast<std::uint32_t>(slots_.size() - 1)) {}

  [[nodiscard]] std::uint32_t find(std::int32_t key) const {
    for (std::uint32_t i = home(key);; i = (i + 1) & mask_) {
      if (slots_[i].value == kNone || slots_[i].key == key) return slots_[i].value;
    }
  }
  /// Replaces what the key led to.
  void set(std::int32_t key, std::uint32_t value) {
    std::uint32_t i = home(key);
    while (slots_[i].value != kNone && slots_[i].key != key) i = (i + 1) & mask_;
    slots_[i] = {key, value};
  }
  void erase(std::int32_t key) {
    std::uint32_t hole = home(key);
    while (slots_[hole].value != kNone && slots_[hole].key != key) hole = (hole + 1) & mask_;
    if (slots_[hole].value == kNone) return;
    // What follows without a gap moves up, unless it would get in front of its home.
    for (std::uint32_t i = (hole + 1) & mask_; slots_[i].value != kNone; i = (i + 1) & mask_) {
      if (((i - home(slots_[i].key)) & mask_) < ((i - hole) & mask_)) continue;
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = {};
  }

 private:
  struct Slot {
    std::int32_t key = 0;
    std::uint32_t value = kNone;
  };
  /// Knuth's multiplicative hash: keys in a row lie apart, and so do those that are multiples.
  [[nodiscard]] std::uint32_t home(std::int32_t key) const {
    return static_cast<std::uint32_t>(
               (std::uint64_t{static_cast<std::uint32_t>(key)} * 11400714819323198485ULL) >> 32) &
           mask_;
  }

  std::vector<Slot> slots_;
  std::uint32_t mask_;
};

}  // namespace stackrig::rtc
