// SPDX-License-Identifier: Apache-2.0
// SipHash (Aumasson, Bernstein 2012): a keyed hash of 64-bit words. SipHash-2-4 where its output is
// shown to a peer; SipHash-1-3, half the work, where it only picks a place in a table whose keys an
// attacker may choose.
#pragma once

#include <bit>
#include <cstdint>

namespace stackrig::hash {

/// Word by word. finish() takes the last word, which by the definition holds the bytes left over
/// and, on top, the length in bytes modulo 256.
template <unsigned kCompression, unsigned kFinalisation>
class SipHash {
 public:
  explicit SipHash(const std::uint64_t (&key)[2])
      : v0_(0x736f6d6570736575U ^ key[0]),
        v1_(0x646f72616e646f6dU ^ key[1]),
        v2_(0x6c7967656e657261U ^ key[0]),
        v3_(0x7465646279746573U ^ key[1]) {}

  void word(std::uint64_t w) {
    v3_ ^= w;
    for (unsigned i = 0; i < kCompression; ++i) round();
    v0_ ^= w;
  }
  [[nodiscard]] std::uint64_t finish(std::uint64_t last) {
    word(last);
    v2_ ^= 0xff;
    for (unsigned i = 0; i < kFinalisation; ++i) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  void round() {
    v0_ += v1_;
    v2_ += v3_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v1_;
    v0_ += v3_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ = std::rotl(v2_, 32);
  }
  std::uint64_t v0_, v1_, v2_, v3_;
};

/// Of `count` words, hashed as their little-endian bytes.
template <unsigned kCompression, unsigned kFinalisation>
[[nodiscard]] std::uint64_t siphash(const std::uint64_t (&key)[2], const std::uint64_t* words,
                                    unsigned count) {
  SipHash<kCompression, kFinalisation> h(key);
  for (unsigned i = 0; i < count; ++i) h.word(words[i]);
  return h.finish(std::uint64_t{count * 8} << 56);
}

}  // namespace stackrig::hash
