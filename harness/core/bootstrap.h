// SPDX-License-Identifier: Apache-2.0
// The bootstrap: medians of resampled trials. The trial is the sample; nothing inside a trial is
// resampled.
//
// Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 6 and 13.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace stackrig::core {

/// Rows are series (one system at one point), columns are repetitions of the run.
struct Trials {
  std::span<const double> values;  ///< row-major, rows * columns; NaN where there is no such trial
  std::size_t rows;
  std::size_t columns;
};

/// What is drawn anew in each round of the bootstrap.
enum class Resample : std::uint8_t {
  each_row,     ///< every row by itself: trials that have nothing to do with each other
  repetitions,  ///< the same repetitions for all rows: interleaved trials, which share the
                ///< machine's state
};

/// Medians of `draws` resampled versions of every row: row-major, rows * draws. The same seed gives
/// the same bits on every machine. NaN for a row without a value, and where a draw leaves a row
/// without one.
std::vector<double> bootstrap_medians(const Trials& trials, Resample resample, std::uint64_t seed,
                                      std::size_t draws);

/// Median; the mean of the two middle values where their number is even. NaN if empty. Reorders
/// `values`.
double median_in_place(std::span<double> values);

}  // namespace stackrig::core
