// SPDX-License-Identifier: Apache-2.0
// Finding the first byte of a class: 32 at a time where the compiler has AVX2.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace stackrig::http {

/// The bytes that may be read. A vector that would reach past the end is read further left instead.
struct Window {
  const char* begin;
  const char* end;
};

#if defined(__AVX2__)
using Vector = __m256i;
inline Vector load(const char* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline Vector equal(Vector v, char c) {
  return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}
inline Vector at_most(Vector v, char c) {
  return _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(c)), v);
}
inline Vector either(Vector a, Vector b) {
  return _mm256_or_si256(a, b);
}
inline std::uint32_t bits(Vector v) {
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(v));
}
#endif

/// Controls and the space: what neither a target nor a field name may hold.
struct SpaceOrControl {
  static bool is(char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }
#if defined(__AVX2__)
  static Vector in(Vector v) {
    return either(at_most(v, 0x20), equal(v, 0x7f));
  }
#endif
};

/// Ends a path, or makes it one that has to be decoded.
struct PathStop {
  static bool is(char c) { return SpaceOrControl::is(c) || c == '%' || c == '?' || c == '#'; }
#if defined(__AVX2__)
  static Vector in(Vector v) {
    return either(SpaceOrControl::in(v),
                  either(equal(v, '%'), either(equal(v, '?'), equal(v, '#'))));
  }
#endif
};

struct NameStop {
  static bool is(char c) { return SpaceOrControl::is(c) || c == ':'; }
#if defined(__AVX2__)
  static Vector in(Vector v) {
    return either(SpaceOrControl::in(v), equal(v, ':'));
  }
#endif
};

/// Ends a field value, or does not belong into one.
struct ValueStop {
  static bool is(char c) { return c == '\n' || c == '\r' || c == '\0'; }
#if defined(__AVX2__)
  static Vector in(Vector v) {
    return either(equal(v, '\n'), either(equal(v, '\r'), equal(v, '\0')));
  }
#endif
};

/// The first byte of the class in [p, w.end); w.end where there is none.
template <class Class>
[[gnu::always_inline]] inline const char* find_first(Window w, const char* p) {
#if defined(__AVX2__)
  constexpr std::ptrdiff_t kWidth = sizeof(Vector);
  while (w.end - p >= kWidth) {
    const std::uint32_t found = bits(Class::in(load(p)));
    if (found != 0) return p + std::countr_zero(found);
    p += kWidth;
  }
  if (p == w.end) return p;
  if (w.end - w.begin >= kWidth) {
    const char* at = w.end - kWidth;
    const std::uint32_t found = bits(Class::in(load(at))) >> (p - at);
    return found != 0 ? p + std::countr_zero(found) : w.end;
  }
#endif
  while (p != w.end && !Class::is(*p)) ++p;
  return p;
}

/// Is `a` the word of letters and dashes that `lower_case` is, in any case? At least 4 bytes,
/// compared in words that overlap: setting bit 5 leaves dashes alone and makes no other byte a
/// letter or a dash but controls, which no caller has here.
inline bool is_word(std::string_view a, std::string_view lower_case) {
  const std::size_t n = lower_case.size();
  if (a.size() != n) return false;
  if (n < 8) {
    const auto differ = [&](std::size_t at) {
      std::uint32_t x, y;
      std::memcpy(&x, a.data() + at, sizeof x);
      std::memcpy(&y, lower_case.data() + at, sizeof y);
      return (x | 0x20202020U) ^ y;
    };
    return (differ(0) | differ(n - 4)) == 0;
  }
  std::uint64_t differ = 0;
  for (std::size_t at = 0;; at = at + 16 <= n ? at + 8 : n - 8) {
    std::uint64_t x, y;
    std::memcpy(&x, a.data() + at, sizeof x);
    std::memcpy(&y, lower_case.data() + at, sizeof y);
    differ |= (x | 0x2020202020202020U) ^ y;
    if (at == n - 8) return differ == 0;
  }
}

}  // namespace stackrig::http
