// SPDX-License-Identifier: Apache-2.0
#include "nmio/loop.h"

#include <gtest/gtest.h>

#include <thread>

#include "nmio/sim.h"
#include "nmio/test_frames.h"

namespace stackrig::nmio {
namespace {

using namespace test;

/// Sends every frame back where it came from.
struct Echo {
  Queue& queue;
  TxBatch& batch;
  Time deadline = kNever;
  unsigned fired = 0;
  std::vector<Time> received_at;

  void on_burst(std::span<const RxPacket> burst, Time now) {
    for (const RxPacket& p : burst) {
      received_at.push_back(now);
      std::swap_ranges(p.data, p.data + 6, p.data + 6);
      if (batch.has_room()) {
        batch.push({.data = p.data, .len = p.len, .chunk = p.chunk});
      } else {
        queue.memory().give_back(p.chunk);
      }
    }
  }
  void on_idle(Time now) {
    if (now < deadline) return;
    ++fired;
    deadline = kNever;
  }
  [[nodiscard]] Time next_deadline() const { return deadline; }
};

/// A queue that records what the loop does with it.
struct RecordingQueue final : Queue {
  RecordingQueue() { memory_ = PacketMemory::create({.chunks = 16, .huge_pages = false}); }
  unsigned receive(std::span<RxPacket> out) override {
    const unsigned n = static_cast<unsigned>(std::min<std::size_t>(out.size(), incoming));
    for (unsigned i = 0; i < n; ++i) {
      const ChunkId c = memory_->take();
      out[i] = {.data = memory_->data(c), .len = 60, .chunk = c};
    }
    incoming -= n;
    return n;
  }
  unsigned put(std::span<const TxPacket> in) override {
    const unsigned n = std::min(static_cast<unsigned>(in.size()), room);
    for (unsigned i = 0; i < n; ++i) memory_->give_back(in[i].chunk);
    room -= n;
    return n;
  }
  void flush() override { ++counters_->flushes; }
  unsigned reap() override { return 0; }
  void wait(Time, Time deadline) override { waits.push_back(deadline); }
  unsigned tx_room() override { return room; }

  unsigned incoming = 0;
  unsigned room = 100;
  std::vector<Time> waits;
};

struct LoopTest : ::testing::Test {
  RecordingQueue queue;
  TxBatch batch;
  Echo app{queue, batch};
  LoopCounters counters;
  LoopConfig config;
};

TEST_F(LoopTest, RingsTheDoorbellOncePerTxIntervalUnderLoad) {
  Loop<Echo> loop(queue, batch, app, config, counters);
  for (Time now = kSecond; now < kSecond + kMillisecond; now += 10 * kMicrosecond) {
    queue.incoming = 1;
    queue.room = 100;
    loop.turn(now);
  }
  // One at the start, then each 80 us of 1 ms.
  EXPECT_EQ(queue.counters().flushes, 13U);
}

TEST_F(LoopTest, AnIdleTurnRingsTheDoorbellAtOnce) {
  Loop<Echo> loop(queue, batch, app, config, counters);
  queue.incoming = 1;
  loop.turn(kSecond);  // far from the last flush: at once
  queue.incoming = 1;
  loop.turn(kSecond + 1);
  EXPECT_EQ(queue.counters().flushes, 1U);
  loop.turn(kSecond + 2);
  EXPECT_EQ(queue.counters().flushes, 2U);
  loop.turn(kSecond + 3);
  EXPECT_EQ(queue.counters().flushes, 2U) << "nothing waits";
}

TEST_F(LoopTest, AsInTheThesisAStragglerWaitsForTheIntervalOrItsTimer) {
  config.flush_when_idle = false;
  config.tx_interval = kSecond;
  config.straggler = 5 * kMillisecond;
  Loop<Echo> loop(queue, batch, app, config, counters);
  queue.incoming = 1;
  loop.turn(2 * kSecond);
  EXPECT_EQ(queue.counters().flushes, 1U);
  queue.incoming = 1;
  loop.turn(2 * kSecond + 1);
  EXPECT_EQ(loop.next_deadline(), 2 * kSecond + 1 + 5 * kMillisecond);
  loop.turn(2 * kSecond + 5 * kMillisecond);
  EXPECT_EQ(queue.counters().flushes, 1U);
  loop.turn(2 * kSecond + 5 * kMillisecond + 1);
  EXPECT_EQ(queue.counters().flushes, 2U);
}

TEST_F(LoopTest, WhatTheRingHasNoRoomForStaysInTheBatch) {
  Loop<Echo> loop(queue, batch, app, config, counters);
  for (unsigned i = 0; i < 5; ++i) batch.packets[i] = {.len = i, .chunk = queue.memory().take()};
  batch.count = 5;
  queue.room = 2;
  loop.turn(kSecond);
  EXPECT_EQ(batch.count, 3U);
  EXPECT_EQ(batch.packets[0].len, 2U);
  EXPECT_EQ(batch.room, 0U);
  queue.room = 100;
  loop.turn(kSecond + 1);
  EXPECT_EQ(batch.count, 0U);
}

TEST_F(LoopTest, ATimerThatIsDueMakesATurnBusy) {
  Loop<Echo> loop(queue, batch, app, config, counters);
  app.deadline = kSecond + 10;
  EXPECT_FALSE(loop.turn(kSecond));
  EXPECT_TRUE(loop.turn(kSecond + 10));
  EXPECT_EQ(app.fired, 1U);
  EXPECT_FALSE(loop.turn(kSecond + 11));
}

/// Stops the loop after a number of turns.
struct CountedIdle {
  std::atomic<bool>& stop;
  unsigned turns_left;
  Time deadline = kNever;
  void on_burst(std::span<const RxPacket>, Time) {}
  void on_idle(Time) {
    if (--turns_left == 0) stop = true;
  }
  [[nodiscard]] Time next_deadline() const { return deadline; }
};

TEST_F(LoopTest, AdaptiveBlocksOnceItHasSpunAndTheOthersNeverDo) {
  std::atomic<bool> stop = false;
  config.spin_for = 0;
  CountedIdle idle{stop, 10};
  idle.deadline = Clock::now() + kSecond * 9 / 100;  // below what a loop blocks at most
  const Time deadline = idle.deadline;
  run(queue, batch, idle, config, counters, stop);
  ASSERT_FALSE(queue.waits.empty());
  EXPECT_EQ(queue.waits.front(), deadline);
  EXPECT_EQ(counters.wakeups, queue.waits.size());

  for (const LoopConfig::Idle never : {LoopConfig::Idle::spin, LoopConfig::Idle::yield}) {
    queue.waits.clear();
    config.idle = never;
    stop = false;
    CountedIdle again{stop, 1000};
    run(queue, batch, again, config, counters, stop);
    EXPECT_TRUE(queue.waits.empty());
  }
}

TEST_F(LoopTest, CyclesAreBusyOrIdleAndNoneIsLeftOut) {
  std::atomic<bool> stop = false;
  CountedIdle idle{stop, 1000};
  config.idle = LoopConfig::Idle::spin;
  const std::uint64_t before = Clock::cycles();
  run(queue, batch, idle, config, counters, stop);
  const std::uint64_t all = Clock::cycles() - before;
  EXPECT_EQ(counters.turns, 1000U);
  EXPECT_EQ(counters.busy_cycles, 0U);
  EXPECT_GT(counters.idle_cycles, 0U);
  EXPECT_LE(counters.idle_cycles, all);
}

TEST(Clock, DoesNotGoBackAndTellsTheKernelsTime) {
  Time last = 0;
  const Time end = Clock::monotonic() + kSecond * 5 / 2;  // passes two new anchors
  while (Clock::monotonic() < end) {
    const Time now = Clock::now();
    ASSERT_GE(now, last);
    last = now;
  }
  // A hypervisor may stop us between the two reads: the nearest of many counts.
  Time nearest = kSecond;
  for (int i = 0; i < 100; ++i) {
    const Time now = Clock::now();
    const Time real = Clock::monotonic();
    nearest = std::min(nearest, now > real ? now - real : real - now);
  }
  EXPECT_LT(nearest, 100 * kMicrosecond);
}

TEST(Clock, AThreadsFirstReadingMayBeAskedForTwice) {
  std::thread([] {
    const std::uint64_t cycles = Clock::cycles();
    const Time first = Clock::at(cycles);  // anchors this thread's clock after `cycles` was read
    const Time again = Clock::at(cycles);
    EXPECT_LT(again - std::min(first, again), kSecond);
    EXPECT_LT(first - std::min(first, again), kSecond);
  }).join();
}

TEST(SimRunner, RunsTheRealLoopInVirtualTime) {
  SimNetwork net(1);
  SimPort& a = net.add_port({.out = {.delay = kMillisecond}, .in = {.delay = kMillisecond}});
  SimPort& b = net.add_port({.out = {.delay = kMillisecond}, .in = {.delay = kMillisecond}});
  TxBatch batch_a;
  TxBatch batch_b;
  Echo at_a{a.queue(0), batch_a};
  Echo at_b{b.queue(0), batch_b};
  SimRunner runner(net);
  runner.attach(a.queue(0), batch_a, at_a);
  runner.attach(b.queue(0), batch_b, at_b);
  at_a.deadline = net.now() + 3 * kMillisecond;
  Mac to;
  Mac from;
  std::copy(b.mac().begin(), b.mac().end(), to.begin());
  std::copy(a.mac().begin(), a.mac().end(), from.begin());
  send_frame(a.queue(0), make_frame({.destination = to, .source = from}));

  const Time start = net.now();
  EXPECT_TRUE(runner.run_until_done([&] { return at_a.received_at.size() == 5; }, start + kSecond));
  EXPECT_EQ(at_a.received_at.back(), start + 20 * kMillisecond);
  EXPECT_EQ(at_a.fired, 1U);
  EXPECT_FALSE(runner.run_until_done([] { return false; }, start + 2 * kSecond));
  runner.run_until(start + 3 * kSecond);
  EXPECT_EQ(net.now(), start + 3 * kSecond);
  EXPECT_EQ(a.queue(0).memory().free_count(), 2048U) << "the frame is on the wire, in no chunk";
  EXPECT_EQ(b.queue(0).memory().free_count(), 2048U);
}

TEST(SimRunner, AnApplicationThatWorksForEverAtOneMomentIsReported) {
  SimNetwork net(1);
  SimPort& a = net.add_port();
  TxBatch batch;
  struct Stuck {
    void on_burst(std::span<const RxPacket>, Time) {}
    void on_idle(Time) {}
    [[nodiscard]] Time next_deadline() const { return 0; }
  } stuck;
  SimRunner runner(net);
  runner.attach(a.queue(0), batch, stuck);
  EXPECT_THROW(runner.run_for(kSecond), std::logic_error);
}

}  // namespace
}  // namespace stackrig::nmio
