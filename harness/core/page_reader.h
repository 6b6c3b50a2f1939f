// SPDX-License-Identifier: Apache-2.0
// Reads a telemetry page (telemetry/page.h), also while its writer runs.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "histogram.h"

namespace stackrig::core {

/// A page as it was at one moment. Counters are whole, though not all of the same instant.
struct PageContents {
  std::uint64_t pid = 0;
  bool finished = false;  ///< the writer stopped cleanly; all values are final
  std::map<std::string, std::uint64_t> values;  ///< counters and gauges by name
  std::map<std::string, std::string> units;     ///< of everything that has a name
  std::map<std::string, Histogram> histograms;
  std::map<std::string, std::string> texts;
};

/// Throws std::system_error where the file cannot be opened, std::invalid_argument where it is no
/// telemetry page or is cut short; both name the file.
PageContents read_page(const std::string& path);

}  // namespace stackrig::core
