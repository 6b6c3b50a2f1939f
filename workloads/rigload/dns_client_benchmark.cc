// SPDX-License-Identifier: Apache-2.0
// What rigload dns costs per query: frame, slot, checks, all but the device. The queue answers at
// once, and what that costs is in the figure.
#include <benchmark/benchmark.h>

#include <memory>

#include "nmio/clock.h"
#include "rigload/dns_lane.h"
#include "rigload/test_dns_server.h"

namespace stackrig::rigload {
namespace {

/// `state.range(0)`: names.
void queries(benchmark::State& state) {
  fake::AnsweringQueue queue;
  const DnsQueries set(
      names_of_pattern("host{}.example.com", static_cast<std::uint32_t>(state.range(0)), "A"), {},
      {});
  RunControl control;
  const auto stats = std::make_unique<RunStats>();
  const DnsLaneConfig config{
      .queue = &queue,
      .interface = {.address = *wire::parse_cidr("10.99.0.2/24"), .mac = fake::kClientMac},
      .sources = {.first = *wire::parse_ipv4("10.99.0.2"), .target = fake::kDnsServer},
      .loop = {.idle = nmio::LoopConfig::Idle::spin}};
  DnsQueueLane lane(config, {.outstanding = 512, .flows = 16, .duration = 3600 * nmio::kSecond},
                    set, control, *stats);
  while (stats->at(1).requests == 0) lane.turn(nmio::Clock::now());
  const std::uint64_t before = queue.queries;
  for (auto _ : state) lane.turn(nmio::Clock::now());
  state.SetItemsProcessed(static_cast<std::int64_t>(queue.queries - before));
}
BENCHMARK(queries)->Arg(1)->Arg(10'000)->Arg(1'000'000);

}  // namespace
}  // namespace stackrig::rigload

BENCHMARK_MAIN();
