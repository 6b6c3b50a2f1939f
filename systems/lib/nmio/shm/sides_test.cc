// SPDX-License-Identifier: Apache-2.0
// The two sides of the soft NIC: coming, going, sleeping, waking; both in one process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "nmio/clock.h"
#include "nmio/shm/test_wire.h"
#include "nmio/test_frames.h"

namespace stackrig::nmio {
namespace {

using namespace test;
using ::testing::HasSubstr;

TEST(Shm, EitherSideMayStartFirst) {
  const std::string name = unique_name();
  auto client = Port::open("shm:" + name + "?side=client&wait=0&pages=plain");
  EXPECT_TRUE(send_frame(client->queue(0), make_frame({})));
  EXPECT_EQ(client->queue(0).counters().tx_dropped, 1U) << "no carrier";
  auto server = Port::open("shm:" + name + "?side=server&pages=plain");
  std::size_t arrived = 0;
  while (arrived == 0) {
    send_frame(client->queue(0), make_frame({}));
    client->queue(0).reap();
    arrived = receive_all(server->queue(0)).size();
  }
}

TEST(Shm, AClientThatGoesLeavesNothingOfTheServersBehind) {
  const std::string name = unique_name();
  auto server = Port::open("shm:" + name + "?side=server&pages=plain&chunks=512&ring=64");
  Queue& s = server->queue(0);
  for (unsigned round = 0; round < 5; ++round) {
    auto client = Port::open("shm:" + name + "?side=client&pages=plain");
    Queue& c = client->queue(0);
    std::size_t arrived = 0;
    while (arrived == 0) {
      send_frame(c, make_frame({}));
      c.reap();
      arrived = receive_all(s).size();
    }
    // The client dies with frames of the server in its ring, some taken, some not.
    for (unsigned i = 0; i < 40; ++i) send_frame(s, make_frame({}));
    TxPacket unpublished = in_chunk(s.memory(), make_frame({}));
    EXPECT_EQ(s.put({&unpublished, 1}), 1U);
    RxPacket some[10];
    EXPECT_EQ(c.receive(some), 10U);
    client.reset();
    while (s.memory().free_count() != 512) s.reap();
    EXPECT_GE(s.counters().tx_dropped, 31U * (round + 1));
  }
}

TEST(Shm, ASecondServerOrClientIsRefused) {
  Wire w;
  EXPECT_THAT(open_error("shm:" + w.name + "?side=server"),
              HasSubstr("a server of that name is running"));
  EXPECT_THAT(open_error("shm:" + w.name + "?side=client&wait=1"),
              HasSubstr("another client is connected"));
  send_frame(w.c(), make_frame({}));
  EXPECT_EQ(receive_all(w.s()).size(), 1U) << "the first goes on";
}

TEST(Shm, SetUpErrorsSayWhatToDo) {
  EXPECT_THAT(open_error("shm:x"), HasSubstr("add side=server or side=client"));
  EXPECT_THAT(open_error("shm:x?side=sever"), HasSubstr("did you mean 'server'?"));
  EXPECT_THAT(open_error("shm:x?side=server&tos=on"), HasSubstr("did you mean 'tso'?"));
  EXPECT_THAT(open_error("shm:x?side=server&ring=1000"), HasSubstr("1024 is the next"));
  EXPECT_THAT(open_error("shm:" + std::string(100, 'x') + "?side=server"), HasSubstr("too long"));
  EXPECT_THAT(open_error("shm:" + unique_name() + "?side=client&wait=1"),
              HasSubstr("no server of that name; start the side=server"));
}

TEST(Shm, DescribesItself) {
  Wire w("&rate=10G");
  EXPECT_THAT(
      w.server->describe(),
      HasSubstr(
          "server: 1 queues, ring 2048, mtu 1500, tso on, lro off, csum on, rate 10000000000 b/s"));
  EXPECT_NE(w.server->mac()[5], w.client->mac()[5]);
}

TEST(Shm, ASleeperIsWokenByAPacket) {
  Wire w;
  std::atomic<bool> woken = false;
  std::thread sleeper([&] {
    RxPacket burst[1];
    while (w.s().receive(burst) == 0) w.s().wait(Clock::now(), Clock::now() + 100 * kSecond);
    w.s().memory().give_back(burst[0].chunk);
    woken = true;
  });
  // Whether it sleeps yet or not: a lost wake-up would hang the test.
  send_frame(w.c(), make_frame({}));
  sleeper.join();
  EXPECT_TRUE(woken);
}

TEST(Shm, ManySleepsAndWakingsLoseNone) {
  Wire w;
  constexpr unsigned kRounds = 20'000;
  std::thread echo([&] {
    RxPacket burst[1];
    for (unsigned i = 0; i < kRounds;) {
      if (w.s().receive(burst) == 0) {
        w.s().wait(Clock::now(), Clock::now() + 100 * kSecond);
        continue;
      }
      const TxPacket p = {.data = burst[0].data, .len = burst[0].len, .chunk = burst[0].chunk};
      w.s().put({&p, 1});
      w.s().flush();
      w.s().reap();
      ++i;
    }
  });
  RxPacket burst[1];
  for (unsigned i = 0; i < kRounds; ++i) {
    send_frame(w.c(), make_frame({}));
    while (w.c().receive(burst) == 0) w.c().wait(Clock::now(), Clock::now() + 100 * kSecond);
    w.c().memory().give_back(burst[0].chunk);
    w.c().reap();
  }
  echo.join();
}

}  // namespace
}  // namespace stackrig::nmio
