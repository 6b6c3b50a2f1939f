// SPDX-License-Identifier: Apache-2.0
// What Sandstorm counts, by the names that readers of its telemetry page see.
#pragma once

#include <span>

#include "server.h"

namespace stackrig::sandstorm {

struct ServerCounterInfo {
  const char* name;
  const char* unit;
  std::uint64_t ServerCounters::*field;
};
std::span<const ServerCounterInfo> server_counter_table();

}  // namespace stackrig::sandstorm
