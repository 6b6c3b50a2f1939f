// SPDX-License-Identifier: Apache-2.0
// Domain names in wire form (RFC 1035 3.1): labels of a length byte and that many bytes, the last
// one empty (the root). Uncompressed, unless a function says otherwise. Names compare without
// regard to the case of ASCII letters (RFC 4343).
//
// What is not said to check its input takes names that were checked before: of a zone, or of a
// parsed query.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "dns/message.h"

namespace stackrig::dns {

constexpr std::uint8_t lower(std::uint8_t c) {
  return c >= 'A' && c <= 'Z' ? static_cast<std::uint8_t>(c | 0x20) : c;
}

/// Eight bytes at once. The length bytes of a name are below 'A' and stay what they are.
constexpr std::uint64_t lower(std::uint64_t bytes) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  const std::uint64_t seven = bytes & (0x7f * kOnes);
  const std::uint64_t from_a = seven + (0x80 - 'A') * kOnes;  // top bit: >= 'A'
  const std::uint64_t past_z = seven + (0x7f - 'Z') * kOnes;  // top bit: > 'Z'
  return bytes | ((from_a & ~past_z & ~bytes & (0x80 * kOnes)) >> 2);
}

/// Bytes of the name at `p`, its root label included.
inline std::size_t name_length(const std::uint8_t* p) {
  const std::uint8_t* q = p;
  while (*q != 0) q += 1 + *q;
  return static_cast<std::size_t>(q - p) + 1;
}

/// `n` bytes, without regard to case.
inline bool equal_bytes(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

inline bool equal_names(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  return a.size() == b.size() && equal_bytes(a.data(), b.data(), a.size());
}

/// The order of two labels, given with their length bytes (RFC 4034 6.1): <0, 0, >0.
int compare_labels(const std::uint8_t* a, const std::uint8_t* b);

/// Where the labels of a name begin, the one next to the root first; the root itself is left out.
class Labels {
 public:
  Labels(const std::uint8_t* name);  // NOLINT(google-explicit-constructor): a view of it
  [[nodiscard]] std::size_t size() const { return count_; }
  /// The label that is `i` below the root, with its length byte.
  [[nodiscard]] const std::uint8_t* operator[](std::size_t i) const {
    return name_ + starts_[count_ - 1 - i];
  }
  /// The name that ends with the `n` labels next to the root: a suffix of the name given.
  [[nodiscard]] const std::uint8_t* suffix(std::size_t n) const {
    return n == 0 ? name_ + root_ : (*this)[n - 1];
  }

 private:
  const std::uint8_t* name_;
  std::uint8_t count_ = 0;
  std::uint8_t root_ = 0;
  std::array<std::uint8_t, kMaxLabels> starts_;
};

/// A name of its own.
class Name {
 public:
  Name() { bytes_[0] = 0; }
  explicit Name(std::span<const std::uint8_t> wire) { assign(wire); }
  /// "www.example.com", with or without the last dot, escapes as in a zone file (RFC 1035 5.1).
  static std::optional<Name> from_text(std::string_view text);

  void assign(std::span<const std::uint8_t> wire) {
    std::memcpy(bytes_.data(), wire.data(), wire.size());
    size_ = static_cast<std::uint16_t>(wire.size());
  }
  /// `head` (labels without a root) before `tail` (a name). False, and nothing done, where that is
  /// longer than a name may be.
  bool join(std::span<const std::uint8_t> head, std::span<const std::uint8_t> tail);
  void to_lower();

  [[nodiscard]] const std::uint8_t* data() const { return bytes_.data(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::span<const std::uint8_t> wire() const { return {bytes_.data(), size_}; }

 private:
  std::array<std::uint8_t, kMaxName> bytes_;  // the rest is not worth the time to clear it
  std::uint16_t size_ = 1;
};

/// "www.example.com." with escapes, for messages and logs.
std::string name_to_text(const std::uint8_t* name);

}  // namespace stackrig::dns
