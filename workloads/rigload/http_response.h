// SPDX-License-Identifier: Apache-2.0
// The head of an HTTP/1.x response (RFC 9112), as far as a load generator needs it: status, length,
// and whether the connection goes on.
//
// Strict where a wrong server would show (line ends, digits, contradicting lengths), silent about
// fields that do not matter here. Parses one whole head; HeadReader puts split ones together.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace stackrig::rigload {

struct ResponseHead {
  std::uint64_t content_length = 0;  ///< valid with has_length
  std::uint32_t head_bytes = 0;      ///< status line to the empty line, all line ends counted
  std::uint16_t status = 0;
  bool has_length = false;     ///< exactly one length, and no Transfer-Encoding
  bool server_closes = false;  ///< Connection: close, or HTTP/1.0 without keep-alive
  bool operator==(const ResponseHead&) const = default;
};

enum class HeadResult : std::uint8_t { complete, incomplete, malformed };

/// Longest head that is read; a longer one is malformed.
inline constexpr std::size_t kMaxHeadBytes = 16384;

/// Parses the head at the start of `bytes`; what follows it is not looked at.
HeadResult parse_head(std::span<const std::byte> bytes, ResponseHead& out);

/// The last head of one URL. A server's answers to one request differ in their Date once a second
/// at most, so comparing with the last one costs less than parsing and says the same.
struct HeadMemory {
  static constexpr std::size_t kBytes = 496;
  ResponseHead head;  ///< head_bytes is 0 where nothing is remembered
  std::array<std::byte, kBytes> bytes;

  [[nodiscard]] bool matches(std::span<const std::byte> in) const {
    const std::size_t n = head.head_bytes;
    return n != 0 && in.size() >= n && std::memcmp(in.data(), bytes.data(), n) == 0;
  }
  void remember(std::span<const std::byte> in, const ResponseHead& parsed) {
    if (parsed.head_bytes > kBytes) return;
    std::memcpy(bytes.data(), in.data(), parsed.head_bytes);
    head = parsed;
  }
};

/// Reads heads that come in pieces. Holds the pieces of one connection's head until it is whole.
class HeadReader {
 public:
  /// Takes the next piece. complete: `out` is filled in and `taken` says how many of these bytes
  /// belong to the head; the reader is empty again.
  HeadResult add(std::span<const std::byte> piece, ResponseHead& out, std::size_t& taken);
  [[nodiscard]] bool empty() const { return held_.empty(); }
  void clear() { held_.clear(); }

 private:
  std::string held_;
};

}  // namespace stackrig::rigload
