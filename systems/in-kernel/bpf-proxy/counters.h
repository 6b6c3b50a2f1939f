// SPDX-License-Identifier: Apache-2.0
// What the loader counts itself, and the names of all counters in the telemetry page.
#pragma once

#include <cstdint>

#include "relay.h"
#include "telemetry/page.h"

namespace stackrig::in_kernel::proxy {

struct Counters {
  std::uint64_t accepted, open_now, refused, reset, idle;
  std::uint64_t paired, user_space;
  std::uint64_t loader_bytes;
  std::uint64_t bad_gateway, unavailable;
  std::uint64_t waiting_now;
  std::uint64_t backends_now, backends_idle_now, backends_opened, backends_failed, backends_reset;
};

/// The page's part of this system.
class Telemetry {
 public:
  explicit Telemetry(telemetry::Page& page);
  Counters& counters() { return *counters_; }
  /// Takes over what the program has counted so far.
  void update(const Relay& relay);

 private:
  struct Kernel {
    std::uint64_t values[PROXY_COUNTERS];
  };
  Counters* counters_;
  Kernel* kernel_;
};

}  // namespace stackrig::in_kernel::proxy
