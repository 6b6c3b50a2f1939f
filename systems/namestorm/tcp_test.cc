// SPDX-License-Identifier: Apache-2.0
// The TCP fallback: whole answers, any number of queries on a connection, and its bounds.
#include <gtest/gtest.h>

#include <random>

#include "test_world.h"

namespace stackrig::namestorm::testing {
namespace {

/// `m` with its length before it.
std::string framed(const Message& m) {
  std::string s{static_cast<char>(m.size() >> 8), static_cast<char>(m.size())};
  s.append(m.begin(), m.end());
  return s;
}

class TcpTest : public ::testing::Test {
 protected:
  /// One connection from the client's side.
  struct Client {
    tcpip::testing::App app;
    std::vector<std::unique_ptr<tcpip::testing::StringOwner>> written;
    [[nodiscard]] const std::string& received() const { return app.received; }
    [[nodiscard]] bool gone() const { return app.tcb == nullptr; }
  };

  void start(WorldConfig config = {}) { world_ = std::make_unique<World<>>(std::move(config)); }
  World<>& w() {
    if (!world_) start();
    return *world_;
  }
  Client& connect() {
    Client& c = *clients_.emplace_back(std::make_unique<Client>());
    tcpip::Stack& s = *w().clients.stack;
    nmio::set_room(w().client_batch, w().client_port.queue(0));  // as in a turn of the loop
    tcpip::Tcb* t = s.tcp_new();
    c.app.tcb = t;
    tcpip::testing::set_callbacks(s, *t, c.app);
    s.tcp_connected(*t, tcpip::testing::connect_fn);
    EXPECT_EQ(s.tcp_bind(*t, kClientIp, next_port_++), tcpip::Result::ok);
    EXPECT_EQ(s.tcp_connect(*t, {kServerIp, 53}, w().net.now()), tcpip::Result::ok);
    w().run(100 * kMillisecond);
    return c;
  }
  void send(Client& c, std::string bytes) {
    auto& owner =
        *c.written.emplace_back(std::make_unique<tcpip::testing::StringOwner>(std::move(bytes)));
    ASSERT_EQ(w().clients.stack->tcp_write(*c.app.tcb, owner, 0, owner.size(), w().net.now()),
              tcpip::Result::ok);
  }
  void abort(Client& c) { w().clients.stack->tcp_abort(*c.app.tcb, w().net.now()); }
  std::string expected(const Message& q) {
    return framed(composed(w().served(), q, dns::Transport::tcp));
  }
  void expect_nothing_kept() {
    w().run(2 * kSecond);
    EXPECT_EQ(w().server().counters().tcp_connections_now, 0U);
    EXPECT_EQ(w().server().tcp().free_query_buffers(), TcpConfig{}.query_buffers);
    EXPECT_EQ(w().server().tcp().free_answer_buffers(),
              TcpConfig{}.short_answers + TcpConfig{}.long_answers);
    w().expect_all_home();
  }

  std::unique_ptr<World<>> world_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::uint16_t next_port_ = 20000;
};

TEST_F(TcpTest, WhatWasTruncatedOverUdpComesWholeOverTcp) {
  for (const char* name : {"medium.example.com", "large.example.com", "huge.example.com"}) {
    const Message q = query(name, dns::type::kTxt);
    const Message udp = w().ask(q);
    EXPECT_NE(dns::Header::at(udp.data()).flags.get() & dns::flag::kTruncated, 0) << name;
    Client& c = connect();
    send(c, framed(q));
    w().run(kSecond);
    EXPECT_EQ(c.received(), expected(q)) << name;
    EXPECT_FALSE(c.gone()) << "the client closes, not the server (RFC 7766 6.2.3)";
    abort(c);
  }
  expect_nothing_kept();
}

TEST_F(TcpTest, QueriesInARowAreAnsweredInTheirOrder) {
  Client& c = connect();
  std::string all, wanted;
  for (unsigned i = 0; i < 500; ++i) {
    const char* name = i % 50 == 7 ? "huge.example.com" : "www.example.com";
    const Message q = query(name, i % 50 == 7 ? dns::type::kTxt : dns::type::kA,
                            {.id = static_cast<std::uint16_t>(i), .edns = i % 2 == 0});
    all += framed(q);
    wanted += expected(q);
  }
  send(c, all);
  w().run(10 * kSecond);
  EXPECT_EQ(c.received().size(), wanted.size());
  EXPECT_EQ(c.received(), wanted);
  EXPECT_EQ(w().server().counters().tcp_queries, 500U);
  EXPECT_GT(w().server().counters().tcp_paused, 0U) << "answers that wait are bounded";
  abort(c);
  expect_nothing_kept();
}

TEST_F(TcpTest, AQueryMayComeByteByByte) {
  Client& c = connect();
  const Message q = query("www.example.com", dns::type::kA);
  for (int round = 0; round < 2; ++round) {
    for (const char byte : framed(q)) {
      send(c, std::string(1, byte));
      w().run(50 * kMillisecond);
    }
  }
  EXPECT_EQ(c.received(), expected(q) + expected(q));
  abort(c);
  expect_nothing_kept();
}

TEST_F(TcpTest, WhatWasAskedBeforeTheEndIsStillAnswered) {
  Client& c = connect();
  std::string all, wanted;
  for (unsigned i = 0; i < 30; ++i) {
    const Message q = query("huge.example.com", dns::type::kTxt);
    all += framed(q);
    wanted += expected(q);
  }
  send(c, all);
  w().clients.stack->tcp_close(*c.app.tcb, w().net.now());
  w().run(5 * kSecond);
  EXPECT_EQ(c.received(), wanted);
  w().run(120 * kSecond);
  EXPECT_TRUE(c.gone());
  expect_nothing_kept();
}

TEST_F(TcpTest, ErrorsAreAnsweredAndResponsesAreNot) {
  Client& c = connect();
  const Message update = query("www.example.com", dns::type::kA, {.flags = 0x2800});
  const Message response = query("www.example.com", dns::type::kA, {.flags = dns::flag::kResponse});
  const Message q = query("www.example.com", dns::type::kA);
  send(c, framed(update) + framed(response) + framed({}) + framed({1, 2, 3}) + framed(q));
  w().run(kSecond);
  EXPECT_EQ(c.received(), expected(update) + expected(q));
  abort(c);
  expect_nothing_kept();
}

TEST_F(TcpTest, AQueryOfAbsurdLengthEndsTheConnection) {
  Client& c = connect();
  send(c, std::string("\xff\xff", 2) + std::string(100, 'x'));
  w().run(kSecond);
  EXPECT_TRUE(c.gone());
  EXPECT_EQ(w().server().counters().tcp_too_long, 1U);
  expect_nothing_kept();
}

TEST_F(TcpTest, AConnectionThatAsksForNothingIsGivenUp) {
  Client& silent = connect();
  Client& slow = connect();
  for (int i = 0; i < 9; ++i) {
    send(slow, std::string(1, '\0'));  // bytes that make no query buy no time
    w().run(kSecond);
  }
  EXPECT_FALSE(silent.gone());
  w().run(4 * kSecond);
  EXPECT_TRUE(silent.gone());
  EXPECT_TRUE(slow.gone());
  EXPECT_EQ(w().server().counters().tcp_timed_out, 2U);
  expect_nothing_kept();
}

TEST_F(TcpTest, APeerThatReadsNothingIsGivenUpAndOthersAreServed) {
  Client& c = connect();
  c.app.take_at_most = 0;
  std::string all;
  for (unsigned i = 0; i < 100; ++i) all += framed(query("huge.example.com", dns::type::kTxt));
  send(c, all);
  w().run(5 * kSecond);
  const Message q = query("www.example.com", dns::type::kA);
  Client& other = connect();
  send(other, framed(q));
  w().run(kSecond);
  EXPECT_EQ(other.received(), expected(q));
  EXPECT_EQ(w().ask(q), composed(w().served(), q));
  w().run(30 * kSecond);
  EXPECT_TRUE(c.gone());
  expect_nothing_kept();
}

TEST_F(TcpTest, BuffersAndConnectionsAreBounded) {
  WorldConfig config;
  config.server.tcp.query_buffers = 2;
  config.tcp.max_connections = 5;  // one is the listener
  start(config);
  std::vector<Client*> slow;
  for (int i = 0; i < 3; ++i) {
    slow.push_back(&connect());
    send(*slow.back(), std::string(1, '\0'));
    w().run(10 * kMillisecond);
  }
  EXPECT_TRUE(slow[0]->gone()) << "who has waited longest gives way";
  EXPECT_FALSE(slow[1]->gone());
  EXPECT_FALSE(slow[2]->gone());
  EXPECT_EQ(w().server().counters().tcp_no_buffer, 1U);
  const Message q = query("www.example.com", dns::type::kA);
  Client& good = connect();
  send(good, framed(q));
  w().run(kSecond);
  EXPECT_EQ(good.received(), expected(q)) << "a query in one piece needs no buffer";
  EXPECT_EQ(w().server().counters().tcp_no_buffer, 1U);
}

TEST_F(TcpTest, HalfWrittenQueriesDoNotKeepOthersFromTheirs) {
  WorldConfig config;
  config.server.tcp.query_buffers = 4;
  start(config);
  const Message q = query("www.example.com", dns::type::kA);
  const std::string bytes = framed(q);
  std::vector<Client*> hogs(6, nullptr);
  for (int round = 0; round < 20; ++round) {
    for (Client*& hog : hogs) {  // as many as there are buffers, and then some; they come again
      if (hog == nullptr || hog->gone()) send(*(hog = &connect()), std::string(1, '\0'));
    }
    w().run(10 * kMillisecond);
    EXPECT_EQ(w().server().tcp().free_query_buffers(), 0U);
    Client& honest = connect();
    send(honest, bytes.substr(0, 5));
    w().run(100 * kMillisecond);
    send(honest, bytes.substr(5));
    w().run(100 * kMillisecond);
    ASSERT_EQ(honest.received(), expected(q)) << "round " << round;
    abort(honest);
  }
}

/// Readers that take a little now and then: always some progress, never an end.
class SlowReaders : public TcpTest {
 protected:
  void start_with(std::uint32_t long_answers) {
    WorldConfig config;
    config.server.tcp.long_answers = long_answers;
    config.client_tcp.receive_window = 4096;
    start(config);
  }
  Client& hog() {
    Client& c = connect();
    c.app.take_at_most = 0;
    send(c, framed(query("huge.example.com", dns::type::kTxt)));
    w().run(100 * kMillisecond);
    return c;
  }
  void read_a_little(Client& c, std::size_t bytes = 700) {
    if (c.gone()) return;
    c.app.take_at_most = bytes;
    w().clients.stack->tcp_resume(*c.app.tcb, w().net.now());
    c.app.take_at_most = 0;
  }
};

TEST_F(SlowReaders, OfLongAnswersDoNotKeepOthersFromTheirs) {
  start_with(4);
  const Message q = query("huge.example.com", dns::type::kTxt);
  std::vector<Client*> hogs(6, nullptr);
  for (int round = 0; round < 20; ++round) {
    for (Client*& h : hogs) {
      if (h == nullptr || h->gone()) h = &hog();
      read_a_little(*h);
    }
    EXPECT_EQ(w().server().tcp().free_answer_buffers(), TcpConfig{}.short_answers);
    Client& honest = connect();
    send(honest, framed(q));
    w().run(2 * kSecond);
    ASSERT_EQ(honest.received(), expected(q)) << "round " << round;
    abort(honest);
  }
  EXPECT_GT(w().server().counters().tcp_no_buffer, 0U);
}

TEST_F(SlowReaders, AreGivenUpThoughTheyReadOn) {
  start_with(64);
  Client& c = hog();
  std::size_t before = c.received().size();
  for (int i = 0; i < 32 && !c.gone(); ++i) {
    ASSERT_LT(i, 31);
    w().run(kSecond);
    read_a_little(c);
    if (i % 8 != 7) continue;
    EXPECT_GT(c.received().size(), before) << "it does make progress";
    before = c.received().size();
  }
  EXPECT_TRUE(c.gone());
  EXPECT_LT(c.received().size(), 32000U);
  EXPECT_EQ(w().server().counters().tcp_timed_out, 1U);
  expect_nothing_kept();
}

TEST_F(SlowReaders, AQueryInPiecesHasADeadlineThatAnswersDoNotPutOff) {
  start_with(64);
  Client& c = connect();
  c.app.take_at_most = 0;
  // An answer that is read slowly, and the first byte of another query.
  send(c, framed(query("huge.example.com", dns::type::kTxt)) + std::string(1, '\0'));
  for (int i = 0; i < 13 && !c.gone(); ++i) {
    w().run(kSecond);
    read_a_little(c);
  }
  EXPECT_TRUE(c.gone());
  EXPECT_EQ(w().server().counters().tcp_timed_out, 1U);
  expect_nothing_kept();
}

TEST_F(SlowReaders, AreServedWhereEachAnswerIsInTime) {
  start_with(64);
  Client& c = connect();
  c.app.take_at_most = 0;
  std::string all, wanted;
  for (int i = 0; i < 4; ++i) {
    const Message q = query("huge.example.com", dns::type::kTxt);
    all += framed(q);
    wanted += expected(q);
  }
  send(c, all);
  for (int i = 0; i < 90 && !c.gone() && c.received() != wanted; ++i) {
    w().run(kSecond);
    for (int j = 0; j < 4; ++j) read_a_little(c, 1000);
  }
  EXPECT_EQ(c.received(), wanted) << "together they take longer than one may";
  EXPECT_GT(w().net.now(), 40 * kSecond);
}

TEST_F(TcpTest, NoiseOnManyConnectionsBesideAGoodOne) {
  std::mt19937_64 random(1);
  const Message q = query("www.example.com", dns::type::kA);
  Client& good = connect();
  std::string wanted;
  for (int round = 0; round < 100; ++round) {
    Client& bad = connect();
    std::string noise(1 + random() % 3000, '\0');
    for (char& b : noise) b = static_cast<char>(random() % 3 == 0 ? random() : 0);
    send(bad, noise);
    send(good, framed(q));
    wanted += expected(q);
    w().run(50 * kMillisecond);
    ASSERT_EQ(good.received(), wanted) << "round " << round;
    if (!bad.gone()) abort(bad);
  }
  abort(good);
  expect_nothing_kept();
}

TEST_F(TcpTest, OverAWireThatLoses) {
  WorldConfig config;
  config.server_port.out.loss = config.client_port.out.loss = 0.05;
  start(config);
  Client& c = connect();
  w().run(10 * kSecond);
  std::string all, wanted;
  for (unsigned i = 0; i < 20; ++i) {
    const Message q = query("huge.example.com", dns::type::kTxt);
    all += framed(q);
    wanted += expected(q);
  }
  send(c, all);
  w().run(200 * kSecond);
  EXPECT_EQ(c.received(), wanted);
}

}  // namespace
}  // namespace stackrig::namestorm::testing
