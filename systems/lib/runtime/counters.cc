// SPDX-License-Identifier: Apache-2.0
// The names of the loop's and the queue's counters.
#include "runtime/counters.h"

#include <system_error>

#include "nmio/clock.h"
#include "runtime/errors.h"

namespace stackrig::runtime {
namespace {

template <class Counters>
struct Info {
  const char* name;
  const char* unit;
  std::uint64_t Counters::*field;
};

using Loop = nmio::LoopCounters;
constexpr Info<Loop> kLoop[] = {
    {"loop.busy_cycles", "cycles", &Loop::busy_cycles},
    {"loop.idle_cycles", "cycles", &Loop::idle_cycles},
    {"loop.turns", "turns", &Loop::turns},
    {"loop.wakeups", "wakeups", &Loop::wakeups},
};

using Queue = nmio::QueueCounters;
constexpr Info<Queue> kQueue[] = {
    {"nmio.rx_packets", "packets", &Queue::rx_packets},
    {"nmio.rx_bytes", "bytes", &Queue::rx_bytes},
    {"nmio.tx_packets", "packets", &Queue::tx_packets},
    {"nmio.tx_bytes", "bytes", &Queue::tx_bytes},
    {"nmio.rx_dropped", "packets", &Queue::rx_dropped},
    {"nmio.tx_dropped", "packets", &Queue::tx_dropped},
    {"nmio.syscalls", "calls", &Queue::syscalls},
    {"nmio.receive_calls", "calls", &Queue::receive_calls},
    {"nmio.receive_empty", "calls", &Queue::receive_empty},
    {"nmio.flushes", "calls", &Queue::flushes},
};

}  // namespace

std::unique_ptr<telemetry::Page> make_page(const std::string& path, std::string_view system,
                                           std::string_view variant, std::size_t queues) {
  // Some 150 counters a queue, and room for a few histograms of 18 KiB.
  const std::size_t bytes = (std::size_t{1} << 20) + queues * (std::size_t{1} << 18);
  std::unique_ptr<telemetry::Page> page;
  try {
    page = telemetry::Page::create(path, bytes);
  } catch (const std::system_error& e) {
    throw UsageError("--telemetry " + path + ": " + e.code().message() +
                     "; name a file in a folder that exists and can be written to");
  }
  page->text("system", system);
  page->text("variant", variant);
  *page->gauge("cycles_per_second", "cycles/s") = nmio::Clock::cycles_per_second();
  return page;
}

nmio::LoopCounters* place_loop_counters(telemetry::Page& page, std::string_view prefix) {
  return place<Loop>(page, prefix, std::span<const Info<Loop>>(kLoop));
}

void place_queue_counters(telemetry::Page& page, std::string_view prefix, nmio::Queue& queue) {
  queue.place_counters(place<Queue>(page, prefix, std::span<const Info<Queue>>(kQueue)));
}

}  // namespace stackrig::runtime
