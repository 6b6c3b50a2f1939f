// SPDX-License-Identifier: Apache-2.0
// A histogram of fixed size that lies in a telemetry page: log-linear buckets as HdrHistogram has
// them.
//
// Values 0 .. 2^40 (18 minutes in ns), 64 linear buckets per power of two: 1.6 % at most between a
// value and its bucket's bounds. Histograms merge by adding counts; percentiles are never averaged.
// One writer.
#pragma once

#include <bit>
#include <cstdint>

namespace stackrig::telemetry {

struct HistogramData {
  static constexpr unsigned kSubBits = 6;  ///< 64 buckets per power of two
  static constexpr unsigned kMaxBits = 40;
  static constexpr unsigned kBuckets = (kMaxBits - kSubBits + 1) << kSubBits;

  std::uint64_t count;
  std::uint64_t sum;
  std::uint64_t min;  ///< valid where count > 0
  std::uint64_t max;
  std::uint64_t buckets[kBuckets];

  static constexpr unsigned bucket_of(std::uint64_t v) {
    if (v >= (std::uint64_t{1} << kMaxBits)) return kBuckets - 1;
    if (v < (1u << kSubBits)) return static_cast<unsigned>(v);
    const unsigned shift = static_cast<unsigned>(std::bit_width(v)) - kSubBits - 1;
    return ((shift + 1) << kSubBits) + static_cast<unsigned>((v >> shift) - (1u << kSubBits));
  }
  /// Least value that falls into bucket `b`.
  static constexpr std::uint64_t lower_bound(unsigned b) {
    if (b < (1u << kSubBits)) return b;
    const unsigned shift = (b >> kSubBits) - 1;
    return static_cast<std::uint64_t>((b & ((1u << kSubBits) - 1)) + (1u << kSubBits)) << shift;
  }

  void record(std::uint64_t v) {
    ++buckets[bucket_of(v)];
    sum += v;
    if (count == 0 || v < min) min = v;
    if (v > max) max = v;
    ++count;
  }
  void merge(const HistogramData& other);
  /// The value at quantile q in [0, 1]: upper bound of its bucket, as HdrHistogram answers. 0 if
  /// empty.
  [[nodiscard]] std::uint64_t quantile(double q) const;
};

}  // namespace stackrig::telemetry
