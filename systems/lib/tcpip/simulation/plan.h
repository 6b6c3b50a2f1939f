// SPDX-License-Identifier: Apache-2.0
// What a seed means: a network, two stacks, and what their applications do.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "nmio/sim.h"
#include "tcpip/stack.h"

namespace stackrig::tcpip::simulation {

/// Who owns the bytes that a connection sends, and how ready they are (owner.h).
enum class OwnerKind : std::uint8_t {
  copy,    ///< bytes to be copied
  summed,  ///< the same, their sum known
  ragged,  ///< fewer and shorter segments than asked for
  frame,   ///< chunks of the pool, ready to go
  gather,  ///< references into packet memory, in pieces
  disk,    ///< not ready at first; what was read is forgotten, so a retransmission waits again
};
inline constexpr unsigned kOwnerKinds = 6;

enum class ReaderKind : std::uint8_t {
  eager,   ///< takes all
  crumbs,  ///< takes some, comes back for the rest
  late,    ///< takes nothing for a while
};

/// One end of a connection.
struct SidePlan {
  std::uint64_t bytes = 0;       ///< that it sends
  std::uint64_t write_size = 0;  ///< bytes per tcp_write()
  OwnerKind owner = OwnerKind::copy;
  Time owner_delay = 0;  ///< of a disk
  ReaderKind reader = ReaderKind::eager;
  Time reader_delay = 0;       ///< until it comes back
  bool waits_for_fin = false;  ///< closes after the peer; else when all is written
  bool aborts = false;
  std::uint64_t abort_after = 0;  ///< bytes received
};

struct ConnectionPlan {
  Time start = 0;
  std::uint16_t port = 0;        ///< the client's; connections may share one, one after the other
  std::array<SidePlan, 2> side;  ///< client, server
};

struct Cut {
  Time from = 0, until = 0;
  bool up = true, down = true;  ///< which directions
};

struct Plan {
  std::uint64_t seed = 0;
  std::array<Config, 2> config;  ///< client, server
  std::array<nmio::SimPortConfig, 2> port;
  std::vector<ConnectionPlan> connections;
  std::vector<Cut> cuts;
  /// Nothing here may kill a connection: each must end normally, with all its bytes.
  bool calm = false;
};

Plan make_plan(std::uint64_t seed);
/// A few lines for people.
std::string describe(const Plan& plan);

}  // namespace stackrig::tcpip::simulation
