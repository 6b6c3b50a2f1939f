// SPDX-License-Identifier: Apache-2.0
// What a checksum costs, by length: beside the copy that it is fused with.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "wire/checksum.h"

namespace {

using stackrig::wire::copy_and_sum;
using stackrig::wire::fold;
using stackrig::wire::sum;

void bytes_per_second(benchmark::State& state) {
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void BM_Sum(benchmark::State& state) {
  const std::vector<std::byte> data(static_cast<std::size_t>(state.range(0)), std::byte{0x5a});
  for (auto _ : state) benchmark::DoNotOptimize(fold(sum(data)));
  bytes_per_second(state);
}

void BM_CopyAndSum(benchmark::State& state) {
  const std::vector<std::byte> data(static_cast<std::size_t>(state.range(0)), std::byte{0x5a});
  std::vector<std::byte> to(data.size());
  for (auto _ : state) {
    benchmark::DoNotOptimize(fold(copy_and_sum(to.data(), data.data(), data.size())));
    benchmark::ClobberMemory();
  }
  bytes_per_second(state);
}

void BM_Copy(benchmark::State& state) {
  const std::vector<std::byte> data(static_cast<std::size_t>(state.range(0)), std::byte{0x5a});
  std::vector<std::byte> to(data.size());
  for (auto _ : state) {
    std::memcpy(to.data(), data.data(), data.size());
    benchmark::ClobberMemory();
  }
  bytes_per_second(state);
}

BENCHMARK(BM_Sum)->Arg(20)->Arg(64)->Arg(256)->Arg(1460)->Arg(9000);
BENCHMARK(BM_CopyAndSum)->Arg(64)->Arg(1460)->Arg(9000);
BENCHMARK(BM_Copy)->Arg(64)->Arg(1460)->Arg(9000);

}  // namespace

BENCHMARK_MAIN();
