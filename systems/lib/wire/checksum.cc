// SPDX-License-Identifier: Apache-2.0
// The Internet checksum over memory: 64-bit words, or 32-byte vectors where the compiler has AVX2.
#include "wire/checksum.h"

#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace stackrig::wire {
namespace {

constexpr PartialSum halves(std::uint64_t v) {
  return (v & 0xffffffff) + (v >> 32);
}

template <class T>
T load(const unsigned char* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// `Copy` also stores what was read: one loop for both functions, resolved at compile time.
template <bool Copy, class T>
T take(unsigned char*& to, const unsigned char*& from) {
  const T v = load<T>(from);
  if constexpr (Copy) {
    std::memcpy(to, &v, sizeof v);
    to += sizeof v;
  }
  from += sizeof v;
  return v;
}

#if defined(__AVX2__)
// Each 64-bit lane adds 32-bit halves: it cannot overflow below 2^32 rounds.
template <bool Copy>
PartialSum sum_vectors(unsigned char*& to, const unsigned char*& from, std::size_t& bytes) {
  const __m256i low = _mm256_set1_epi64x(0xffffffff);
  __m256i even_a = _mm256_setzero_si256(), odd_a = even_a, even_b = even_a, odd_b = even_a;
  while (bytes >= 64) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32));
    if constexpr (Copy) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 32), b);
      to += 64;
    }
    even_a = _mm256_add_epi64(even_a, _mm256_and_si256(a, low));
    odd_a = _mm256_add_epi64(odd_a, _mm256_srli_epi64(a, 32));
    even_b = _mm256_add_epi64(even_b, _mm256_and_si256(b, low));
    odd_b = _mm256_add_epi64(odd_b, _mm256_srli_epi64(b, 32));
    from += 64;
    bytes -= 64;
  }
  const __m256i all =
      _mm256_add_epi64(_mm256_add_epi64(even_a, odd_a), _mm256_add_epi64(even_b, odd_b));
  alignas(32) std::uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), all);
  return halves(lanes[0]) + halves(lanes[1]) + halves(lanes[2]) + halves(lanes[3]);
}
#endif

template <bool Copy>
PartialSum sum_bytes(unsigned char* to, const unsigned char* from, std::size_t bytes) {
  PartialSum total = 0;
#if defined(__AVX2__)
  if (bytes >= 64) total = sum_vectors<Copy>(to, from, bytes);
#endif
  while (bytes >= 8) {
    total += halves(take<Copy, std::uint64_t>(to, from));
    bytes -= 8;
  }
  if ((bytes & 4) != 0) total += take<Copy, std::uint32_t>(to, from);
  if ((bytes & 2) != 0) total += take<Copy, std::uint16_t>(to, from);
  if ((bytes & 1) != 0) total += take<Copy, std::uint8_t>(to, from);  // little endian: padded above
  return halves(halves(total));
}

}  // namespace

PartialSum sum(const void* data, std::size_t bytes) {
  return sum_bytes<false>(nullptr, static_cast<const unsigned char*>(data), bytes);
}

PartialSum copy_and_sum(void* to, const void* from, std::size_t bytes) {
  return sum_bytes<true>(static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from),
                         bytes);
}

}  // namespace stackrig::wire
