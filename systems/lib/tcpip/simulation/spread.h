// SPDX-License-Identifier: Apache-2.0
// Many seeds, spread over processes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tcpip/simulation/simulation.h"

namespace stackrig::tcpip::simulation {

struct Total {
  std::uint64_t seeds = 0;
  std::uint64_t normally = 0, otherwise = 0, segments = 0, retransmits = 0, bytes = 0;
  struct Failure {
    std::uint64_t seed;
    std::string problem;
  };
  std::vector<Failure> failures;  ///< the first few of each process
};

/// Seeds [first, first + count), in `jobs` processes. A process that dies is a failure of the seed
/// that it was at.
Total run_seeds(std::uint64_t first, std::uint64_t count, unsigned jobs);

/// The command that shows a failure again.
std::string replay_command(std::uint64_t seed);

}  // namespace stackrig::tcpip::simulation
