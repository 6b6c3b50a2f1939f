// SPDX-License-Identifier: Apache-2.0
// Names and units of Sandstorm's counters.
#include "telemetry.h"

#include <array>

namespace stackrig::sandstorm {

std::span<const ServerCounterInfo> server_counter_table() {
  using C = ServerCounters;
  static constexpr auto kTable = std::to_array<ServerCounterInfo>({
      {"http.requests", "requests", &C::requests},
      {"http.body_bytes", "bytes", &C::body_bytes},
      {"http.status_2xx", "responses", &C::status_200},
      {"http.status_3xx", "responses", &C::status_300},
      {"http.status_4xx", "responses", &C::status_400},
      {"http.status_5xx", "responses", &C::status_500},
      {"http.timed_out", "connections", &C::timed_out},
      {"http.no_request_buffer", "connections", &C::no_request_buffer},
      {"http.paused", "times", &C::paused},
      {"http.connections_now", "connections", &C::connections_now},
  });
  return kTable;
}

}  // namespace stackrig::sandstorm
