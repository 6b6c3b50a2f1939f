// SPDX-License-Identifier: Apache-2.0
// A thread's load in virtual time: the start, the loops, the phases, the end.
#include "rigload/test_load_client.h"

namespace stackrig::rigload {
namespace {

using namespace load_test;

// --- the start
// -------------------------------------------------------------------------------------

TEST(LoadClient, OpensOneConnectionAndWaitsForTheCommonStart) {
  World w(closed_loop(4, true));
  w.control.clients = 2;  // another thread
  w.turn();
  EXPECT_EQ(w.transport.opened, std::vector<SlotId>{0});
  EXPECT_EQ(w.control.connected, 0U);
  w.client->on_connected(0, w.now);
  w.turn();
  EXPECT_EQ(w.control.connected, 1U);
  EXPECT_EQ(w.control.start_at, nmio::kNever);
  EXPECT_TRUE(w.transport.sent.empty());
  w.control.start_at = kStart;
  w.now = kStart - 1;
  w.turn();
  EXPECT_TRUE(w.transport.sent.empty());
  w.now = kStart + 5;
  w.turn();  // the gate opens
  w.turn();
  EXPECT_EQ(w.transport.sent, std::vector<SlotId>{0});
  EXPECT_EQ(w.transport.opened, (std::vector<SlotId>{0, 1, 2, 3}));
  EXPECT_EQ(w.client->schedule().start, kStart);
}

TEST(LoadClient, TheLastOneToBeConnectedSetsTheStart) {
  World w(closed_loop(4, true));
  w.control.clients = 2;
  w.control.connected = 1;
  w.turn();
  w.client->on_connected(0, w.now);
  w.turn();
  EXPECT_EQ(w.control.start_at, w.now + 2 * kMillisecond);
}

TEST(LoadClient, ARefusedFirstConnectionSaysSo) {
  World w({.targets = {"10.0.0.2:80"}});
  w.turn();
  w.client->on_lost(0, Lost::refused, w.now);
  EXPECT_TRUE(w.client->done());
  EXPECT_NE(w.client->failure().find("target 10.0.0.2:80: connection refused; "),
            std::string::npos);
  EXPECT_EQ(w.control.failed, 1U);
}

TEST(LoadClient, ASilentTargetEndsTheRunAfterTheTimeout) {
  World w({.timeout = kSecond, .targets = {"10.0.0.2:80"}});
  const Time began = w.now;
  for (w.turn(); !w.client->done(); w.turn()) w.now = w.client->next_deadline();
  EXPECT_NE(w.client->failure().find("no answer to a connection attempt within 1000 ms"),
            std::string::npos);
  EXPECT_LE(w.now - began, kSecond + kSecond / 4);
}

TEST(LoadClient, AnotherThreadsFailureEndsThisOneWithoutAFailureOfItsOwn) {
  World w(closed_loop(1, true));
  w.turn();
  w.control.failed = 1;
  w.turn();
  EXPECT_TRUE(w.client->done());
  EXPECT_TRUE(w.client->failure().empty());
  EXPECT_EQ(w.transport.aborted, std::vector<SlotId>{0});
}

TEST(LoadClient, HeldConnectionsAreOpenedBeforeTheStartAndLeftAlone) {
  LoadConfig config = closed_loop(1, true);
  config.hold = 300;
  World w(config);
  w.turn();
  EXPECT_EQ(w.transport.opened.size(), 256U);  // not all at once
  for (const SlotId slot : std::vector<SlotId>(w.transport.opened))
    w.client->on_connected(slot, w.now);
  w.turn();
  EXPECT_EQ(w.control.connected, 0U);
  for (std::size_t i = 256; i < w.transport.opened.size(); ++i)
    w.client->on_connected(w.transport.opened[i], w.now);
  EXPECT_EQ(w.transport.opened.size(), 301U);
  w.turn();
  EXPECT_EQ(w.control.connected, 1U);
  w.control.start_at = kStart;
  w.now = kStart;
  w.turn();
  w.turn();
  EXPECT_EQ(w.transport.sent, std::vector<SlotId>{0});
  w.client->on_remote_closed(7, w.now);  // the server has had enough of an idle one
  EXPECT_EQ(w.measure().error(ErrorKind::reset), 1U);
  w.turn();
  EXPECT_EQ(w.transport.opened.size(), 301U);
}

// --- closed loop
// -----------------------------------------------------------------------------------

TEST(LoadClient, ClosedLoopKeepaliveSendsTheNextRequestWithTheAnswer) {
  World w(closed_loop(1, true));
  w.begin();
  w.turn();
  w.to(300);
  w.receive(0, 'k');
  EXPECT_EQ(w.transport.sent.size(), 2U);
  w.to(1000);
  w.receive(0, '.');
  w.receive(0, 'k');
  EXPECT_EQ(w.transport.sent.size(), 3U);
  EXPECT_EQ(w.measure().requests, 2U);
  EXPECT_EQ(w.measure().body_bytes, 30U);
  EXPECT_EQ(w.measure().latency.min, 300U);  // from the start
  EXPECT_EQ(w.measure().latency.max, 700U);  // from the answer before
  EXPECT_EQ(w.transport.opened.size(), 1U);
}

TEST(LoadClient, AConnectionPerRequestCountsTheHandshakeIn) {
  World w(closed_loop(1, false));
  w.begin();
  w.turn();
  w.to(100);
  w.receive(0, 'k');
  EXPECT_EQ(w.measure().requests, 1U);
  EXPECT_EQ(w.measure().connections, 0U);
  EXPECT_TRUE(w.transport.closed.empty());  // the server closes first: TIME_WAIT is its own
  w.to(150);
  w.client->on_remote_closed(0, w.now);
  EXPECT_EQ(w.measure().connections, 1U);
  EXPECT_EQ(w.transport.closed.size(), 1U);
  w.to(160);
  w.turn();
  EXPECT_EQ(w.transport.opened.size(), 2U);
  w.to(500);
  w.connect_opened();
  EXPECT_EQ(w.transport.sent.size(), 2U);
  w.to(1150);
  w.receive(0, 'k');
  EXPECT_EQ(w.measure().latency.max, 1000U);  // from the end of the connection before, at 150
}

TEST(LoadClient, KeepsAllConnectionsBusy) {
  World w(closed_loop(5, true));
  w.begin();
  w.turn();
  w.connect_opened();
  EXPECT_EQ(w.transport.sent.size(), 5U);
  for (SlotId slot = 0; slot < 5; ++slot) w.receive(slot, 'k');
  EXPECT_EQ(w.transport.sent.size(), 10U);
}

TEST(LoadClient, AServerThatClosesAPersistentConnectionIsNoError) {
  World w(closed_loop(1, true));
  w.begin();
  w.turn();
  w.receive(0, 'c');
  EXPECT_EQ(w.transport.sent.size(), 1U);  // nothing more on this connection
  w.client->on_remote_closed(0, w.now);
  w.turn();
  EXPECT_EQ(w.transport.opened.size(), 2U);
  w.connect_opened();
  EXPECT_EQ(w.transport.sent.size(), 2U);
  EXPECT_EQ(w.measure().requests, 1U);
  for (const std::uint64_t errors : w.measure().errors) EXPECT_EQ(errors, 0U);
}

// --- open loop
// -------------------------------------------------------------------------------------

TEST(LoadClient, OpenLoopCountsLatencyFromTheDueTime) {
  World w(open_loop(1, true, 1000));  // one is due each millisecond, from the start on
  w.begin();
  w.turn();
  EXPECT_EQ(w.transport.sent.size(), 1U);
  w.to(10 * kMillisecond);  // the server took 10 ms; ten more were due meanwhile
  w.turn();
  EXPECT_EQ(w.transport.sent.size(), 1U);
  for (unsigned i = 0; i < 11; ++i) w.receive(0, 'k');
  EXPECT_EQ(w.transport.sent.size(), 11U);
  const telemetry::HistogramData& h = w.measure().latency;
  EXPECT_EQ(h.count, 11U);
  EXPECT_EQ(h.max, 10 * kMillisecond);
  EXPECT_EQ(h.min, 0U);                            // due at 10 ms, answered at 10 ms
  EXPECT_EQ(h.sum, (10 * 11 / 2) * kMillisecond);  // 10 + 9 + ... + 0
}

TEST(LoadClient, OpenLoopDoesNotSendBeforeItIsDue) {
  World w(open_loop(4, true, 1000));
  w.begin();
  w.turn();
  w.connect_opened();
  w.receive(0, 'k');
  EXPECT_EQ(w.transport.sent.size(), 1U);
  EXPECT_EQ(w.client->next_deadline(), kStart + kMillisecond);
  w.to(kMillisecond);
  w.turn();
  EXPECT_EQ(w.transport.sent.size(), 2U);
}

TEST(LoadClient, OpenLoopWithAConnectionPerRequestOpensWhenDue) {
  World w(open_loop(2, false, 1000));
  w.begin();
  w.turn();  // the first goes over the connection that is there
  EXPECT_EQ(w.transport.opened.size(), 1U);
  w.to(kMillisecond);
  w.turn();
  EXPECT_EQ(w.transport.opened.size(), 2U);
  EXPECT_EQ(w.transport.sent.size(), 1U);
  w.to(kMillisecond + 400);
  w.connect_opened();
  w.to(kMillisecond + 900);
  w.receive(1, 'k');
  EXPECT_EQ(w.measure().latency.max, 900U);
}

TEST(LoadClient, WhatDoesNotFitTheQueueIsUnsent) {
  LoadConfig config = open_loop(1, true, 1000);
  config.queue_bound = 4;
  World w(config);
  w.begin();
  w.turn();
  w.to(10 * kMillisecond);
  w.turn();  // due at 1 to 10 ms: four wait, six are lost
  EXPECT_EQ(w.measure().error(ErrorKind::unsent), 6U);
}

TEST(LoadClient, WhatStillWaitsAtTheEndIsUnsent) {
  World w(open_loop(1, true, 1000));
  w.begin();
  w.turn();
  w.to(kSecond);  // 1000 were due; the one on its way never came back
  w.turn();
  EXPECT_EQ(w.measure().error(ErrorKind::unsent), 999U);
  EXPECT_EQ(w.phase(Phase::drain).error(ErrorKind::unsent), 0U);
}

// --- phases
// ----------------------------------------------------------------------------------------

TEST(LoadClient, ACompletionCountsWhenItHappensALatencyWhenItWasDue) {
  LoadConfig config = closed_loop(1, true);
  config.warmup = kSecond;
  World w(config);
  w.begin();
  w.turn();
  w.to(kSecond + 1000);  // due in warmup, answered while measuring
  w.receive(0, 'k');
  EXPECT_EQ(w.phase(Phase::warmup).requests, 0U);
  EXPECT_EQ(w.phase(Phase::warmup).latency.count, 1U);
  EXPECT_EQ(w.measure().requests, 1U);
  EXPECT_EQ(w.measure().latency.count, 0U);
  w.to(2 * kSecond + 500);  // due while measuring, answered after
  w.receive(0, 'k');
  EXPECT_EQ(w.measure().requests, 1U);
  EXPECT_EQ(w.measure().latency.count, 1U);
  EXPECT_EQ(w.phase(Phase::drain).requests, 1U);
  EXPECT_EQ(w.transport.sent.size(), 2U);  // nothing new in the drain
  w.turn();
  EXPECT_TRUE(w.client->done());
}

TEST(LoadClient, DrainWaitsForWhatIsUnderWayAndNoLongerThanTheTimeout) {
  LoadConfig config = closed_loop(2, true);
  config.timeout = 2 * kSecond;
  World w(config);
  w.begin();
  w.turn();
  w.connect_opened();
  w.to(kSecond);
  w.turn();
  EXPECT_FALSE(w.client->done());
  w.to(kSecond + 1000);
  w.receive(0, 'k');
  while (!w.client->done()) {
    w.now = w.client->next_deadline();
    w.turn();
  }
  EXPECT_LE(w.now, kStart + 2 * kSecond + kSecond / 4);
  EXPECT_EQ(w.phase(Phase::drain).requests, 1U);
  EXPECT_EQ(w.phase(Phase::drain).error(ErrorKind::timeout), 1U);
}

TEST(LoadClient, UsageIsTakenAtTheEdgesOfThePhases) {
  LoadConfig config = closed_loop(1, true);
  config.warmup = kSecond;
  World w(config);
  w.meter = {};
  w.meter.busy = 5;
  w.begin();
  w.meter.busy = 100;
  w.meter.idle = 10;
  w.to(kSecond);
  w.meter.busy = 300;
  w.meter.idle = 50;
  w.to(2 * kSecond);
  w.meter.busy = 301;
  w.turn();
  EXPECT_EQ(w.client->used(Phase::warmup).busy_cycles, 95U);
  EXPECT_EQ(w.client->used(Phase::measure).busy_cycles, 200U);
  EXPECT_EQ(w.client->used(Phase::measure).idle_cycles, 40U);
  EXPECT_EQ(w.client->used(Phase::drain).busy_cycles, 1U);
}

TEST(LoadClient, AnInterruptionEndsTheRunAtOnce) {
  World w(closed_loop(3, true));
  w.begin();
  w.turn();
  w.connect_opened();
  w.to(kSecond / 4);
  w.receive(1, 'k');
  w.interrupted = true;
  w.turn();
  EXPECT_TRUE(w.client->done());
  EXPECT_TRUE(w.client->was_interrupted());
  EXPECT_EQ(w.client->ended(), kStart + kSecond / 4);
  EXPECT_EQ(w.transport.aborted.size(), 3U);
  EXPECT_EQ(w.measure().requests, 1U);
}

}  // namespace
}  // namespace stackrig::rigload
