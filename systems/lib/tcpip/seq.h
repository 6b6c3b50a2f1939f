// SPDX-License-Identifier: Apache-2.0
// Sequence numbers: comparison modulo 2^32 (RFC 9293 3.4). Valid for numbers less than 2^31 apart.
#pragma once

#include <cstdint>

namespace stackrig::tcpip {

using Seq = std::uint32_t;

constexpr bool seq_lt(Seq a, Seq b) {
  return static_cast<std::int32_t>(a - b) < 0;
}
constexpr bool seq_le(Seq a, Seq b) {
  return static_cast<std::int32_t>(a - b) <= 0;
}
constexpr bool seq_gt(Seq a, Seq b) {
  return static_cast<std::int32_t>(a - b) > 0;
}
constexpr bool seq_ge(Seq a, Seq b) {
  return static_cast<std::int32_t>(a - b) >= 0;
}
constexpr Seq seq_max(Seq a, Seq b) {
  return seq_gt(a, b) ? a : b;
}

}  // namespace stackrig::tcpip
