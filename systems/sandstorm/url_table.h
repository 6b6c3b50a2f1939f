// SPDX-License-Identifier: Apache-2.0
// From a path to what it is answered with: a hash table that is built once and then only read.
//
// Open addressing at a load of at most one half, so a look-up is one or two cache lines and one
// string comparison. Peers choose what is looked up but not what is in it, so the hash needs no
// key.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace stackrig::sandstorm {

class UrlTable {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  explicit UrlTable(std::size_t paths) : slots_(std::bit_ceil(paths * 2 + 2)) {}

  /// A path that is in already keeps its value.
  void insert(std::string_view path, std::uint32_t value) {
    Slot& s = slots_[locate(path)];
    if (s.value != kNone) return;
    s = {hash(path), value, static_cast<std::uint32_t>(path.size()),
         static_cast<std::uint32_t>(text_.size())};
    text_.append(path);
  }
  /// kNone where it is not in.
  [[nodiscard]] std::uint32_t find(std::string_view path) const {
    return slots_[locate(path)].value;
  }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t value = kNone;
    std::uint32_t len = 0;
    std::uint32_t text = 0;
  };
  static std::uint64_t hash(std::string_view path) { return std::hash<std::string_view>{}(path); }

  /// Its slot, or the empty one where it would stand.
  [[nodiscard]] std::size_t locate(std::string_view path) const {
    const std::uint64_t h = hash(path);
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = h & mask;; i = (i + 1) & mask) {
      const Slot& s = slots_[i];
      if (s.value == kNone) return i;
      if (s.hash == h && std::string_view{text_}.substr(s.text, s.len) == path) return i;
    }
  }

  std::vector<Slot> slots_;
  std::string text_;
};

}  // namespace stackrig::sandstorm
