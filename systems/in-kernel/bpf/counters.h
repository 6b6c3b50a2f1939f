// SPDX-License-Identifier: Apache-2.0
// What the loader counts itself, and the names of all counters in the telemetry page.
#pragma once

#include <cstdint>
#include <span>

#include "layout.h"
#include "programs.h"
#include "telemetry/page.h"

namespace stackrig::in_kernel {

struct Counters {
  std::uint64_t accepted, open_now, refused, reset;
  std::uint64_t taken;  ///< connections that the loader had for a while
  std::uint64_t loader_messages, loader_bytes;
  std::uint64_t malformed;
  std::uint64_t replies;
  std::uint64_t dropped_no_key, dropped_gone;
  std::uint64_t backends_now, backends_opened, backends_failed, backends_gone;
  std::uint64_t lost_bytes;
  std::uint64_t parked;
};

/// The page's part of this system.
class Telemetry {
 public:
  Telemetry(telemetry::Page& page, Service service);
  Counters& counters() { return *counters_; }
  /// Takes over what the programs have counted so far.
  void update(const Programs& programs);

 private:
  struct Kernel {
    std::uint64_t values[COUNTERS];
    std::uint64_t messages, bytes;
  };
  Counters* counters_;
  Kernel* kernel_;
};

}  // namespace stackrig::in_kernel
