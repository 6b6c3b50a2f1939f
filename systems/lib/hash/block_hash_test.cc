// SPDX-License-Identifier: Apache-2.0
#include "hash/block_hash.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <set>
#include <string>

namespace stackrig::hash {
namespace {

std::uint64_t hash_of(const std::string& text, const BlockHashKey& key) {
  BlockHash h(key, text.size());
  for (std::size_t i = 0; i < text.size() || i == 0; i += 16) {
    char block[16] = {};
    text.copy(block, sizeof block, i);
    __m128i b;
    std::memcpy(&b, block, sizeof b);
    h.block(b);
  }
  return h.finish();
}

constexpr BlockHashKey kKey = {{1, 2, 3, 4}};

TEST(BlockHash, DependsOnEveryBitOfInputAndKey) {
  const std::string text = "www.example.com, and some more of it";
  const std::uint64_t plain = hash_of(text, kKey);
  unsigned changed = 0, tries = 0;
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string other = text;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << bit % 8));
    const int differ = std::popcount(plain ^ hash_of(other, kKey));
    EXPECT_GT(differ, 8) << "bit " << bit;
    changed += static_cast<unsigned>(differ);
    ++tries;
  }
  EXPECT_NEAR(static_cast<double>(changed) / tries, 32, 2) << "half of the bits";
  for (unsigned bit = 0; bit < 128; ++bit) {
    BlockHashKey other = kKey;
    other.words[bit / 64] ^= std::uint64_t{1} << bit % 64;
    EXPECT_NE(hash_of(text, other), plain) << "bit " << bit;
  }
}

TEST(BlockHash, TellsLengthsApart) {
  EXPECT_NE(hash_of("a", kKey), hash_of(std::string("a\0", 2), kKey));
  EXPECT_NE(hash_of("", kKey), hash_of(std::string(1, '\0'), kKey));
}

/// One AES round turns one byte of a block into a column of four that is the same multiple of one
/// value, whatever the key. Whoever changes that byte in all ways and adds all such columns to the
/// next block cancels each value once: 65536 inputs, 256 hashes, were there no round between them.
TEST(BlockHash, LetsNobodyCancelABlockWithTheNext) {
  const auto doubled = [](unsigned v) { return (v << 1) ^ ((v & 0x80) != 0 ? 0x11b : 0); };
  std::set<std::uint64_t> hashes;
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned v = 0; v < 256; ++v) {
      std::string text(32, 'a');
      text[0] = static_cast<char>(first);
      const unsigned column[] = {doubled(v), v, v, doubled(v) ^ v};
      for (std::size_t i = 0; i < 4; ++i) text[16 + i] = static_cast<char>('a' ^ column[i]);
      hashes.insert(hash_of(text, kKey));
    }
  }
  EXPECT_EQ(hashes.size(), 65536u);
}

TEST(BlockHash, SpreadsNamesThatAreAlike) {
  std::set<std::uint64_t> whole;
  std::set<std::uint32_t> places;  // of 2^20
  for (unsigned i = 0; i < 100'000; ++i) {
    const std::uint64_t h = hash_of("host" + std::to_string(i) + ".example.com", kKey);
    whole.insert(h);
    places.insert(static_cast<std::uint32_t>(h & 0xfffff));
  }
  EXPECT_EQ(whole.size(), 100'000U);
  // Of 2^20 places, 2^20 (1 - e^(-n / 2^20)) = 95,376 are taken by a random function.
  EXPECT_NEAR(static_cast<double>(places.size()), 95'376, 700);
}

}  // namespace
}  // namespace stackrig::hash
