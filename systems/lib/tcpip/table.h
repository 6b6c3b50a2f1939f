// SPDX-License-Identifier: Apache-2.0
// The connection table: from a flow's hash to its control block or its TIME_WAIT entry.
//
// Buckets are cache lines of eight entries: a 16-bit tag compared eight at a time, and a reference.
// A full bucket passes entries on to the next one and counts them, so that a search stops where
// nothing was passed on (as F14 does): no tombstones, O(1), one line touched nearly always. At most
// half full.
#pragma once

#include <emmintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace stackrig::tcpip {

/// What the table refers to: an index, and which array it is of.
struct Ref {
  static constexpr std::uint32_t kTimeWaitBit = std::uint32_t{1} << 31;
  std::uint32_t value = ~std::uint32_t{0};

  static Ref tcb(std::uint32_t slot) { return {slot}; }
  static Ref time_wait(std::uint32_t slot) { return {slot | kTimeWaitBit}; }
  [[nodiscard]] bool none() const { return value == ~std::uint32_t{0}; }
  [[nodiscard]] bool is_time_wait() const { return (value & kTimeWaitBit) != 0; }
  [[nodiscard]] std::uint32_t index() const { return value & ~kTimeWaitBit; }
  bool operator==(const Ref&) const = default;
};

class ConnectionTable {
 public:
  static constexpr unsigned kSlots = 8;
  /// Bytes of table per entry that it was built for.
  static constexpr std::size_t kBytesPerEntry = 32;

  explicit ConnectionTable(std::uint32_t entries) {
    // Four entries per bucket at least keeps the table at most half full; a power of two may make
    // it a quarter full.
    const std::uint32_t buckets = std::bit_ceil(entries / (kSlots / 2) + 1);
    mask_ = buckets - 1;
    buckets_ = std::make_unique<Bucket[]>(buckets);
  }

  void prefetch(std::uint32_t hash) const { __builtin_prefetch(&buckets_[hash & mask_]); }

  /// The first entry whose tag is right, for prefetching what it refers to; often but not always
  /// it.
  [[nodiscard]] Ref peek(std::uint32_t hash) const {
    const Bucket& b = buckets_[hash & mask_];
    const unsigned m = match(b, tag_of(hash));
    return m != 0 ? b.refs[std::countr_zero(m)] : Ref{};
  }

  /// The entry that `is` says yes to; none where there is none.
  template <class Is>
  [[nodiscard]] Ref find(std::uint32_t hash, Is&& is) const {
    const std::uint16_t tag = tag_of(hash);
    for (std::uint32_t i = hash & mask_;; i = (i + 1) & mask_) {
      const Bucket& b = buckets_[i];
      for (unsigned m = match(b, tag); m != 0; m &= m - 1) {
        const Ref r = b.refs[std::countr_zero(m)];
        if (is(r)) return r;
      }
      if (b.passed_on == 0) return {};
    }
  }

  void insert(std::uint32_t hash, Ref ref) {
    for (std::uint32_t i = hash & mask_;; i = (i + 1) & mask_) {
      Bucket& b = buckets_[i];
      const unsigned empty = match(b, kEmpty);
      if (empty != 0) {
        const int s = std::countr_zero(empty);
        b.tags[s] = tag_of(hash);
        b.refs[s] = ref;
        ++used_;
        return;
      }
      ++b.passed_on;
    }
  }
  /// The entry stays where it is and refers to something else from now on.
  void replace(std::uint32_t hash, Ref from, Ref to) { *locate(hash, from).ref = to; }

  void erase(std::uint32_t hash, Ref ref) {
    const Place p = locate(hash, ref);
    *p.tag = kEmpty;
    --used_;
    for (std::uint32_t i = hash & mask_; i != p.bucket; i = (i + 1) & mask_)
      --buckets_[i].passed_on;
  }

  void clear() {
    for (std::uint32_t i = 0; i <= mask_; ++i) buckets_[i] = Bucket{};
    used_ = 0;
  }
  [[nodiscard]] std::uint32_t size() const { return used_; }

 private:
  static constexpr std::uint16_t kEmpty = 0;
  struct alignas(64) Bucket {
    std::uint16_t tags[kSlots] = {};  ///< kEmpty: free
    Ref refs[kSlots];
    std::uint32_t passed_on = 0;  ///< entries that would lie here or before and found no room
  };
  static_assert(sizeof(Bucket) == 64);
  struct Place {
    std::uint32_t bucket;
    std::uint16_t* tag;
    Ref* ref;
  };

  static std::uint16_t tag_of(std::uint32_t hash) {
    const auto t = static_cast<std::uint16_t>(hash >> 16);
    return t == kEmpty ? 1 : t;
  }
  static unsigned match(const Bucket& b, std::uint16_t tag) {
    const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(b.tags));
    const __m128i eq = _mm_cmpeq_epi16(tags, _mm_set1_epi16(static_cast<short>(tag)));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(eq, _mm_setzero_si128())));
  }
  Place locate(std::uint32_t hash, Ref ref) {
    const std::uint16_t tag = tag_of(hash);
    for (std::uint32_t i = hash & mask_;; i = (i + 1) & mask_) {
      Bucket& b = buckets_[i];
      for (unsigned m = match(b, tag); m != 0; m &= m - 1) {
        const int s = std::countr_zero(m);
        if (b.refs[s] == ref) return {i, &b.tags[s], &b.refs[s]};
      }
    }
  }

  std::uint32_t mask_;
  std::uint32_t used_ = 0;
  std::unique_ptr<Bucket[]> buckets_;
};

}  // namespace stackrig::tcpip
