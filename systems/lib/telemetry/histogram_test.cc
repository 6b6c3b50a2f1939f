// SPDX-License-Identifier: Apache-2.0
#include "telemetry/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

namespace stackrig::telemetry {
namespace {

std::unique_ptr<HistogramData> make() {
  return std::make_unique<HistogramData>();  // zeroed; 18 KiB are too many for some stacks
}

TEST(Histogram, BucketsAreContiguousAndHoldTheirValues) {
  for (unsigned b = 0; b + 1 < HistogramData::kBuckets; ++b) {
    const std::uint64_t low = HistogramData::lower_bound(b);
    const std::uint64_t next = HistogramData::lower_bound(b + 1);
    ASSERT_LT(low, next);
    ASSERT_EQ(HistogramData::bucket_of(low), b);
    ASSERT_EQ(HistogramData::bucket_of(next - 1), b);
  }
}

TEST(Histogram, ABucketIsNarrowerThanASixtyFourthOfItsValues) {
  for (unsigned b = 64; b + 1 < HistogramData::kBuckets; ++b) {
    const auto low = static_cast<double>(HistogramData::lower_bound(b));
    const auto width = static_cast<double>(HistogramData::lower_bound(b + 1)) - low;
    ASSERT_LE(width / low, 1.0 / 64);
  }
}

TEST(Histogram, ValuesBeyondTheRangeFallIntoTheLastBucket) {
  EXPECT_EQ(HistogramData::bucket_of(~std::uint64_t{0}), HistogramData::kBuckets - 1);
  EXPECT_EQ(HistogramData::bucket_of(std::uint64_t{1} << 40), HistogramData::kBuckets - 1);
  auto h = make();
  h->record(std::uint64_t{1} << 50);
  EXPECT_EQ(h->quantile(1), std::uint64_t{1} << 50);
}

TEST(Histogram, AnEmptyOneAnswersZero) {
  EXPECT_EQ(make()->quantile(0.5), 0U);
}

TEST(Histogram, SmallValuesAreExact) {
  auto h = make();
  for (std::uint64_t v = 1; v <= 50; ++v) h->record(v);
  EXPECT_EQ(h->quantile(0.5), 25U);
  EXPECT_EQ(h->quantile(0), 1U);
  EXPECT_EQ(h->quantile(1), 50U);
  EXPECT_EQ(h->min, 1U);
  EXPECT_EQ(h->max, 50U);
  EXPECT_EQ(h->sum, 1275U);
}

TEST(Histogram, QuantilesAreWithinABucketOfTheSortedList) {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> latency(10, 2);
  auto h = make();
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(static_cast<std::uint64_t>(latency(random)));
    h->record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double q : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = std::max(1.0, std::ceil(q * static_cast<double>(values.size())));
    const std::uint64_t exact = values[static_cast<std::size_t>(rank) - 1];
    EXPECT_GE(h->quantile(q), exact);
    EXPECT_LE(static_cast<double>(h->quantile(q)), static_cast<double>(exact) * 65 / 64 + 1);
  }
}

TEST(Histogram, MergingIsRecordingBoth) {
  std::mt19937_64 random(2);
  auto a = make(), b = make(), both = make();
  for (int i = 0; i < 5000; ++i) {
    const std::uint64_t v = random() >> (random() % 64);
    (i % 3 == 0 ? a : b)->record(v);
    both->record(v);
  }
  auto merged = make();
  merged->merge(*a);
  merged->merge(*make());
  merged->merge(*b);
  EXPECT_EQ(merged->count, both->count);
  EXPECT_EQ(merged->sum, both->sum);
  EXPECT_EQ(merged->min, both->min);
  EXPECT_EQ(merged->max, both->max);
  EXPECT_TRUE(std::equal(std::begin(both->buckets), std::end(both->buckets), merged->buckets));
}

}  // namespace
}  // namespace stackrig::telemetry
