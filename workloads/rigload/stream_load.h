// SPDX-License-Identifier: Apache-2.0
// A load of requests over connections: lanes with a LoadClient, on our TCP or on kernel sockets.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "rigload/load_client.h"
#include "rigload/load_options.h"
#include "rigload/load_run.h"

namespace stackrig::rigload {

/// A lane as its exchange sees it.
struct LaneInfo {
  unsigned index = 0;       ///< over all threads
  std::uint32_t slots = 1;  ///< held ones included
  std::vector<unsigned>
      targets;  ///< indexes of LoadOptions::targets; slot i goes to the i-th, round robin
};
using ExchangeFactory = std::function<std::unique_ptr<Exchange>(const LaneInfo&)>;

/// As run_lanes().
LoadResult run_load(const LoadOptions& options, const ExchangeFactory& make_exchange,
                    const std::atomic<bool>& stop);

}  // namespace stackrig::rigload
