// SPDX-License-Identifier: Apache-2.0
// Runs a load: sets up ports or sockets, a client per queue, a thread per core; starts all of them
// at one moment and gathers what they counted.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "rigload/lane.h"
#include "rigload/load_options.h"
#include "rigload/phases.h"
#include "runtime/ports.h"
#include "telemetry/page.h"

namespace stackrig::rigload {

/// What a lane gets of its run, whatever its load is.
struct LaneParts {
  unsigned index = 0, lanes = 1;  ///< over all threads
  std::vector<unsigned> targets;  ///< indexes of LoadOptions::targets
  RunControl* control = nullptr;
  RunStats* stats = nullptr;  ///< in the telemetry page
};

/// The queue of a port that a lane is to run on.
struct QueuePlace {
  runtime::OpenPort& port;
  unsigned queue = 0;       ///< of the port
  unsigned rss_queues = 1;  ///< over which the device spreads what comes back
  ArpRelay* relay = nullptr;
  telemetry::Page& page;
  std::string prefix;  ///< of the lane's counters: "q0."
};

/// A kind of load: how it makes a lane.
class LaneMaker {
 public:
  virtual ~LaneMaker() = default;
  virtual std::unique_ptr<SocketLane> socket_lane(const LaneParts& parts) = 0;
  virtual std::unique_ptr<QueueLane> queue_lane(const LaneParts& parts,
                                                const QueuePlace& place) = 0;
};

/// Lane `part` of `parts` gets so much of `whole`.
inline std::uint32_t share_of(std::uint32_t whole, unsigned part, unsigned parts) {
  return whole / parts + (part < whole % parts ? 1 : 0);
}

/// What one lane counted, and what its thread used meanwhile (on a thread's first lane; zero on
/// others).
struct LaneResult {
  const RunStats* stats = nullptr;  ///< in the telemetry page
  std::array<Usage, kPhases> used{};
  unsigned thread = 0;
};

struct LoadResult {
  std::vector<LaneResult> lanes;
  Schedule schedule;  ///< start is kNever where no phase began
  Time ended = 0;     ///< when the last lane was done
  bool interrupted = false;
  std::vector<std::string> transports;  ///< a line per port, or "kernel sockets"
  bool knows_wire_bytes = false;
  std::shared_ptr<telemetry::Page> page;  ///< keeps stats in place
};

/// --target and --address for lanes on kernel sockets.
std::vector<KernelTransport::Target> kernel_targets(const LoadOptions& options);

/// Throws runtime::UsageError or nmio::SetupError for what cannot be set up, std::runtime_error
/// where the load could not run (the target cannot be reached). `stop`: set from outside to end
/// early.
LoadResult run_lanes(const LoadOptions& options, LaneMaker& maker, const std::atomic<bool>& stop);

}  // namespace stackrig::rigload
