// SPDX-License-Identifier: Apache-2.0
// tcp-sim: two of our TCPs over a bad network in virtual time, from a seed
// (docs/tcp-simulation.md). Exit code 0: all good, 1: something is broken, 2: bad input.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "runtime/errors.h"
#include "tcpip/simulation/spread.h"

namespace {

using namespace stackrig::tcpip::simulation;

int run_one(std::uint64_t seed, bool lines, const std::string& pcap) {
  const Plan plan = make_plan(seed);
  std::printf("%s", describe(plan).c_str());
  Show show;
  show.pcap = pcap;
  if (lines) show.line = [](const std::string& l) { std::printf("%s\n", l.c_str()); };
  const Outcome o = simulate(plan, show);
  std::printf("%u ends normally, %u otherwise; %llu segments, %llu retransmissions, %.3f s\n",
              o.normally, o.otherwise, static_cast<unsigned long long>(o.segments),
              static_cast<unsigned long long>(o.retransmits), static_cast<double>(o.took) / 1e9);
  if (!o.good) std::printf("BROKEN: %s\n", o.problem.c_str());
  return o.good ? stackrig::runtime::kExitOk : stackrig::runtime::kExitFailed;
}

int run_many(std::uint64_t first, std::uint64_t count, unsigned jobs) {
  const auto began = std::chrono::steady_clock::now();
  const Total t = run_seeds(first, count, jobs);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  for (const auto& f : t.failures) {
    std::printf("seed %llu: %s\n  again     %s\n", static_cast<unsigned long long>(f.seed),
                f.problem.c_str(), replay_command(f.seed).c_str());
  }
  std::printf(
      "%llu seeds in %.1f s: %llu ends normally, %llu otherwise; %llu segments, %llu "
      "retransmissions, %llu bytes; %zu failures\n",
      static_cast<unsigned long long>(t.seeds), took.count(),
      static_cast<unsigned long long>(t.normally), static_cast<unsigned long long>(t.otherwise),
      static_cast<unsigned long long>(t.segments), static_cast<unsigned long long>(t.retransmits),
      static_cast<unsigned long long>(t.bytes), t.failures.size());
  return t.failures.empty() ? stackrig::runtime::kExitOk : stackrig::runtime::kExitFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Two of our TCPs over a bad network in virtual time (docs/tcp-simulation.md)."};
  std::uint64_t seed = 0, first = 1, count = 1000;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
  bool show = false;
  std::string pcap;
  auto* one = app.add_option("--seed", seed, "run this seed alone");
  app.add_flag("--show", show, "every segment as a line")->needs(one);
  app.add_option("--pcap", pcap, "every segment into this file")->needs(one);
  app.add_option("--first", first, "first seed")->excludes(one);
  app.add_option("--count", count, "how many seeds")->excludes(one);
  app.add_option("--jobs", jobs, "processes")->excludes(one)->check(CLI::Range(1, 256));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : stackrig::runtime::kExitUsage;
  }
  return stackrig::runtime::guarded("tcp-sim", [&] {
    return one->count() != 0 ? run_one(seed, show, pcap) : run_many(first, count, jobs);
  });
}
