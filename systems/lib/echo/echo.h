// SPDX-License-Identifier: Apache-2.0
// The echo protocol of Slick 3.2.2 (listing 3.1): a client sends the size of its buffers, 4 bytes
// big-endian, and then buffers of that size; the server sends each back once it has it whole. A
// size that is not allowed: the server closes. When the client half-closes, what was whole has been
// sent back, what was not is dropped, and the server closes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "wire/byte_order.h"

namespace stackrig::echo {

inline constexpr std::uint16_t kPort = 7;
inline constexpr std::size_t kSizeBytes = 4;
inline constexpr std::uint32_t kLeastSize = 1;  ///< bytes of a buffer
inline constexpr std::uint32_t kMostSize = 65536;

inline bool is_allowed(std::uint32_t size) {
  return size >= kLeastSize && size <= kMostSize;
}

inline std::array<std::byte, kSizeBytes> size_word(std::uint32_t size) {
  wire::Be32 word;
  word.set(size);
  std::array<std::byte, kSizeBytes> bytes;
  std::memcpy(bytes.data(), &word, sizeof word);
  return bytes;
}

/// A server's side of the beginning of a connection: takes the size word out of a stream that may
/// be split anywhere.
class SizeReader {
 public:
  enum class State : std::uint8_t { partial, known, refused };

  /// Takes what belongs to the word off the front of `bytes`. To be called until it is known.
  State take(std::span<const std::byte>& bytes) {
    const std::size_t n = std::min(bytes.size(), kSizeBytes - have_);
    std::copy_n(bytes.begin(), n, word_.begin() + static_cast<std::ptrdiff_t>(have_));
    have_ += n;
    bytes = bytes.subspan(n);
    if (have_ < kSizeBytes) return State::partial;
    wire::Be32 word;
    std::memcpy(&word, word_.data(), sizeof word);
    size_ = word.get();
    return is_allowed(size_) ? State::known : State::refused;
  }
  [[nodiscard]] bool known() const { return have_ == kSizeBytes && is_allowed(size_); }
  /// Bytes of a buffer; once known.
  [[nodiscard]] std::uint32_t size() const { return size_; }

 private:
  std::array<std::byte, kSizeBytes> word_{};
  std::size_t have_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace stackrig::echo
