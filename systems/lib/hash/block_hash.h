// SPDX-License-Identifier: Apache-2.0
// A keyed hash of 16-byte blocks for tables whose keys an attacker may choose: two AES rounds a
// block where the processor has them, SipHash-1-3 elsewhere. It picks a place in a table and is
// never shown to anybody; for what is shown, use SipHash-2-4.
#pragma once

#include <emmintrin.h>

#include <cstdint>

#if defined(__AES__)
#include <wmmintrin.h>
#else
#include "hash/siphash.h"
#endif

namespace stackrig::hash {

struct BlockHashKey {
  std::uint64_t words[4];  ///< random_secret()
};

/// Block by block; `length` tells inputs apart that fill their last block with the same bytes.
class BlockHash {
 public:
#if defined(__AES__)
  BlockHash(const BlockHashKey& key, std::uint64_t length)
      : key_(load(key.words)),
        state_(
            _mm_xor_si128(load(key.words + 2), _mm_cvtsi64_si128(static_cast<long long>(length)))) {
  }
  /// One round would let the next block cancel what this one has changed, whatever the key.
  void block(__m128i b) {
    state_ = _mm_aesenc_si128(_mm_aesenc_si128(_mm_xor_si128(state_, b), key_), key_);
  }
  /// Two more rounds: every bit of the input reaches every bit of the hash.
  [[nodiscard]] std::uint64_t finish() {
    state_ = _mm_aesenc_si128(_mm_aesenc_si128(state_, key_), key_);
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(state_));
  }

 private:
  static __m128i load(const std::uint64_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  __m128i key_;
  __m128i state_;
#else
  BlockHash(const BlockHashKey& key, std::uint64_t length)
      : sip_({key.words[0], key.words[1]}), length_(length) {
  }
  void block(__m128i b) {
    sip_.word(static_cast<std::uint64_t>(_mm_cvtsi128_si64(b)));
    sip_.word(static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(b, b))));
  }
  [[nodiscard]] std::uint64_t finish() {
    return sip_.finish(length_);
  }

 private:
  SipHash<1, 3> sip_;
  std::uint64_t length_;
#endif
};

}  // namespace stackrig::hash
