// SPDX-License-Identifier: Apache-2.0
// The bootstrap's inner loop: draw, take the median, again.
#include "bootstrap.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace stackrig::core {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// xoshiro256** (Blackman and Vigna 2018), seeded through splitmix64: the same on every machine,
/// which std::uniform_int_distribution is not.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) {
    for (auto& word : state_) {
      seed += 0x9e3779b97f4a7c15u;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      word = z ^ (z >> 31);
    }
  }

  /// Uniform in [0, n), n < 2^32, by multiplication; its bias of at most n / 2^32 is far below
  /// anything that 10^4 draws can show.
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(((next() >> 32) * n) >> 32); }

 private:
  std::uint64_t next() {
    const std::uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }
  static std::uint64_t rotate(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  std::uint64_t state_[4];
};

/// The same repetitions for every row in each draw.
void draw_repetitions(const Trials& t, Generator& random, std::size_t draws, double* out) {
  std::vector<std::size_t> picked(t.columns);
  std::vector<double> sample;
  sample.reserve(t.columns);
  for (std::size_t d = 0; d < draws; ++d) {
    for (auto& column : picked) column = random.below(t.columns);
    for (std::size_t r = 0; r < t.rows; ++r) {
      sample.clear();
      for (const std::size_t column : picked) {
        const double value = t.values[r * t.columns + column];
        if (!std::isnan(value)) sample.push_back(value);
      }
      out[r * draws + d] = median_in_place(sample);
    }
  }
}

/// Each row from its own trials.
void draw_rows(const Trials& t, Generator& random, std::size_t draws, double* out) {
  std::vector<double> row;
  std::vector<double> sample;
  for (std::size_t r = 0; r < t.rows; ++r) {
    const auto all = t.values.subspan(r * t.columns, t.columns);
    row.clear();
    std::copy_if(all.begin(), all.end(), std::back_inserter(row),
                 [](double v) { return !std::isnan(v); });
    sample.resize(row.size());
    for (std::size_t d = 0; d < draws; ++d) {
      for (auto& value : sample) value = row[random.below(row.size())];
      out[r * draws + d] = median_in_place(sample);
    }
  }
}

}  // namespace

double median_in_place(std::span<double> values) {
  if (values.empty()) return kNone;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  const double below = *std::max_element(values.begin(), middle);
  return below + (*middle - below) / 2;
}

std::vector<double> bootstrap_medians(const Trials& trials, Resample resample, std::uint64_t seed,
                                      std::size_t draws) {
  std::vector<double> medians(trials.rows * draws, kNone);
  if (trials.columns == 0) return medians;
  Generator random(seed);
  if (resample == Resample::repetitions) {
    draw_repetitions(trials, random, draws, medians.data());
  } else {
    draw_rows(trials, random, draws, medians.data());
  }
  return medians;
}

}  // namespace stackrig::core
