// SPDX-License-Identifier: Apache-2.0
// Histograms from records and back.
#include "histogram.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace stackrig::core {

using telemetry::HistogramData;

Histogram::Histogram() : data_(std::make_unique<HistogramData>()) {
}
Histogram::Histogram(const HistogramData& data) : data_(std::make_unique<HistogramData>(data)) {
}
Histogram::Histogram(const Histogram& other) : Histogram(*other.data_) {
}

Histogram Histogram::from_buckets(std::span<const Bucket> buckets) {
  Histogram result;
  HistogramData& data = *result.data_;
  for (const auto& [lower, count] : buckets) {
    const unsigned bucket = HistogramData::bucket_of(lower);
    if (HistogramData::lower_bound(bucket) != lower) {
      throw std::invalid_argument(std::to_string(lower) +
                                  " is no lower bound of a loglinear-6 bucket; the nearest is " +
                                  std::to_string(HistogramData::lower_bound(bucket)));
    }
    if (count == 0) continue;
    const bool last = bucket + 1 == HistogramData::kBuckets;
    const std::uint64_t upper = last ? lower : HistogramData::lower_bound(bucket + 1) - 1;
    data.min = data.count == 0 ? lower : std::min(data.min, lower);
    data.max = std::max(data.max, upper);
    data.sum += count * (lower + (upper - lower) / 2);
    data.count += count;
    data.buckets[bucket] += count;
  }
  return result;
}

double Histogram::mean() const {
  if (data_->count == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(data_->sum) / static_cast<double>(data_->count);
}

std::vector<Bucket> Histogram::buckets() const {
  std::vector<Bucket> found;
  for (unsigned b = 0; b < HistogramData::kBuckets; ++b) {
    if (data_->buckets[b] != 0)
      found.emplace_back(HistogramData::lower_bound(b), data_->buckets[b]);
  }
  return found;
}

}  // namespace stackrig::core
