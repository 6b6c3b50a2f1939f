// SPDX-License-Identifier: Apache-2.0
// Histograms on the reading side: the systems' own HistogramData (loglinear-6 buckets), made from
// records.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "telemetry/histogram.h"

namespace stackrig::core {

/// A bucket as records have it: its lower bound, and how many values fell into it.
using Bucket = std::pair<std::uint64_t, std::uint64_t>;

/// Values that were counted into buckets. Merged by adding; never averaged.
class Histogram {
 public:
  Histogram();
  explicit Histogram(const telemetry::HistogramData& data);
  Histogram(const Histogram& other);
  Histogram& operator=(const Histogram&) = delete;

  /// From a record's buckets. Least, greatest value and sum are taken from the buckets' bounds (1.6
  /// % off at most). Throws std::invalid_argument for a number that is no bucket's lower bound.
  static Histogram from_buckets(std::span<const Bucket> buckets);

  void record(std::uint64_t value) { data_->record(value); }
  void merge(const Histogram& other) { data_->merge(*other.data_); }
  [[nodiscard]] std::uint64_t quantile(double q) const { return data_->quantile(q); }
  [[nodiscard]] const telemetry::HistogramData& data() const { return *data_; }
  [[nodiscard]] double mean() const;                  ///< NaN if empty
  [[nodiscard]] std::vector<Bucket> buckets() const;  ///< those that hold something, ascending

 private:
  std::unique_ptr<telemetry::HistogramData> data_;  ///< 18 KB: not for the stack
};

}  // namespace stackrig::core
