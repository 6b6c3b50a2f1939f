// SPDX-License-Identifier: Apache-2.0
// The state machine, segment by segment (RFC 9293 3.5, 3.6, 3.10).
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

TEST(PassiveOpen, AnswersSynWithSynAckAndAcceptsOnAck) {
  Script s;
  s.listen();
  s.in({.flags = kSyn, .seq = 100, .options = mss_option(1460)});
  const Out o = s.out();
  EXPECT_EQ(o.flags(), kSyn | kAck);
  EXPECT_EQ(o.ack(), 101u);
  EXPECT_EQ(o.tcp().options.mss, 1460);
  EXPECT_FALSE(o.tcp().options.timestamps);
  EXPECT_FALSE(o.tcp().options.window_scale);
  EXPECT_EQ(s.app.accepted, 0u);
  s.in({.flags = kAck, .seq = 101, .ack = o.seq() + 1});
  EXPECT_EQ(s.app.accepted, 1u);
  EXPECT_EQ(state(*s.app.tcb), State::established);
  EXPECT_EQ(remote(*s.app.tcb), (wire::Endpoint{kPeerIp, 4000}));
  EXPECT_EQ(local(*s.app.tcb), (wire::Endpoint{kOurIp, 80}));
  s.expect_silence();
}

TEST(PassiveOpen, TakesDataThatComesWithTheAck) {
  Script s;
  s.listen();
  s.in({.flags = kSyn, .seq = 100});
  const Out o = s.out();
  s.in({.flags = kAck | kPsh, .seq = 101, .ack = o.seq() + 1, .payload = "hello"});
  EXPECT_EQ(s.app.received, "hello");
}

TEST(PassiveOpen, DataInTheSynIsLeftForThePeerToSendAgain) {
  Script s;
  s.listen();
  s.in({.flags = kSyn, .seq = 100, .payload = "early"});
  const Out o = s.out();
  EXPECT_EQ(o.ack(), 101u);
}

TEST(PassiveOpen, RepeatedSynGetsTheSameSynAck) {
  Script s;
  s.listen();
  s.in({.flags = kSyn, .seq = 100});
  const Out a = s.out();
  s.in({.flags = kSyn, .seq = 100});
  const Out b = s.out();
  EXPECT_EQ(a.seq(), b.seq());
  EXPECT_EQ(b.flags(), kSyn | kAck);
}

TEST(PassiveOpen, AResetReturnsToListenWithoutAWordToTheApplication) {
  Script s;
  s.listen();
  s.in({.flags = kSyn, .seq = 100});
  s.out();
  EXPECT_EQ(s.stack.counters().half_open_now, 1u);
  s.in({.flags = kRst, .seq = 101});
  EXPECT_EQ(s.stack.counters().half_open_now, 0u);
  EXPECT_TRUE(s.app.ended.empty());
  s.expect_silence();
}

TEST(PassiveOpen, AnAckOfTheWrongNumberIsReset) {
  Script s;
  s.listen();
  s.in({.flags = kSyn, .seq = 100});
  const Out o = s.out();
  s.in({.flags = kAck, .seq = 101, .ack = o.seq() + 7});
  const Out r = s.out();
  EXPECT_EQ(r.flags(), kRst);
  EXPECT_EQ(r.seq(), o.seq() + 7);
  EXPECT_EQ(s.app.accepted, 0u);
}

TEST(PassiveOpen, TheApplicationMayRefuse) {
  Script s;
  s.listen();
  s.app.accept = false;
  s.in({.flags = kSyn, .seq = 100});
  const Out o = s.out();
  s.in({.flags = kAck, .seq = 101, .ack = o.seq() + 1});
  EXPECT_EQ(s.out().flags(), kRst | kAck);
  EXPECT_TRUE(s.app.ended.empty());
  EXPECT_EQ(s.stack.counters().connections_now, 0u);
}

TEST(Closed, SynToNobodyIsResetWithAnAck) {
  Script s;
  s.in({.flags = kSyn, .seq = 100, .to_port = 81});
  const Out o = s.out();
  EXPECT_EQ(o.flags(), kRst | kAck);
  EXPECT_EQ(o.seq(), 0u);
  EXPECT_EQ(o.ack(), 101u);
  EXPECT_EQ(s.stack.counters().no_listener, 1u);
}

TEST(Closed, AckToNobodyIsResetAtItsNumber) {
  Script s;
  s.in({.flags = kAck, .seq = 100, .ack = 777, .payload = "x"});
  const Out o = s.out();
  EXPECT_EQ(o.flags(), kRst);
  EXPECT_EQ(o.seq(), 777u);
}

TEST(Closed, ResetToNobodyIsNotAnswered) {
  Script s;
  s.in({.flags = kRst, .seq = 100});
  s.expect_silence();
}

TEST(Listen, AckOfNothingIsReset) {
  Script s;
  s.listen();
  s.in({.flags = kAck, .seq = 1, .ack = 4711});
  const Out o = s.out();
  EXPECT_EQ(o.flags(), kRst);
  EXPECT_EQ(o.seq(), 4711u);
}

// The peer's MAC must be known to connect: it is asked for by ARP, and answers here.
void answer_arp(Script& s) {
  ASSERT_FALSE(s.sent.empty());
  const auto asked = wire::ArpFrame::parse(s.sent.front());
  ASSERT_TRUE(asked);
  s.sent.pop_front();
  wire::ArpFrame a;
  a.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeArp};
  a.arp = {wire::kArpReply, kPeerMac, kPeerIp, kOurMac, kOurIp};
  s.in_frame(a.emit());
}

Tcb* start_connect(Script& s, std::uint16_t port = 80) {
  Tcb* t = s.stack.tcp_new();
  s.stack.tcp_bind(*t, kOurIp, port);
  set_callbacks(s.stack, *t, s.app);
  s.stack.tcp_connected(*t, connect_fn);
  s.app.tcb = t;
  EXPECT_EQ(s.stack.tcp_connect(*t, {kPeerIp, 4000}, s.now), Result::ok);
  s.collect();
  return t;
}

TEST(ActiveOpen, AsksForTheNeighbourThenSendsSyn) {
  Script s;
  Tcb* t = start_connect(s);
  EXPECT_EQ(state(*t), State::syn_sent);
  answer_arp(s);
  const Out syn = s.out();
  EXPECT_EQ(syn.flags(), kSyn);
  EXPECT_EQ(syn.frame.ethernet.destination, kPeerMac);
  EXPECT_TRUE(syn.tcp().options.timestamps);
  s.in({.flags = kSyn | kAck, .seq = 9000, .ack = syn.seq() + 1});
  EXPECT_EQ(s.app.connected, 1u);
  EXPECT_EQ(state(*t), State::established);
  const Out ack = s.out();
  EXPECT_EQ(ack.flags(), kAck);
  EXPECT_EQ(ack.ack(), 9001u);
  EXPECT_EQ(ack.seq(), syn.seq() + 1);
  s.expect_silence();
}

TEST(ActiveOpen, WhatConnectedWritesGoesWithTheHandshakesAck) {
  Script s;
  StringOwner request("GET / HTTP/1.1\r\n\r\n");
  s.app.on_connected = [&](Tcb& t) {
    EXPECT_EQ(s.stack.tcp_write(t, request, 1, request.size(), s.now), Result::ok);
  };
  start_connect(s);
  answer_arp(s);
  const Out syn = s.out();
  s.in({.flags = kSyn | kAck, .seq = 9000, .ack = syn.seq() + 1});
  const Out o = s.out();
  EXPECT_EQ(o.flags(), kAck | kPsh);
  EXPECT_EQ(o.ack(), 9001u);
  EXPECT_EQ(o.payload(), request.text());
  s.expect_silence();
}

TEST(ActiveOpen, ResetOfTheSynIsARefusal) {
  Script s;
  start_connect(s);
  answer_arp(s);
  const Out syn = s.out();
  s.in({.flags = kRst | kAck, .seq = 0, .ack = syn.seq() + 1});
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::refused});
}

TEST(ActiveOpen, ResetWithoutTheRightAckIsIgnored) {
  Script s;
  Tcb* t = start_connect(s);
  answer_arp(s);
  const Out syn = s.out();
  s.in({.flags = kRst, .seq = 0});
  s.in({.flags = kRst | kAck, .seq = 0, .ack = syn.seq() + 5});
  EXPECT_EQ(state(*t), State::syn_sent);
  EXPECT_TRUE(s.app.ended.empty());
  s.expect_silence();
}

TEST(ActiveOpen, SynAckOfTheWrongNumberIsResetAndTheOpenGoesOn) {
  Script s;
  Tcb* t = start_connect(s);
  answer_arp(s);
  const Out syn = s.out();
  s.in({.flags = kSyn | kAck, .seq = 9000, .ack = syn.seq() + 2});
  const Out r = s.out();
  EXPECT_EQ(r.flags(), kRst);
  EXPECT_EQ(r.seq(), syn.seq() + 2);
  EXPECT_EQ(state(*t), State::syn_sent);
}

TEST(ActiveOpen, SimultaneousOpenMeetsInEstablished) {
  Script s;
  Tcb* t = start_connect(s);
  answer_arp(s);
  const Out syn = s.out();
  s.in({.flags = kSyn, .seq = 9000});
  EXPECT_EQ(state(*t), State::syn_received);
  const Out synack = s.out();
  EXPECT_EQ(synack.flags(), kSyn | kAck);
  EXPECT_EQ(synack.seq(), syn.seq());
  EXPECT_EQ(synack.ack(), 9001u);
  s.in({.flags = kSyn | kAck, .seq = 9000, .ack = syn.seq() + 1});
  EXPECT_EQ(state(*t), State::established);
  EXPECT_EQ(s.app.connected, 1u);
}

TEST(ActiveOpen, SameEndpointsTwiceAreInUse) {
  Script s;
  start_connect(s);
  Tcb* t = s.stack.tcp_new();
  s.stack.tcp_bind(*t, kOurIp, 80);
  EXPECT_EQ(s.stack.tcp_connect(*t, {kPeerIp, 4000}, s.now), Result::in_use);
}

TEST(ActiveOpen, PortZeroPicksOneThatIsFree) {
  Script s;
  Tcb* a = start_connect(s, 0);
  Tcb* b = start_connect(s, 0);
  EXPECT_NE(local(*a).port, 0);
  EXPECT_NE(local(*a).port, local(*b).port);
  EXPECT_GE(local(*a).port, 10000);
}

TEST(Close, OursFirst_FinWaitTimeWait) {
  Script s;
  s.listen();
  s.establish();
  Tcb& t = *s.app.tcb;
  EXPECT_EQ(s.stack.tcp_close(t, s.now), Result::ok);
  s.tick();
  const Out fin = s.out();
  EXPECT_EQ(fin.flags(), kFin | kAck);
  EXPECT_EQ(state(t), State::fin_wait_1);
  s.in(s.data("", 0, 1));
  EXPECT_EQ(state(t), State::fin_wait_2);
  s.in(s.data("still talking", 0, 1));
  EXPECT_EQ(s.app.received, "still talking");
  s.forget();
  s.in(s.data("", 13, 1, kFin | kAck));
  const Out last = s.out();
  EXPECT_EQ(last.flags(), kAck);
  EXPECT_EQ(last.ack(), s.irs + 1 + 13 + 1);
  EXPECT_EQ(s.app.remote_closes, 1u);
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::normally});
  EXPECT_EQ(s.stack.counters().time_wait_now, 1u);
  s.advance(61 * kSecond);
  EXPECT_EQ(s.stack.counters().time_wait_now, 0u);
  s.expect_silence();
}

TEST(Close, FinAndItsAckInOne_StraightToTimeWait) {
  Script s;
  s.listen();
  s.establish();
  s.stack.tcp_close(*s.app.tcb, s.now);
  s.tick();
  s.forget();
  s.in(s.data("", 0, 1, kFin | kAck));
  EXPECT_EQ(s.out().ack(), s.irs + 2);
  EXPECT_EQ(s.stack.counters().time_wait_now, 1u);
}

TEST(Close, TheirsFirst_CloseWaitLastAck) {
  Script s;
  s.listen();
  s.establish();
  Tcb& t = *s.app.tcb;
  s.in(s.data("bye", 0, 0, kFin | kAck));
  EXPECT_EQ(s.app.received, "bye");
  EXPECT_EQ(s.app.remote_closes, 1u);
  EXPECT_EQ(state(t), State::close_wait);
  EXPECT_EQ(s.out().ack(), s.irs + 1 + 3 + 1);
  StringOwner rest("half closed: still writing");
  EXPECT_EQ(s.stack.tcp_write(t, rest, 1, rest.size(), s.now), Result::ok);
  s.tick();
  EXPECT_EQ(s.out().payload(), rest.text());
  s.stack.tcp_close(t, s.now);
  s.tick();
  EXPECT_EQ(s.out().flags(), kFin | kAck);
  EXPECT_EQ(state(t), State::last_ack);
  s.in(s.data("", 4, static_cast<std::uint32_t>(rest.size()) + 1));
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::normally});
  EXPECT_EQ(s.stack.counters().time_wait_now, 0u);
  s.expect_silence();
}

TEST(Close, Simultaneous_ClosingTimeWait) {
  Script s;
  s.listen();
  s.establish();
  Tcb& t = *s.app.tcb;
  s.stack.tcp_close(t, s.now);
  s.tick();
  s.forget();
  s.in(s.data("", 0, 0, kFin | kAck));  // does not acknowledge ours
  EXPECT_EQ(state(t), State::closing);
  EXPECT_EQ(s.out().ack(), s.irs + 2);
  s.in(s.data("", 1, 1));
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::normally});
  EXPECT_EQ(s.stack.counters().time_wait_now, 1u);
}

TEST(Close, WriteAndCloseInOneCallbackLeaveInOneSegment) {
  Script s;
  s.listen();
  StringOwner answer("HTTP/1.1 200 OK\r\n\r\n");
  s.app.on_bytes = [&](Tcb& t, std::string_view) {
    s.stack.tcp_write(t, answer, 7, answer.size(), s.now);
    s.stack.tcp_close(t, s.now);
  };
  s.establish();
  s.in(s.data("GET /"));
  const Out o = s.out();
  EXPECT_EQ(o.flags(), kFin | kPsh | kAck);
  EXPECT_EQ(o.payload(), answer.text());
  EXPECT_EQ(o.ack(), s.irs + 1 + 5);
  s.expect_silence();
  s.in(s.data("", 5, static_cast<std::uint32_t>(answer.size()) + 1, kFin | kAck));
  EXPECT_EQ(s.app.sent, std::vector<std::uint64_t>{7});
  EXPECT_EQ(s.out().flags(), kAck);
  s.expect_silence();
}

TEST(Close, OutsideOfCallbacksTooOneSegmentPerTurn) {
  Script s;
  s.listen();
  s.establish();
  StringOwner head("head "), body("body");
  s.stack.tcp_write(*s.app.tcb, head, 1, head.size(), s.now);
  s.stack.tcp_write(*s.app.tcb, body, 2, body.size(), s.now);
  s.stack.tcp_close(*s.app.tcb, s.now);
  s.tick();
  EXPECT_EQ(s.out().payload(), "head ");
  const Out last = s.out();
  EXPECT_EQ(last.payload(), "body");
  EXPECT_EQ(last.flags(), kFin | kPsh | kAck);
  s.expect_silence();
}

TEST(Close, NothingMayBeWrittenAfterIt) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o("x");
  s.stack.tcp_close(*s.app.tcb, s.now);
  EXPECT_EQ(s.stack.tcp_write(*s.app.tcb, o, 1, 1, s.now), Result::wrong_state);
  EXPECT_EQ(s.stack.tcp_close(*s.app.tcb, s.now), Result::wrong_state);
}

TEST(Reset, AtTheExactNumberEndsTheConnection) {
  Script s;
  s.listen();
  s.establish();
  s.in(s.data("", 0, 0, kRst));
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::reset_by_peer});
  s.expect_silence();
}

TEST(Reset, AbortSendsOneAndReleasesWrites) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o(pattern(5000));
  s.stack.tcp_write(*s.app.tcb, o, 3, o.size(), s.now);
  s.tick();
  s.forget();
  s.stack.tcp_abort(*s.app.tcb, s.now);
  s.collect();
  const Out r = s.out();
  EXPECT_TRUE(r.flags() & kRst);
  EXPECT_EQ(r.seq(), s.iss + 1 + 5000);
  EXPECT_EQ(o.released_cookies, std::vector<std::uint64_t>{3});
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::aborted});
}

TEST(Reset, AbortInsideTheReceiveCallbackIsSafe) {
  Script s;
  s.listen();
  s.app.on_bytes = [&](Tcb& t, std::string_view) { s.stack.tcp_abort(t, s.now); };
  s.establish();
  s.in(s.data("x"));
  EXPECT_TRUE(s.out().flags() & kRst);
  s.expect_silence();
  EXPECT_EQ(s.stack.counters().connections_now, 0u);
}

TEST(FinWait2, APeerThatNeverClosesIsGivenUp) {
  Script s;
  s.listen();
  s.establish();
  s.stack.tcp_close(*s.app.tcb, s.now);
  s.tick();
  s.in(s.data("", 0, 1));
  s.forget();
  s.advance(59 * kSecond);
  EXPECT_TRUE(s.app.ended.empty());
  s.advance(2 * kSecond);
  EXPECT_EQ(s.app.ended, std::vector<Ended>{Ended::timed_out});
}

TEST(Slots, AreUsedAgainAndRunOut) {
  Config c = script_config();
  c.max_connections = 8;
  Script s(c);
  s.listen();
  for (int round = 0; round < 3; ++round) {
    std::vector<Tcb*> all;
    while (Tcb* t = s.stack.tcp_new()) all.push_back(t);
    EXPECT_EQ(all.size(), 7u);
    for (Tcb* t : all) s.stack.tcp_abort(*t, s.now);
    s.tick();
  }
}

}  // namespace
}  // namespace stackrig::tcpip::testing
