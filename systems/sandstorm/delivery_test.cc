// SPDX-License-Identifier: Apache-2.0
// Over a network that loses: what was sent once is sent the same again, though the second of its
// Date is over; every client gets every byte; every chunk comes home.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "test_world.h"
#include "wire/frame.h"

namespace stackrig::sandstorm::testing {
namespace {

const std::string kLarge = pattern(300'000);

Site default_site() {
  return site({{"/f64", pattern(64)}, {"/8k", pattern(8192)}, {"/large", kLarge}});
}

std::string get(const std::string& path, bool close) {
  return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + (close ? "Connection: close\r\n" : "") +
         "\r\n";
}

std::string body_of(const std::string& reply) {
  return reply.substr(reply.find("\r\n\r\n") + 4);
}

/// What the server has put on the wire, per connection and sequence number. A byte that differs
/// from what stood there before fails the test.
class StreamRecorder {
 public:
  explicit StreamRecorder(World& w) {
    w.net.set_tap([this, &w](const nmio::SimFrame& frame, nmio::SimFate fate) {
      if (fate != nmio::SimFate::sent || frame.from != w.server_port.index()) return;
      if (wire::ArpFrame::parse(frame.bytes)) return;
      const auto f = wire::TcpFrame::parse(frame.bytes);
      ASSERT_TRUE(f) << "a frame that is not good TCP: " << wire::describe(frame.bytes);
      Stream& stream = streams_[f->tcp.destination_port];
      if ((f->tcp.flags & wire::kTcpSyn) != 0) stream.first = f->tcp.sequence + 1;
      const std::size_t from = f->tcp.sequence - stream.first;
      for (std::size_t i = 0; i < f->payload.size(); ++i) {
        if (stream.bytes.size() == from + i) {
          stream.bytes.push_back(f->payload[i]);
          continue;
        }
        ++repeated;
        ASSERT_LT(from + i, stream.bytes.size()) << "a hole before " << wire::describe(frame.bytes);
        ASSERT_EQ(stream.bytes[from + i], f->payload[i])
            << "byte " << i << " of " << wire::describe(frame.bytes);
      }
    });
  }
  std::uint64_t repeated = 0;  ///< bytes sent again

 private:
  struct Stream {
    std::uint32_t first = 0;  ///< sequence number of the first byte
    std::vector<std::byte> bytes;
  };
  std::map<std::uint16_t, Stream> streams_;
};

class Delivery : public ::testing::TestWithParam<tcpip::SendMode> {};

INSTANTIATE_TEST_SUITE_P(Variants, Delivery,
                         ::testing::Values(tcpip::SendMode::precopy, tcpip::SendMode::memcpy),
                         [](const auto& v) {
                           return v.param == tcpip::SendMode::precopy ? "precopy" : "memcpy";
                         });

bool has_payload(const nmio::SimFrame& f) {
  const auto t = wire::TcpFrame::parse(f.bytes);
  return t && t->tcp.source_port == 80 && !t->payload.empty();
}

TEST_P(Delivery, ARetransmissionSendsTheSameBytesThoughTheSecondIsOver) {
  World w(default_site(), {.mode = GetParam()});
  StreamRecorder recorder(w);
  w.net.drop_first(has_payload, 4);  // over 0.2, 0.6, 1.4 s: the Date's second passes
  Client& c = w.connect();
  c.send(get("/f64", false));
  w.run(kSecond);
  Client& other = w.connect();  // meanwhile another client gets the same frames with a later Date
  other.send(get("/f64", true));
  w.run(6 * kSecond);
  EXPECT_EQ(body_of(c.received()), pattern(64));
  EXPECT_THAT(c.received(), ::testing::HasSubstr("Date: Sun, 06 Nov 1994 08:49:37 GMT"));
  EXPECT_THAT(c.received(), ::testing::HasSubstr("Connection: keep-alive"));
  EXPECT_THAT(other.received(), ::testing::HasSubstr("Connection:      close"));
  EXPECT_GT(recorder.repeated, 0U);
  c.abort();
}

TEST_P(Delivery, EveryClientGetsEveryByteOverABadNetwork) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const nmio::SimLink bad{
        .delay = kMillisecond, .loss = 0.03, .duplicate = 0.01, .corrupt = 0.01, .reorder = 0.05};
    World w(default_site(), {.mode = GetParam(),
                             .server_port = {.name = "server", .chunks = 4096, .out = bad},
                             .client_port = {.name = "client", .chunks = 4096, .out = bad},
                             .seed = seed});
    StreamRecorder recorder(w);
    std::vector<std::pair<Client*, std::string>> clients;
    std::mt19937_64 random(seed);
    for (int i = 0; i < 12; ++i) {
      const bool large = random() % 3 == 0;
      Client& c = w.connect(random() % 700 * kMillisecond);
      c.send(get(large ? "/large" : "/8k", true));
      clients.emplace_back(&c, large ? kLarge : pattern(8192));
    }
    w.run(120 * kSecond);
    for (const auto& [c, body] : clients) {
      ASSERT_TRUE(c->server_closed()) << "seed " << seed;
      ASSERT_EQ(body_of(c->received()), body) << "seed " << seed;
      if (!c->gone()) c->close();
    }
    EXPECT_GT(recorder.repeated, 0U);
    w.run(120 * kSecond);
    w.expect_all_home();
  }
}

TEST_P(Delivery, ThousandsOfConnectionsLeaveNothingBehind) {
  World w(default_site(), {.mode = GetParam(), .tcp = {.max_connections = 512}});
  constexpr int kRounds = 40, kAtATime = 100;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Client*> clients;
    for (int i = 0; i < kAtATime; ++i) clients.push_back(&w.connect(0));
    w.run(kMillisecond);
    for (Client* c : clients) c->send(get(round % 8 == 0 ? "/8k" : "/f64", true));
    w.run(50 * kMillisecond);
    for (Client* c : clients) {
      ASSERT_TRUE(c->server_closed());
      ASSERT_EQ(body_of(c->received()), pattern(round % 8 == 0 ? 8192 : 64));
      c->close();
    }
    w.run(10 * kMillisecond);
    w.forget_clients();
  }
  EXPECT_EQ(w.server->counters().status_200, static_cast<std::uint64_t>(kRounds * kAtATime));
  EXPECT_EQ(w.stack->counters().retransmits, 0U);
  w.run(kSecond);
  w.expect_all_home();
}

TEST_P(Delivery, APeerWithASmallMssGetsSlicesOfTheFrames) {
  World w(default_site(),
          {.mode = GetParam(), .client_port = {.name = "client", .mtu = 600, .chunks = 4096}});
  Client& c = w.connect();
  c.send(get("/large", true));
  w.run(10 * kSecond);
  EXPECT_EQ(body_of(c.received()), kLarge);
  EXPECT_GT(w.library->content().counters().slices, 0U);
  c.close();
  w.run(kSecond);
  w.expect_all_home();
}

TEST_P(Delivery, APeerWithoutTimestampsIsServedWholeFramesToo) {
  World w(default_site(),
          {.mode = GetParam(), .client_tcp = {.timestamps = false, .window_scaling = false}});
  Client& c = w.connect();
  c.send(get("/large", true));
  w.run(10 * kSecond);
  EXPECT_EQ(body_of(c.received()), kLarge);
  c.close();
  w.run(kSecond);
  w.expect_all_home();
}

TEST(DeliveryPrecopy, CopiesAreMadeOnDemandAndKept) {
  World w(default_site());
  const auto run_clients = [&](int n) {
    std::vector<Client*> clients;
    for (int i = 0; i < n; ++i) clients.push_back(&w.connect(0));
    w.run(kMillisecond);
    for (Client* c : clients) c->send(get("/f64", true));
    w.run(100 * kMillisecond);
    for (Client* c : clients) {
      EXPECT_EQ(body_of(c->received()), pattern(64));
      c->close();
    }
    w.run(10 * kMillisecond);
  };
  run_clients(40);
  const std::uint64_t copies = w.library->content().counters().copies_made;
  EXPECT_GT(copies, 0U) << "one frame was wanted by many clients at a time";
  run_clients(40);
  EXPECT_EQ(w.library->content().counters().copies_made, copies) << "kept, so none had to be made";
}

TEST(DeliveryMemcpy, OneCopyIsEnough) {
  World w(default_site(), {.mode = tcpip::SendMode::memcpy});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(body_of(w.ask(get("/f64", true))), pattern(64));
  EXPECT_EQ(w.library->content().counters().copies_made, 0U);
}

TEST(DeliveryMemory, ADocumentRootThatDoesNotFitIsRefusedWithTheNumberThatDoes) {
  try {
    World w(site({{"/big", std::string(8'000'000, 'x')}}));
    FAIL() << "accepted";
  } catch (const nmio::SetupError& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("--chunks "));
  }
}

}  // namespace
}  // namespace stackrig::sandstorm::testing
