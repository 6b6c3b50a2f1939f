// SPDX-License-Identifier: Apache-2.0
// Thousands of networks, each from a seed. More: STACKRIG_SEEDS=100000 tcpip_simulation_test, or
// tcp-sim --first 1 --count 100000.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "tcpip/simulation/spread.h"

namespace stackrig::tcpip::simulation {
namespace {

#if defined(__SANITIZE_ADDRESS__)
#define STACKRIG_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STACKRIG_SANITIZED 1
#endif
#endif
#ifdef STACKRIG_SANITIZED
constexpr std::uint64_t kSeeds = 500;
#else
constexpr std::uint64_t kSeeds = 10'000;
#endif

std::uint64_t seeds() {
  const char* s = std::getenv("STACKRIG_SEEDS");
  return s != nullptr ? std::strtoull(s, nullptr, 10) : kSeeds;
}

TEST(Simulation, EveryByteOnceAndInOrderOrReportedDead) {
  const Total t = run_seeds(1, seeds(), std::max(1U, std::thread::hardware_concurrency()));
  for (const auto& f : t.failures) {
    ADD_FAILURE() << "seed " << f.seed << ": " << f.problem << "\n  again     "
                  << replay_command(f.seed);
  }
  // The networks are bad enough to matter, and not so bad that nothing is seen.
  EXPECT_GT(t.normally, t.otherwise * 3);
  EXPECT_GT(t.otherwise, 0u);
  EXPECT_GT(t.retransmits * 200, t.segments);
}

TEST(Simulation, ASeedIsOneRun) {
  std::string first, second;
  for (std::string* text : {&first, &second}) {
    Show show;
    show.line = [text](const std::string& l) { *text += l + "\n"; };
    EXPECT_TRUE(simulate(make_plan(11), show).good);
  }
  EXPECT_EQ(first, second);
  EXPECT_GT(first.size(), 500u);
}

TEST(Simulation, ARunCanBeSavedAsPcap) {
  const auto file =
      std::filesystem::temp_directory_path() /
      ("tcs-" + std::to_string(std::hash<std::thread::id>()(std::this_thread::get_id())) + ".pcap");
  const Outcome o = simulate(make_plan(11), {.line = {}, .pcap = file});
  EXPECT_GT(std::filesystem::file_size(file), 24 + o.segments * (16 + 54));
  std::filesystem::remove(file);
}

TEST(Plans, DifferFromSeedToSeedAndNotFromCallToCall) {
  EXPECT_EQ(describe(make_plan(5)), describe(make_plan(5)));
  EXPECT_NE(describe(make_plan(5)), describe(make_plan(6)));
}

TEST(Plans, ReachEveryPairOfOptions) {
  // Timestamps, scaling and SACK of either end, in all sixty-four combinations.
  std::uint64_t seen = 0;
  for (std::uint64_t seed = 1; seed <= 10000; ++seed) {  // those of CI
    const Plan p = make_plan(seed);
    unsigned bits = 0;
    for (const Config& c : p.config) {
      bits = bits << 3 | c.timestamps << 2 | c.window_scaling << 1 | c.sack;
    }
    seen |= std::uint64_t{1} << bits;
  }
  EXPECT_EQ(seen, ~std::uint64_t{0});
}

}  // namespace
}  // namespace stackrig::tcpip::simulation
