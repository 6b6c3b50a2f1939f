// SPDX-License-Identifier: Apache-2.0
// What a reader of a histogram asks for; recording is inline in the header.
#include "telemetry/histogram.h"

#include <algorithm>
#include <cmath>

namespace stackrig::telemetry {

void HistogramData::merge(const HistogramData& other) {
  if (other.count == 0) return;
  min = count == 0 ? other.min : std::min(min, other.min);
  max = std::max(max, other.max);
  count += other.count;
  sum += other.sum;
  for (unsigned b = 0; b < kBuckets; ++b) buckets[b] += other.buckets[b];
}

std::uint64_t HistogramData::quantile(double q) const {
  if (count == 0) return 0;
  const double wanted = std::clamp(q, 0.0, 1.0) * static_cast<double>(count);
  const auto rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(wanted)));
  std::uint64_t seen = 0;
  for (unsigned b = 0; b < kBuckets; ++b) {
    seen += buckets[b];
    if (seen >= rank) {
      // The last bucket has no upper bound; nothing is above the greatest value seen.
      return b + 1 == kBuckets ? max : std::min(lower_bound(b + 1) - 1, max);
    }
  }
  return max;
}

}  // namespace stackrig::telemetry
