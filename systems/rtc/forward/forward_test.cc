// SPDX-License-Identifier: Apache-2.0
// Messages find their sinks: whole, once, in order, however they come.
#include <gtest/gtest.h>

#include <cerrno>
#include <random>
#include <string>
#include <vector>

#include "forward/test_calls.h"

namespace stackrig::rtc::testing {
namespace {

TEST(Forward, EachMessageGoesToTheSinkOfItsKey) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& c = connect_sinks(w, 3, &sinks);
  std::string wanted[3];
  for (int i = 0; i < 60; ++i) {
    const int key = i * 7 % 3;
    const std::string m = msg(key, pattern(static_cast<std::size_t>(i) * 5, i), i);
    c.send(m);
    wanted[key] += m;
  }
  w.run(kSecond);
  for (int k = 0; k < 3; ++k) EXPECT_EQ(sinks[k]->received(), wanted[k]);
  EXPECT_EQ(w.service->counters().messages, 60U);
  close_all(w, {&c});
}

TEST(Forward, SplitAtEveryByte) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& control = connect_sinks(w, 2, &sinks);
  const std::string first = msg(0, "one"), second = msg(1, ""), third = msg(0, pattern(40));
  const std::string tail = call("nobody", 9);
  const std::string all = first + second + third + tail;
  std::string wanted;
  for (std::size_t cut = 1; cut < all.size(); ++cut) {
    Client& c = w.connect();
    c.send(all.substr(0, cut));
    w.run(kMillisecond);
    c.send(all.substr(cut));
    w.run(kMillisecond);
    wanted += first + third;
    ASSERT_EQ(sinks[0]->received(), wanted) << "cut at " << cut;
    ASSERT_EQ(sinks[1]->received().size(), cut * second.size());
    ASSERT_EQ(c.received(), unknown_method("nobody", 9));
    c.close();
  }
  Client& c = w.connect();
  for (const char byte : all) {
    c.send(std::string(1, byte));
    w.run(10 * kMillisecond);
  }
  w.run(kSecond);
  EXPECT_EQ(sinks[0]->received(), wanted + first + third);
  EXPECT_EQ(w.service->counters().malformed, 0U);
  close_all(w, {&c, &control});
}

TEST(Forward, WhatCameTogetherLeavesTogether) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& c = connect_sinks(w, 2, &sinks);
  w.run(kSecond);
  const std::uint64_t before = w.stack->counters().data_segs_out;
  std::string burst;
  for (int i = 0; i < 20; ++i) burst += msg(i % 2, pattern(32, i));
  c.send(burst);
  w.run(kMillisecond);
  EXPECT_EQ(sinks[0]->received().size() + sinks[1]->received().size(), burst.size());
  EXPECT_EQ(w.stack->counters().data_segs_out - before, 2U);
}

TEST(Forward, LongMessages) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& c = connect_sinks(w, 1, &sinks);
  std::string wanted;
  for (const std::size_t bytes : {1400U, 8192U, 8193U, 65536U, (1U << 20) - 30}) {
    wanted += msg(0, pattern(bytes, 3));
  }
  c.send(wanted);
  w.run(10 * kSecond);
  EXPECT_EQ(sinks[0]->received(), wanted);
  close_all(w, {&c});
}

TEST(Forward, OneByteMoreThanTheLongestIsMalformed) {
  ForwardWorld w;
  Client& c = connect_sinks(w, 1);
  c.send(msg(0, std::string((1U << 20) - 29, 'x')));
  w.run(kSecond);
  EXPECT_TRUE(c.was_reset());
  EXPECT_EQ(w.service->counters().malformed, 1U);
}

TEST(Forward, MalformedEndsItsConnectionAndNothingElse) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& good = connect_sinks(w, 1, &sinks);
  const std::string whole = msg(0, "payload");
  std::vector<std::string> bad;
  for (const std::size_t at : {0U, 1U, 3U, 4U, 15U, 22U, 25U}) {  // version, type, lengths, types
    std::string m = whole;
    m[at] = static_cast<char>(m[at] ^ 0x88);
    bad.push_back(m);
  }
  bad.push_back("GET / HTTP/1.1\r\n\r\n");
  bad.push_back(connect_reply(0));
  for (std::size_t i = 0; i < bad.size(); ++i) {
    Client& c = w.connect();
    std::string said = whole;
    said += bad[i];
    said += whole;
    c.send(said);
    w.run(100 * kMillisecond);
    EXPECT_TRUE(c.was_reset()) << i;
    EXPECT_EQ(w.service->counters().malformed, i + 1);
  }
  good.send(whole);
  w.run(kSecond);
  EXPECT_EQ(sinks[0]->received().size(), whole.size() * (bad.size() + 1))
      << "what stood before the malformed message was forwarded, and no more";
  close_all(w, {&good});
}

TEST(Forward, AKeyWithoutBackendIsDroppedAndCounted) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& c = connect_sinks(w, 1, &sinks);
  c.send(msg(0, "a") + msg(-1, "b") + msg(77, "c") + msg(0, "d"));
  w.run(kSecond);
  EXPECT_EQ(sinks[0]->received(), msg(0, "a") + msg(0, "d"));
  EXPECT_EQ(w.service->counters().no_backend, 2U);
}

TEST(Forward, UnknownMethodsAreAnsweredWhereAnAnswerIsDue) {
  ForwardWorld w;
  Client& c = w.connect();
  c.send(call("frobnicate", 5) + call("other", 6, true) + call("third", 7));
  w.run(kSecond);
  EXPECT_EQ(c.received(), unknown_method("frobnicate", 5) + unknown_method("third", 7));
  EXPECT_EQ(w.service->counters().unknown_methods, 3U);
  c.close();
  w.run(kSecond);
  w.expect_all_home();
}

TEST(Forward, WhoDoesNotReadAnswersIsNotReadFrom) {
  ForwardWorld w;
  Client& c = w.connect();
  c.stop_reading();
  std::string calls, wanted;
  for (int i = 0; i < 20000; ++i) {
    calls += call("x", i);
    wanted += unknown_method("x", i);
  }
  c.send(calls);
  c.close();
  w.run(5 * kSecond);
  EXPECT_LT(w.service->counters().unknown_methods, 5000U);
  c.read_again();
  w.run(100 * kSecond);
  EXPECT_EQ(c.received(), wanted);
  EXPECT_TRUE(c.server_closed());
  w.run(100 * kSecond);
  w.expect_all_home();
}

TEST(Forward, SendersAndSinksOverAWireThatLoses) {
  WorldConfig config;
  config.server_port.chunks = 20'000;
  config.pool.blocks = 6400;
  for (nmio::SimPortConfig* p : {&config.server_port, &config.client_port, &config.sink_port}) {
    p->out.loss = p->in.loss = 0.005;
    p->out.reorder = 0.02;
    p->out.duplicate = 0.01;
    p->out.corrupt = 0.002;
  }
  for (const std::uint64_t seed : {1U, 2U}) {
    config.seed = seed;
    ForwardWorld w(config);
    std::vector<Sink*> sinks;
    Client& control = w.connect(kSecond);
    for (int k = 0; k < 20; ++k) {
      sinks.push_back(&w.sink(static_cast<std::uint16_t>(5000 + k)));
      control.send(connect_call(k, kSinkHost, 5000 + k));
    }
    w.run(200 * kSecond);
    ASSERT_EQ(w.service->counters().backends_now, 20U);
    std::mt19937 random(seed);
    std::vector<Client*> senders{&control};
    std::size_t bytes = 0;
    std::map<std::pair<int, int>, std::string> wanted;  // sender, sink
    for (int s = 0; s < 8; ++s) {
      Client& c = w.connect(kSecond);
      senders.push_back(&c);
      for (int i = 0; i < 100; ++i) {
        const int key = (i + s) % 20;
        const std::string m = msg(key, pattern(random() % (i % 10 == 0 ? 20000 : 200), i), s);
        bytes += m.size();
        wanted[{s, key}] += m;
        c.send(m);
      }
      c.close();
    }
    w.run(600 * kSecond);
    std::size_t arrived = 0;
    for (int k = 0; k < 20; ++k) {
      const std::string& all = sinks[k]->received();
      arrived += all.size();
      std::map<int, std::string> by_sender;
      std::span<const std::byte> rest = std::as_bytes(std::span(all));
      while (!rest.empty()) {
        const auto m = thrift::next(rest);
        ASSERT_EQ(m.status, thrift::Status::message);
        by_sender[m.sequence].append(reinterpret_cast<const char*>(rest.data()), m.length);
        rest = rest.subspan(m.length);
      }
      for (auto& [s, got] : by_sender) EXPECT_EQ(got, (wanted[{s, k}])) << s << " to " << k;
    }
    EXPECT_EQ(arrived, bytes);
    close_all(w, senders);
  }
}

TEST(Forward, AMessageThatIsCutShortIsNotForwarded) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& control = connect_sinks(w, 1, &sinks);
  Client& c = w.connect();
  const std::string m = msg(0, pattern(100));
  c.send(m + m.substr(0, 50));
  c.close();
  w.run(kSecond);
  EXPECT_EQ(sinks[0]->received(), m);
  EXPECT_TRUE(c.server_closed());
  EXPECT_EQ(w.service->counters().cut_short, 1U);
  close_all(w, {&control});
}

TEST(Forward, LargeBuffersAreSharedAndHeldForSoLong) {
  WorldConfig config;
  config.service.message_timeout = 20 * kSecond;
  ForwardWorld w(config);
  std::vector<Sink*> sinks;
  Client& control = connect_sinks(w, 1, &sinks);
  std::vector<Client*> all{&control};
  const std::string m = msg(0, pattern(100'000));
  for (int i = 0; i < 6; ++i) {  // there are 4 buffers
    all.push_back(&w.connect());
    all.back()->send(m.substr(0, 90'000));
    w.run(100 * kMillisecond);
  }
  EXPECT_EQ(w.service->free_large_buffers(), 0U);
  Client& small = w.connect();
  all.push_back(&small);
  small.send(msg(0, pattern(5000)));
  w.run(kSecond);
  EXPECT_EQ(sinks[0]->received().size(), 5030U) << "who needs none waits for none";
  all[1]->send(m.substr(90'000));
  all[5]->send(m.substr(90'000));  // waited for a buffer
  w.run(3 * kSecond);
  EXPECT_EQ(sinks[0]->received().size(), 5030U + 2 * m.size());
  w.run(60 * kSecond);
  EXPECT_EQ(w.service->counters().timed_out, 4U);
  EXPECT_EQ(w.service->free_large_buffers(), 4U);
  close_all(w, all);
}

TEST(Forward, ManyConnectionsComeAndGo) {
  ForwardWorld w;
  std::vector<Sink*> sinks;
  Client& control = connect_sinks(w, 2, &sinks);
  std::size_t bytes = 0;
  for (int round = 0; round < 10; ++round) {
    std::vector<Client*> all;
    all.reserve(100);
    for (int i = 0; i < 100; ++i) all.push_back(&w.connect(0));  // 63 find a place
    w.run(100 * kMillisecond);
    for (Client* c : all) {
      if (c->gone()) continue;
      const std::string m = msg(round % 2, pattern(3000)) + msg(5, "x");
      bytes += m.size() - msg(5, "x").size();
      c->send(m + m.substr(0, round * 7));
    }
    w.run(kSecond);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i]->gone()) continue;
      if (i % 2 == 0)
        all[i]->abort();
      else
        all[i]->close();
    }
    w.run(kSecond);
    w.forget_clients();
  }
  EXPECT_EQ(sinks[0]->received().size() + sinks[1]->received().size(), bytes);
  close_all(w, {&control});
}

}  // namespace
}  // namespace stackrig::rtc::testing
