// SPDX-License-Identifier: Apache-2.0
// Backends that do not answer, go away, are slow, are replaced, are closed.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "forward/test_calls.h"

namespace stackrig::rtc::testing {
namespace {

TEST(Backends, WhatCannotBeConnectedIsAnsweredWithAnErrno) {
  WorldConfig config;
  config.service.connect_timeout = 5 * kSecond;
  ForwardWorld w(config);
  w.sink(5000);
  Client& c = w.connect();
  c.send(connect_call(1, "sink.example", 5000, 1) + connect_call(2, kSinkHost, 0, 2) +
         connect_call(3, kSinkHost, 65536, 3) + connect_call(4, "192.0.2.1", 5000, 4) +
         connect_call(5, "10.77.0.2", 5000, 5) + connect_call(6, kSinkHost, 4999, 6) +
         connect_call(7, "10.77.9.9", 5000, 7) + connect_call(8, kSinkHost, 5000, 8));
  w.run(kSecond);
  const std::string at_once = connect_reply(EINVAL, 1) + connect_reply(EINVAL, 2) +
                              connect_reply(EINVAL, 3) + connect_reply(ENETUNREACH, 4) +
                              connect_reply(EADDRNOTAVAIL, 5) + connect_reply(ECONNREFUSED, 6);
  EXPECT_EQ(c.received(), at_once);
  w.run(10 * kSecond);
  EXPECT_EQ(c.received(), at_once + connect_reply(ETIMEDOUT, 7) + connect_reply(0, 8));
  EXPECT_EQ(w.service->counters().connects_failed, 7U);
  close_all(w, {&c});
}

TEST(Backends, TheSynIsSentAgainAndArpIsAskedAgain) {
  ForwardWorld w;
  Sink& s = w.sink(5000);
  Client& c = w.connect();
  w.net.partition(*w.server_port, w.sinks.port);
  c.send(connect_call(1, kSinkHost, 5000));
  w.run(2500 * kMillisecond);
  EXPECT_EQ(c.received(), "");
  w.net.partition(*w.server_port, w.sinks.port, false);
  w.run(5 * kSecond);
  EXPECT_EQ(c.received(), connect_reply(0));
  EXPECT_EQ(s.connections(), 1U);
}

TEST(Backends, MemoryAndPlacesForThemAreBounded) {
  WorldConfig config;
  config.pool.blocks = 900;  // three of 289
  ForwardWorld w(config);
  w.sink(5000);
  Client& c = w.connect();
  std::string wanted;
  for (int k = 0; k < 5; ++k) {
    c.send(connect_call(k, kSinkHost, 5000, k));
    wanted += connect_reply(k < 3 ? 0 : ENOBUFS, k);
  }
  w.run(kSecond);
  EXPECT_EQ(c.received(), wanted);
  close_all(w, {&c});
}

TEST(Backends, AMessageBehindItsConnectWaitsForIt) {
  ForwardWorld w;
  Sink& s = w.sink(5000);
  Client& c = w.connect();
  c.send(connect_call(1, kSinkHost, 5000) + msg(1, "first") + msg(1, "second"));
  c.close();
  w.run(kSecond);
  EXPECT_EQ(c.received(), connect_reply(0));
  EXPECT_TRUE(c.server_closed());
  EXPECT_EQ(s.received(), msg(1, "first") + msg(1, "second"));
}

TEST(Backends, AKeyThatIsThereIsReplaced) {
  ForwardWorld w;
  Sink &old = w.sink(5000), &now = w.sink(5001);
  Client& c = w.connect();
  c.send(connect_call(1, kSinkHost, 5000) + msg(1, "old") + connect_call(1, kSinkHost, 4999) +
         msg(1, "still old") + connect_call(1, kSinkHost, 5001) + msg(1, "new"));
  w.run(kSecond);
  EXPECT_EQ(c.received(), connect_reply(0) + connect_reply(ECONNREFUSED) + connect_reply(0));
  EXPECT_EQ(old.received(), msg(1, "old") + msg(1, "still old"));
  EXPECT_TRUE(old.told_end());
  EXPECT_EQ(now.received(), msg(1, "new"));
  c.send(close_call(3));
  w.run(kSecond);
  EXPECT_TRUE(now.told_end());
  EXPECT_EQ(c.received(),
            connect_reply(0) + connect_reply(ECONNREFUSED) + connect_reply(0) + close_reply(1, 3));
  close_all(w, {&c});
}

TEST(Backends, OneThatGoesAwayCostsItsMessagesUntilItIsConnectedAgain) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& c = connect_sinks(w, 2, &sinks);
  sinks[0]->abort();
  w.run(kMillisecond);
  c.send(msg(0, "lost") + msg(1, "kept") + msg(0, "lost"));
  w.run(kSecond);
  EXPECT_EQ(w.service->counters().no_backend, 2U);
  EXPECT_EQ(w.service->counters().backends_lost, 1U);
  EXPECT_EQ(sinks[1]->received(), msg(1, "kept"));
  c.send(connect_call(0, kSinkHost, 5000) + msg(0, "again"));
  w.run(kSecond);
  EXPECT_EQ(sinks[0]->received(1), msg(0, "again"));
  close_all(w, {&c});
}

TEST(Backends, ASinkThatSaysNoMoreStillListens) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& c = connect_sinks(w, 1, &sinks);
  tcpip::testing::StringOwner chatter("what sinks say is not for us");
  w.sinks.stack->tcp_write(*sinks[0]->at(0).tcb, chatter, 0, chatter.size(), w.net.now());
  w.sinks.stack->tcp_close(*sinks[0]->at(0).tcb, w.net.now());
  w.run(kSecond);
  c.send(msg(0, "after"));
  w.run(kSecond);
  EXPECT_EQ(sinks[0]->received(), msg(0, "after"));
  EXPECT_EQ(w.service->counters().backends_now, 1U);
  close_all(w, {&c});
}

TEST(Backends, ASlowSinkSlowsItsSendersOnly) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& control = connect_sinks(w, 2, &sinks);
  sinks[0]->stop_reading();
  std::vector<Client*> all{&control};
  std::string each;
  for (int i = 0; i < 1000; ++i) each += msg(0, pattern(970, i));
  for (int i = 0; i < 5; ++i) {
    all.push_back(&w.connect());
    all.back()->send(each);
    all.back()->close();
  }
  w.run(30 * kSecond);
  EXPECT_GT(w.service->counters().waited_for_backend, 0U);
  EXPECT_LE(w.service->counters().bytes, ServiceConfig{}.backend_bytes + 200'000) << "bounded";
  EXPECT_GE(w.service->counters().bytes, ServiceConfig{}.backend_bytes - 200'000) << "but used";
  control.send(msg(1, "to another"));
  w.run(kSecond);
  EXPECT_EQ(sinks[1]->received(), msg(1, "to another"));
  sinks[0]->read_again();
  w.run(100 * kSecond);
  EXPECT_EQ(sinks[0]->received().size(), 5 * each.size()) << "back-pressure, not loss";
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_TRUE(all[i]->server_closed());
  close_all(w, all);
}

TEST(Backends, SendersThatWaitForOneThatDiesGoOn) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& control = connect_sinks(w, 2, &sinks);
  sinks[0]->stop_reading();
  std::vector<Client*> all{&control};
  std::string each;
  for (int i = 0; i < 30; ++i) each += msg(0, pattern(60'000, i));
  for (int i = 0; i < 3; ++i) {
    all.push_back(&w.connect());
    all.back()->send(each + msg(1, "end"));
  }
  w.run(30 * kSecond);
  sinks[0]->abort();
  w.run(30 * kSecond);
  EXPECT_EQ(sinks[1]->received(), msg(1, "end") + msg(1, "end") + msg(1, "end"));
  EXPECT_GT(w.service->counters().bytes_lost, 500'000U);
  close_all(w, all);
}

TEST(Backends, SendersThatVanishWhileTheyWait) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& control = connect_sinks(w, 1, &sinks);
  sinks[0]->stop_reading();
  std::string each;
  for (int i = 0; i < 30; ++i) each += msg(0, pattern(60'000, i));
  std::vector<Client*> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(&w.connect());
    all.back()->send(each);
  }
  w.run(30 * kSecond);
  for (const int i : {1, 0}) all[i]->abort();
  control.send(close_call());
  w.run(kSecond);
  all[3]->abort();
  sinks[0]->read_again();
  w.run(30 * kSecond);
  EXPECT_TRUE(sinks[0]->told_end());
  EXPECT_GE(control.received().size(), close_reply(1).size());
  std::span<const std::byte> rest = std::as_bytes(std::span(sinks[0]->received()));
  while (!rest.empty()) {
    const auto m = thrift::next(rest);
    ASSERT_EQ(m.status, thrift::Status::message) << "only whole messages";
    rest = rest.subspan(m.length);
  }
  close_all(w, {&control, all[2]});
}

TEST(Backends, CloseAnswersWhenAllIsAcknowledged) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& c = connect_sinks(w, 3, &sinks);
  const std::size_t said = c.received().size();
  sinks[1]->stop_reading();
  Client& sender = w.connect();
  std::string many;
  for (int i = 0; i < 20; ++i) many += msg(1, pattern(20'000, i));
  sender.send(many);
  w.run(kSecond);
  c.send(close_call(9) + msg(0, "too late"));
  w.run(5 * kSecond);
  EXPECT_EQ(c.received().size(), said) << "not yet";
  EXPECT_TRUE(sinks[0]->told_end());
  EXPECT_FALSE(sinks[1]->told_end());
  sinks[1]->read_again();
  w.run(30 * kSecond);
  EXPECT_EQ(c.received().substr(said), close_reply(3, 9));
  EXPECT_EQ(sinks[1]->received(), many);
  EXPECT_TRUE(sinks[1]->told_end());
  EXPECT_EQ(sinks[0]->received(), "");
  EXPECT_EQ(w.service->counters().no_backend, 1U);
  close_all(w, {&c, &sender});
}

TEST(Backends, CloseTakesWhatASenderWasWaitingToHandOver) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& c = connect_sinks(w, 1, &sinks);
  sinks[0]->stop_reading();
  Client& sender = w.connect();
  const std::string big = msg(0, pattern(1'000'000));
  sender.send(big + big);
  w.run(30 * kSecond);
  ASSERT_EQ(w.service->counters().messages, 1U);
  ASSERT_GT(w.service->counters().waited_for_backend, 0U);
  c.send(close_call());
  w.run(kSecond);
  sinks[0]->read_again();
  w.run(30 * kSecond);
  EXPECT_EQ(sinks[0]->received(), big + big);
  EXPECT_TRUE(sinks[0]->told_end());
  close_all(w, {&c, &sender});
}

TEST(Backends, CloseDoesNotWaitForEverForASinkThatNeverReads) {
  WorldConfig config;
  config.service.send_timeout = 20 * kSecond;
  ForwardWorld w(config);
  std::vector<Sink*> sinks;
  Client& c = connect_sinks(w, 1, &sinks);
  const std::size_t said = c.received().size();
  sinks[0]->stop_reading();
  for (int i = 0; i < 10; ++i) c.send(msg(0, pattern(50'000)));
  w.run(kSecond);
  c.send(close_call());
  w.run(60 * kSecond);
  EXPECT_EQ(c.received().substr(said), close_reply(1));
  EXPECT_GT(w.service->counters().bytes_lost, 100'000U);
  close_all(w, {&c});
}

TEST(Backends, ClientsThatVanishWhileTheyAreToBeAnswered) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& control = connect_sinks(w, 1, &sinks);
  sinks[0]->stop_reading();
  control.send(msg(0, pattern(500'000)));
  w.run(kSecond);
  Client& asks = w.connect();
  asks.send(connect_call(5, "10.77.9.9", 5000));
  Client& closes = w.connect();
  closes.send(close_call());
  w.run(100 * kMillisecond);
  asks.abort();
  closes.abort();
  w.run(kSecond);
  EXPECT_EQ(w.service->backends_used(), 1U) << "nobody waits for the one that was opening";
  sinks[0]->read_again();
  w.run(30 * kSecond);
  EXPECT_EQ(sinks[0]->received(), msg(0, pattern(500'000)));
  close_all(w, {&control});
}

TEST(Backends, ADeadHostIsNoticed) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& c = connect_sinks(w, 1, &sinks);
  w.net.partition(*w.server_port, w.sinks.port);
  c.send(msg(0, "into the void"));
  w.run(3600 * kSecond);
  EXPECT_EQ(w.service->counters().backends_lost, 1U);
  EXPECT_EQ(w.service->backends_used(), 0U);
}

}  // namespace
}  // namespace stackrig::rtc::testing
