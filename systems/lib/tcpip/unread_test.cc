// SPDX-License-Identifier: Apache-2.0
// Bytes that were acknowledged reach a slow reader, however the connection is closed meanwhile.
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

const std::string kFirst(1000, 'a');
const std::string kSecondPart(1000, 'b');

// The reader leaves two segments behind; then the peer's FIN comes.
class Unread : public ::testing::Test {
 protected:
  void SetUp() override {
    s.listen();
    s.establish(mss_option(1000));
    s.app.take_at_most = 0;
    tcb = s.app.tcb;
    s.in(s.data(kFirst));
    s.in(s.data(kSecondPart, 1000));
  }
  void read_all() {
    s.app.take_at_most = ~std::size_t{0};
    s.stack.tcp_resume(*tcb, s.now);
    s.tick();
  }
  void expect_all_then_end() {
    EXPECT_TRUE(s.app.ended.empty());
    EXPECT_EQ(s.app.received, "");
    read_all();
    EXPECT_EQ(s.app.received, kFirst + kSecondPart);
    EXPECT_EQ(s.app.remote_closes, 1u);
    EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::normally});
    EXPECT_EQ(s.stack.counters().connections_now, 0u);
    EXPECT_EQ(s.stack.counters().held_chunks_now, 0u);
  }
  Script s;
  Tcb* tcb = nullptr;
};

TEST_F(Unread, OursFirst_TimeWaitComesBeforeTheReader) {
  s.stack.tcp_close(*tcb, s.now);
  s.tick();
  s.in(s.data("", 2000, 1, kFin | kAck));
  EXPECT_EQ(s.last_out().ack(), s.irs + 1 + 2001) << "the FIN is acknowledged";
  EXPECT_EQ(s.stack.counters().time_wait_now, 1u);
  expect_all_then_end();
}

TEST_F(Unread, TheFinInTheLastSegment) {
  s.stack.tcp_close(*tcb, s.now);
  s.tick();
  s.in(s.data("end", 2000, 1, kFin | kAck));
  EXPECT_TRUE(s.app.ended.empty());
  read_all();
  EXPECT_EQ(s.app.received, kFirst + kSecondPart + "end");
  EXPECT_EQ(s.app.remote_closes, 1u);
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::normally});
}

TEST_F(Unread, TheirsFirst_LastAckIsAnsweredBeforeTheReader) {
  s.in(s.data("", 2000, 0, kFin | kAck));
  s.stack.tcp_close(*tcb, s.now);
  s.tick();
  s.in(s.data("", 2001, 1));
  expect_all_then_end();
}

TEST_F(Unread, BothAtOnce) {
  s.stack.tcp_close(*tcb, s.now);
  s.tick();
  s.in(s.data("", 2000, 0, kFin | kAck));
  s.in(s.data("", 2001, 1));
  EXPECT_EQ(s.stack.counters().time_wait_now, 1u);
  expect_all_then_end();
}

TEST_F(Unread, AResetInLastAck) {
  s.in(s.data("", 2000, 0, kFin | kAck));
  s.stack.tcp_close(*tcb, s.now);
  s.tick();
  s.in(s.data("", 2001, 0, kRst));
  expect_all_then_end();
}

TEST_F(Unread, LeftForLongItIsStillThere) {
  s.stack.tcp_close(*tcb, s.now);
  s.tick();
  s.in(s.data("", 2000, 1, kFin | kAck));
  s.advance(200 * kSecond);
  EXPECT_EQ(s.stack.counters().time_wait_now, 0u);
  expect_all_then_end();
}

TEST_F(Unread, AReaderThatTakesALittleAtATimeHearsOfTheEndAtTheEnd) {
  s.stack.tcp_close(*tcb, s.now);
  s.tick();
  s.in(s.data("", 2000, 1, kFin | kAck));
  s.app.take_at_most = 300;
  for (int i = 0; i < 6; ++i) s.stack.tcp_resume(*tcb, s.now);
  EXPECT_TRUE(s.app.ended.empty());
  s.forget();
  read_all();
  EXPECT_EQ(s.app.received, kFirst + kSecondPart);
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::normally});
  s.expect_silence();
}

TEST_F(Unread, AReaderThatWantsNoneAborts_AndNothingIsSent) {
  s.stack.tcp_close(*tcb, s.now);
  s.tick();
  s.in(s.data("", 2000, 1, kFin | kAck));
  s.forget();
  EXPECT_EQ(s.stack.tcp_close(*tcb, s.now), Result::wrong_state);
  s.stack.tcp_abort(*tcb, s.now);
  s.tick();
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::aborted});
  s.expect_silence();
}

TEST_F(Unread, ANewConnectionOfTheSameFlowIsAnotherOne) {
  s.in(s.data("", 2000, 0, kFin | kAck));
  s.stack.tcp_close(*tcb, s.now);
  s.tick();
  s.in(s.data("", 2001, 1));
  s.forget();
  s.in({.flags = kSyn, .seq = 777777});
  EXPECT_EQ(s.out().flags(), kSyn | kAck);
  expect_all_then_end();
}

}  // namespace
}  // namespace stackrig::tcpip::testing
