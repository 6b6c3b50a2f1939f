// SPDX-License-Identifier: Apache-2.0
// Exit codes, readiness, signals, threads.
#include "runtime/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include "nmio/sim.h"
#include "runtime/errors.h"
#include "runtime/threads.h"

namespace stackrig::runtime {
namespace {

std::pair<int, std::string> outcome(const std::function<int()>& body) {
  ::testing::internal::CaptureStderr();
  const int code = guarded("sandstorm", body);
  return {code, ::testing::internal::GetCapturedStderr()};
}

TEST(Guarded, TellsBadInputFromBadLuck) {
  EXPECT_EQ(outcome([] { return 0; }), (std::pair<int, std::string>{0, ""}));
  EXPECT_EQ(outcome([]() -> int { throw UsageError("--root x: no such folder; make it"); }),
            (std::pair<int, std::string>{2, "sandstorm: --root x: no such folder; make it\n"}));
  EXPECT_EQ(outcome([]() -> int { throw nmio::SetupError("x"); }).first, 2);
  EXPECT_EQ(outcome([]() -> int { throw std::invalid_argument("x"); }).first, 2);
  EXPECT_EQ(outcome([]() -> int { throw std::runtime_error("x"); }),
            (std::pair<int, std::string>{1, "sandstorm: x\n"}));
}

TEST(Nearest, NamesTheNearestOrAll) {
  const std::string words[] = {"precopy", "memcpy"};
  EXPECT_EQ(nearest("pre-copy", words), "did you mean 'precopy'?");
  EXPECT_EQ(nearest("zebra", words), "known: precopy, memcpy");
}

TEST(Ready, OneLineAndTheDescriptorIsClosed) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  check_ready_fd(ends[1]);
  announce_ready(ends[1]);
  char line[16] = {};
  EXPECT_EQ(::read(ends[0], line, sizeof line), 6);
  EXPECT_STREQ(line, "ready\n");
  EXPECT_EQ(::read(ends[0], line, sizeof line), 0) << "closed";
  ::close(ends[0]);
}

TEST(Ready, ADescriptorThatCannotBeWrittenIsRefused) {
  EXPECT_THROW(check_ready_fd(987), UsageError);
  const int fd = ::open("/dev/null", O_RDONLY);
  EXPECT_THROW(check_ready_fd(fd), UsageError);
  ::close(fd);
  EXPECT_NO_THROW(check_ready_fd(-1));
  EXPECT_NO_THROW(announce_ready(-1));
}

TEST(Signals, TermAndIntSetTheStopFlag) {
  for (const int s : {SIGTERM, SIGINT}) {
    catch_stop_signals();
    stop_flag() = false;
    std::raise(s);
    EXPECT_TRUE(stop_flag());
    stop_flag() = false;
  }
}

TEST(Pinning, AThreadRunsOnItsCore) {
  std::thread([] {
    cpu_set_t allowed;
    ::sched_getaffinity(0, sizeof allowed, &allowed);
    unsigned core = 0;
    while (!CPU_ISSET(core, &allowed)) ++core;
    pin_to_core(core);
    EXPECT_EQ(::sched_getcpu(), static_cast<int>(core));
  }).join();
  EXPECT_THROW(pin_to_core(1000), UsageError);
  EXPECT_THROW(pin_to_core(100000), UsageError);
}

TEST(Telemetry, AFileThatCannotBeMadeIsRefused) {
  EXPECT_THROW(make_page("/nonexistent/page", "s", "v", 1), UsageError);
}

TEST(Logging, UnknownLevelsAreRefused) {
  EXPECT_NO_THROW(start_logging("test", "warn"));
  EXPECT_THROW(start_logging("test", "loud"), UsageError);
}

TEST(Secrets, Differ) {
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 100; ++i) seen.insert(random_secret());
  EXPECT_EQ(seen.size(), 100U);
}

// --- threads
// --------------------------------------------------------------------------------------

struct CountingApp {
  explicit CountingApp(std::atomic<bool>& flag) : stop(flag) {}
  void on_burst(std::span<const nmio::RxPacket>, nmio::Time) {}
  void on_idle(nmio::Time) {
    if (++turns == 10) stop = true;
  }
  [[nodiscard]] nmio::Time next_deadline() const { return nmio::kNever; }
  std::atomic<bool>& stop;
  int turns = 0;
};

class ThreadsTest : public ::testing::Test {
 protected:
  ThreadsTest() : page_(telemetry::Page::create("")) {
    options_.loop.idle = nmio::LoopConfig::Idle::spin;
  }
  // A port whose queues are the simulated network's: nothing is ever on its way.
  struct IdlePort : nmio::Port {
    explicit IdlePort(unsigned queues) : sim(net.add_port({.queues = queues, .chunks = 64})) {}
    [[nodiscard]] unsigned queues() const override { return sim.queues(); }
    [[nodiscard]] nmio::Queue& queue(unsigned i) override { return sim.queue(i); }
    [[nodiscard]] std::span<const std::uint8_t, 6> mac() const override { return sim.mac(); }
    [[nodiscard]] std::uint32_t mtu() const override { return sim.mtu(); }
    [[nodiscard]] std::string describe() const override { return "idle"; }
    nmio::SimNetwork net{1};
    nmio::SimPort& sim;
  };
  void add_port(unsigned queues) {
    ports_.push_back({std::make_unique<IdlePort>(queues), {*wire::parse_ipv4("10.0.0.1"), 24}});
  }

  Options options_;
  std::vector<OpenPort> ports_;
  std::unique_ptr<telemetry::Page> page_;
  std::atomic<bool> stop_{false};
};

TEST_F(ThreadsTest, EachQueueHasAThreadAndAllAreBuiltBeforeReady) {
  add_port(2);
  add_port(1);
  std::atomic<int> built{0}, done{0};
  int built_at_ready = 0;
  std::set<std::thread::id> threads;
  std::mutex mutex;
  run_threads<CountingApp>(
      options_, ports_, *page_, stop_,
      [&](QueuePlace& p) {
        EXPECT_EQ(p.prefix, "q" + std::to_string(p.index) + ".");
        EXPECT_EQ(p.port_index, p.index < 2 ? 0U : 1U);
        EXPECT_EQ(p.port_queue, p.index == 1 ? 1U : 0U);
        const std::lock_guard lock(mutex);
        threads.insert(std::this_thread::get_id());
        ++built;
        return std::make_unique<CountingApp>(stop_);
      },
      [&] { built_at_ready = built; },
      [&](CountingApp& app, QueuePlace& p) {
        EXPECT_EQ(p.loop_counters->turns, static_cast<std::uint64_t>(app.turns));
        ++done;
      });
  EXPECT_EQ(built_at_ready, 3);
  EXPECT_EQ(done, 3);
  EXPECT_EQ(threads.size(), 3U);
}

TEST_F(ThreadsTest, WhereOneCannotBeBuiltNoneRuns) {
  add_port(3);
  bool ready = false;
  std::atomic<int> turns{0};
  EXPECT_THROW(
      run_threads<CountingApp>(
          options_, ports_, *page_, stop_,
          [&](QueuePlace& p) {
            if (p.index == 1) throw UsageError("no room");
            return std::make_unique<CountingApp>(stop_);
          },
          [&] { ready = true; }, [&](CountingApp& app, QueuePlace&) { turns += app.turns; }),
      UsageError);
  EXPECT_FALSE(ready);
  EXPECT_EQ(turns, 0);
  EXPECT_TRUE(stop_);
}

struct FailingApp : CountingApp {
  using CountingApp::CountingApp;
  bool fails = false;
  void on_idle(nmio::Time) {
    if (fails) throw std::runtime_error("lost the device");
  }
};

TEST_F(ThreadsTest, AThreadThatFailsStopsTheOthers) {
  add_port(2);
  EXPECT_THROW(run_threads<FailingApp>(
                   options_, ports_, *page_, stop_,
                   [&](QueuePlace& p) {
                     auto app = std::make_unique<FailingApp>(stop_);
                     app->fails = p.index == 1;
                     return app;
                   },
                   [] {}),
               std::runtime_error);
}

}  // namespace
}  // namespace stackrig::runtime
