// SPDX-License-Identifier: Apache-2.0
// Runs what a seed means in virtual time, and holds it to the invariants after every step.
#pragma once

#include <functional>
#include <string>

#include "tcpip/simulation/plan.h"

namespace stackrig::tcpip::simulation {

struct Outcome {
  bool good = true;
  std::string problem;                   ///< what was broken, when
  unsigned normally = 0, otherwise = 0;  ///< ends of connections
  std::uint64_t segments = 0, retransmits = 0, bytes = 0;
  Time took = 0;  ///< virtual time until all connections had ended
};

/// What a run shows to who looks: segments as lines, and as a pcap file.
struct Show {
  std::function<void(const std::string&)> line;
  std::string pcap;  ///< file name; empty: none
};

/// Never throws for what the core does wrong: that is in the outcome.
Outcome simulate(const Plan& plan, const Show& show = {});

}  // namespace stackrig::tcpip::simulation
