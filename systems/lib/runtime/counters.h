// SPDX-License-Identifier: Apache-2.0
// Puts structs of counters into a telemetry page under the names that readers know.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "nmio/loop.h"
#include "nmio/port.h"
#include "telemetry/page.h"

namespace stackrig::runtime {

/// A page with "system", "variant", "cycles_per_second" in it. Throws UsageError where `path`
/// cannot be written.
std::unique_ptr<telemetry::Page> make_page(const std::string& path, std::string_view system,
                                           std::string_view variant, std::size_t queues);

/// Room for a struct of counters, each described as PREFIX + name. `table` lists {name, unit,
/// field}.
template <class Counters, class Info>
Counters* place(telemetry::Page& page, std::string_view prefix, std::span<const Info> table) {
  auto* counters = page.place<Counters>();
  for (const Info& info : table) {
    const std::string_view name = info.name;
    const bool now = name.ends_with("_now");  // what is there now goes down as well as up
    page.describe(std::string(prefix).append(name), info.unit,
                  now ? telemetry::Kind::gauge : telemetry::Kind::counter,
                  &(counters->*info.field));
  }
  return counters;
}

/// "q0.loop.busy_cycles" and so on.
nmio::LoopCounters* place_loop_counters(telemetry::Page& page, std::string_view prefix);
/// "q0.nmio.rx_packets" and so on; the queue counts there from now on.
void place_queue_counters(telemetry::Page& page, std::string_view prefix, nmio::Queue& queue);

}  // namespace stackrig::runtime
