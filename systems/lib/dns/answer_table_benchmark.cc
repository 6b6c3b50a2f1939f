// SPDX-License-Identifier: Apache-2.0
// What one answer costs from the UDP payload of the query to that of the answer: parsed, found in
// batches of 32, copied and stamped; and what making the answer anew costs.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "dns/answer_table.h"
#include "dns/name.h"
#include "dns/respond.h"

namespace stackrig::dns {
namespace {

constexpr std::size_t kBatch = 32;

struct World {
  explicit World(std::size_t names) {
    std::string text =
        "$TTL 3600\n@ SOA ns mail 1 7200 3600 1209600 300\n@ NS ns\nns A 192.0.2.1\n";
    std::mt19937 random(1);
    for (std::size_t i = 0; i < names; ++i) {
      const std::string host = "host" + std::to_string(i);
      text += host + " A 10." + std::to_string(i >> 16 & 255) + "." + std::to_string(i >> 8 & 255) +
              "." + std::to_string(i & 255) + "\n";
    }
    const ZoneText z{"example.com.", text};
    zones = ZoneSet::parse({&z, 1});
    for (std::size_t i = 0; i < 4096; ++i) {
      std::vector<std::uint8_t> m = {0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1};
      const auto name = Name::from_text("host" + std::to_string(random() % names) + ".example.com");
      m.insert(m.end(), name->data(), name->data() + name->size());
      const std::uint8_t rest[] = {0, 1, 0, 1, 0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0};
      m.insert(m.end(), std::begin(rest), std::end(rest));
      queries.push_back(m);
    }
  }
  std::shared_ptr<const ZoneSet> zones;
  std::vector<std::vector<std::uint8_t>> queries;
};

World& world(std::size_t names) {
  static std::size_t of = 0;
  static std::unique_ptr<World> w;
  if (of != names) {
    w.reset();
    w = std::make_unique<World>(names);
    of = names;
  }
  return *w;
}

template <class Key>
void from_the_table(benchmark::State& state) {
  World& w = world(static_cast<std::size_t>(state.range(0)));
  const AnswerTable<Key> table(*w.zones);
  const auto probes = std::make_unique<typename Key::Probe[]>(kBatch);
  std::vector<Query> queries(kBatch);
  std::vector<std::uint8_t> out(kBatch * 2048);
  std::size_t next = 0;
  std::uint64_t missed = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      Rcode rcode{};
      if (parse_query(w.queries[next++ % w.queries.size()], queries[i], rcode) != Parsed::query) {
        ++missed;
      }
      table.probe(queries[i], probes[i]);
      table.prefetch(probes[i]);
    }
    for (std::size_t i = 0; i < kBatch; ++i) table.prefetch_answer(probes[i]);
    for (std::size_t i = 0; i < kBatch; ++i) {
      const CutAnswer* cut = table.find(probes[i], queries[i]);
      if (cut == nullptr) {
        ++missed;
        continue;
      }
      std::memcpy(&out[i * 2048], cut->payload(), cut->length);
      benchmark::DoNotOptimize(cut->stamp(queries[i], &out[i * 2048]));
    }
  }
  if (missed != 0) state.SkipWithError("queries that were not answered");
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kBatch));
  state.counters["table_bytes"] = static_cast<double>(table.memory());
  state.counters["zone_bytes"] = static_cast<double>(w.zones->memory());
}
BENCHMARK(from_the_table<WireKey>)->Arg(1)->Arg(10'000)->Arg(1'000'000);
BENCHMARK(from_the_table<FqdnKey>)->Arg(1)->Arg(10'000)->Arg(1'000'000);

void made_anew(benchmark::State& state) {
  World& w = world(static_cast<std::size_t>(state.range(0)));
  std::vector<std::uint8_t> out(2048);
  std::size_t next = 0;
  for (auto _ : state) {
    Query q;
    Rcode rcode{};
    parse_query(w.queries[next++ % w.queries.size()], q, rcode);
    benchmark::DoNotOptimize(respond(*w.zones, q, Transport::udp, out));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(made_anew)->Arg(1)->Arg(10'000)->Arg(1'000'000);

}  // namespace
}  // namespace stackrig::dns

BENCHMARK_MAIN();
