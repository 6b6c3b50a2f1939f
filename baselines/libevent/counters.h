// SPDX-License-Identifier: Apache-2.0
// What the forwarder has seen. Plain 64-bit counters, one writer; lies in a telemetry page where
// there is one.
#pragma once

#include <array>
#include <cstdint>

namespace stackrig::libevent {

struct Counters {
  std::uint64_t messages;       ///< forwarded
  std::uint64_t bytes;          ///< of them
  std::uint64_t dropped;        ///< messages whose key has no backend
  std::uint64_t dropped_bytes;  ///< were waiting for a backend when that went away
  std::uint64_t malformed;      ///< connections closed for what they sent
  std::uint64_t unknown;        ///< messages of other methods
  std::uint64_t accepted;       ///< connections
  std::uint64_t connected;      ///< backends
  std::uint64_t backends_lost;  ///< that went away by themselves
  std::uint64_t pauses;         ///< a sender was not read from, since a backend was slow
  std::uint64_t writes;         ///< system calls that gave bytes to a backend
};

struct CounterInfo {
  const char* name;
  const char* unit;
  std::uint64_t Counters::*field;
};

inline constexpr std::array<CounterInfo, 11> kCounterTable = {{
    {"messages", "messages", &Counters::messages},
    {"bytes", "bytes", &Counters::bytes},
    {"dropped", "messages", &Counters::dropped},
    {"dropped_bytes", "bytes", &Counters::dropped_bytes},
    {"malformed", "connections", &Counters::malformed},
    {"unknown", "messages", &Counters::unknown},
    {"accepted", "connections", &Counters::accepted},
    {"connected", "backends", &Counters::connected},
    {"backends_lost", "backends", &Counters::backends_lost},
    {"pauses", "pauses", &Counters::pauses},
    {"writes", "calls", &Counters::writes},
}};

}  // namespace stackrig::libevent
