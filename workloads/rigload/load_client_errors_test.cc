// SPDX-License-Identifier: Apache-2.0
// A thread's load in virtual time: what goes wrong, and what each thing counts as.
#include "rigload/random.h"
#include "rigload/test_load_client.h"

namespace stackrig::rigload {
namespace {

using namespace load_test;

TEST(LoadClient, AnAnswerThatTakesTooLongIsATimeoutAndTheConnectionIsReplaced) {
  LoadConfig config = closed_loop(1, true);
  config.timeout = 80 * kMillisecond;
  World w(config);
  w.begin();
  w.turn();
  w.to(79 * kMillisecond);
  w.turn();
  EXPECT_EQ(w.measure().error(ErrorKind::timeout), 0U);
  w.to(92 * kMillisecond);
  w.turn();
  EXPECT_EQ(w.measure().error(ErrorKind::timeout), 1U);
  EXPECT_EQ(w.exchange.dropped, 1U);
  EXPECT_EQ(w.transport.aborted, std::vector<SlotId>{0});
  w.turn();
  EXPECT_EQ(w.transport.opened.size(), 2U);
}

TEST(LoadClient, AServerThatDoesNotCloseIsAnEndingAndNoTimeout) {
  LoadConfig config = closed_loop(1, false);
  config.timeout = 80 * kMillisecond;
  World w(config);
  w.begin();
  w.turn();
  w.receive(0, 'k');
  w.to(100 * kMillisecond);
  w.turn();
  EXPECT_EQ(w.measure().requests, 1U);
  EXPECT_EQ(w.measure().connections, 0U);
  EXPECT_EQ(w.measure().error(ErrorKind::timeout), 0U) << "its request is counted already";
  EXPECT_EQ(w.measure().error(ErrorKind::ending), 1U);
  EXPECT_EQ(w.measure().censored, 0U);
}

TEST(LoadClient, AConnectThatTakesTooLongIsAConnectError) {
  LoadConfig config = closed_loop(2, true);
  config.timeout = 80 * kMillisecond;
  World w(config);
  w.begin();
  w.turn();
  ASSERT_EQ(w.transport.opened.size(), 2U);
  w.to(75 * kMillisecond);
  w.receive(0, 'k');
  w.turn();
  w.to(100 * kMillisecond);
  w.turn();
  EXPECT_EQ(w.measure().error(ErrorKind::connect), 1U);
  EXPECT_EQ(w.measure().error(ErrorKind::timeout), 0U);
}

TEST(LoadClient, ARefusedConnectionIsTriedAgainAfterAPause) {
  World w(closed_loop(1, false));
  w.begin();
  w.turn();
  w.receive(0, 'k');
  w.client->on_remote_closed(0, w.now);
  w.turn();
  ASSERT_EQ(w.transport.opened.size(), 2U);
  w.client->on_lost(0, Lost::refused, w.now);
  w.turn();
  EXPECT_EQ(w.measure().error(ErrorKind::refused), 1U);
  EXPECT_EQ(w.transport.opened.size(), 2U);
  w.to(kMillisecond);
  w.turn();
  EXPECT_EQ(w.transport.opened.size(), 3U);
}

TEST(LoadClient, NoLocalPortIsAConnectErrorAndAPause) {
  World w(closed_loop(2, true));
  w.begin();
  w.transport.next_open = StreamTransport::Open::failed;
  w.turn();
  EXPECT_EQ(w.measure().error(ErrorKind::connect), 1U);
  w.turn();
  EXPECT_EQ(w.measure().error(ErrorKind::connect), 1U);
}

TEST(LoadClient, NoRoomForAConnectionIsNoErrorAndLosesNoDueTime) {
  World w(open_loop(2, false, 1000));
  w.begin();
  w.turn();
  w.transport.next_open = StreamTransport::Open::later;
  w.to(kMillisecond);
  w.turn();
  EXPECT_EQ(w.client->next_deadline(), w.now + 50 * kMicrosecond);
  w.transport.next_open = StreamTransport::Open::started;
  w.to(kMillisecond + 50 * kMicrosecond);
  w.turn();
  w.connect_opened();
  w.receive(1, 'k');
  EXPECT_EQ(w.measure().latency.max, 50 * kMicrosecond);
  for (const std::uint64_t errors : w.measure().errors) EXPECT_EQ(errors, 0U);
}

TEST(LoadClient, WrongAnswersCountAsWhatIsWrongAndNotAsRequests) {
  World w(closed_loop(1, true));
  w.begin();
  w.turn();
  w.receive(0, 's');
  EXPECT_EQ(w.transport.sent.size(), 2U);  // the framing holds: the connection goes on
  EXPECT_EQ(w.measure().error(ErrorKind::status), 1U);
  w.receive(0, '!');
  EXPECT_EQ(w.measure().error(ErrorKind::status), 2U);
  EXPECT_EQ(w.transport.aborted.size(), 1U);
  EXPECT_EQ(w.measure().requests, 0U);
  EXPECT_EQ(w.measure().latency.count, 0U);
}

TEST(LoadClient, LostConnectionsCountByWhenAndHow) {
  World w(closed_loop(1, false));
  w.begin();
  w.turn();
  const auto again = [&] {
    w.turn();
    w.connect_opened();
  };
  w.client->on_lost(0, Lost::reset, w.now);  // while waiting for the answer
  EXPECT_EQ(w.measure().error(ErrorKind::reset), 1U);
  again();
  w.client->on_remote_closed(0, w.now);
  EXPECT_EQ(w.measure().error(ErrorKind::length), 1U);  // as the exchange says
  again();
  w.client->on_lost(0, Lost::unreachable, w.now);  // retransmissions gave up
  EXPECT_EQ(w.measure().error(ErrorKind::timeout), 1U);
  again();
  w.receive(0, 'k');
  w.client->on_lost(0, Lost::reset, w.now);  // in place of the FIN
  EXPECT_EQ(w.measure().error(ErrorKind::reset), 1U);
  EXPECT_EQ(w.measure().error(ErrorKind::ending), 1U);
  EXPECT_EQ(w.measure().requests, 1U);
  EXPECT_EQ(w.measure().latency.count, 1U);
  EXPECT_EQ(w.measure().censored, 3U);
  EXPECT_EQ(w.measure().connections, 0U);
  EXPECT_EQ(w.exchange.dropped, 3U);
}

TEST(LoadClient, ARequestWithoutALatencyIsCensoredWhereItWasDue) {
  LoadConfig config = open_loop(1, true, 10);  // due at 0, 100 ms, ...
  config.timeout = 80 * kMillisecond;
  World w(config);
  w.begin();
  w.turn();
  w.to(990 * kMillisecond);
  w.turn();
  w.to(kSecond + 90 * kMillisecond);  // in the drain
  w.turn();
  EXPECT_GT(w.measure().censored, 0U);
  EXPECT_EQ(w.phase(Phase::drain).censored, 0U);
  EXPECT_GE(w.measure().censored_wait_max, config.timeout);
}

TEST(LoadClient, BytesThatNobodyAskedForAreALengthError) {
  World w(open_loop(1, true, 1));
  w.begin();
  w.turn();
  w.receive(0, 'k');
  w.receive(0, '.');
  EXPECT_EQ(w.measure().error(ErrorKind::length), 1U);
  EXPECT_EQ(w.transport.aborted.size(), 1U);
}

TEST(LoadClient, ATransportThatTakesNoRequestIsAReset) {
  World w(closed_loop(1, true));
  w.begin();
  w.transport.takes_requests = false;
  w.turn();
  EXPECT_EQ(w.measure().error(ErrorKind::reset), 1U);
  EXPECT_EQ(w.transport.aborted.size(), 1U);
}

/// Whatever happens, in any order: every request that was due is counted once or is under way.
TEST(LoadClient, NothingIsCountedTwiceOrLost) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed, 0);
    const bool keepalive = random.below(2) == 0;
    LoadConfig config = open_loop(1 + random.below(6), keepalive, 1000);
    config.timeout = 40 * kMillisecond;
    World w(config);
    w.begin();
    std::vector<char> state(config.connections,
                            ' ');  // as the server sees it: ' ', c(onnecting), o(pen), w(aiting)
    state[0] = 'o';
    std::size_t opened = 1, sent = 0, closed = 0, aborted = 0;
    const auto look = [&] {
      // Slots leave before they come back within a turn.
      for (; closed < w.transport.closed.size(); ++closed) state[w.transport.closed[closed]] = ' ';
      for (; aborted < w.transport.aborted.size(); ++aborted)
        state[w.transport.aborted[aborted]] = ' ';
      for (; opened < w.transport.opened.size(); ++opened) state[w.transport.opened[opened]] = 'c';
      for (; sent < w.transport.sent.size(); ++sent) state[w.transport.sent[sent]] = 'w';
    };
    w.turn();
    look();
    for (Time t = 0; t < 2 * kSecond && !w.client->done();
         t += 1 + random.below(2 * kMillisecond)) {
      w.to(t);
      look();
      const SlotId slot = random.below(config.connections);
      const auto dice = random.below(20);
      if (state[slot] == 'c') {
        if (dice == 0) {
          state[slot] = ' ';
          w.client->on_lost(slot, Lost::refused, w.now);
        } else if (dice < 15) {
          state[slot] = 'o';
          w.client->on_connected(slot, w.now);
        }
      } else if (state[slot] == 'w') {
        if (dice == 0) {
          state[slot] = ' ';
          w.client->on_lost(slot, Lost::reset, w.now);
        } else if (dice == 1) {
          w.client->on_remote_closed(slot, w.now);
        } else if (dice < 16) {
          state[slot] = 'o';
          w.receive(slot, keepalive && dice != 2 ? 'k' : 'c');
          look();
          if (state[slot] == 'o' && (!keepalive || dice == 2))
            w.client->on_remote_closed(slot, w.now);
        }
      }
      look();
      w.turn();
      look();
    }
    ASSERT_TRUE(w.client->done()) << "seed " << seed;
    std::uint64_t counted = 0, connect_failures = 0, due = 0;
    for (const PhaseStats& s : *w.stats) {
      due += s.latency.count + s.censored;
      counted += s.requests;
      for (const std::uint64_t e : s.errors) counted += e;
      counted -= s.error(ErrorKind::ending);
      connect_failures += s.error(ErrorKind::refused) + s.error(ErrorKind::connect);
    }
    // A persistent connection that could not be opened had no request.
    if (keepalive) counted -= connect_failures;
    ASSERT_EQ(counted, 1000U) << "seed " << seed;
    ASSERT_EQ(due, 1000U) << "seed " << seed;
  }
}

}  // namespace
}  // namespace stackrig::rigload
