// SPDX-License-Identifier: Apache-2.0
// The language: what a script means, what it says where it cannot be read, and that a script which
// should fail does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tcpip/script/player.h"
#include "tcpip/script/script.h"
#include "tcpip/script/target.h"

namespace stackrig::tcpip::script {
namespace {

using ::testing::HasSubstr;

constexpr const char* kHead = "title t\nrfc 9293 3.5\n";

std::string error_of(const std::string& text) {
  try {
    parse("x.tcp", text);
  } catch (const ScriptError& e) {
    return e.what();
  }
  return "no error";
}
std::string error_of_step(const std::string& step) {
  return error_of(kHead + step + "\n");
}

Verdict play_on_core(const std::string& steps) {
  const Script s = parse("x.tcp", kHead + steps);
  const auto target = make_core_target(s.settings);
  return play(s, *target, Side::ours);
}

TEST(Language, ASegmentIsReadWhole) {
  const Script s = parse(
      "x.tcp", std::string(kHead) +
                   "+200ms..1.5s > P. 1:1001 ack 7 win 100..200 ecn ect0 <mss 1460, no ts>\n");
  const Step& step = s.steps.at(0);
  EXPECT_EQ(step.line, 3);
  EXPECT_EQ(step.least, 200 * nmio::kMillisecond);
  EXPECT_EQ(step.most, 1500 * nmio::kMillisecond);
  const SegmentSpec& g = std::get<Expect>(step.action).segment;
  EXPECT_EQ(g.seq, 1);
  EXPECT_EQ(g.len, 1000u);
  EXPECT_EQ(g.ack, 7);
  EXPECT_EQ(g.window, 100u);
  EXPECT_EQ(g.window_max, 200u);
  EXPECT_EQ(g.ecn, 2);
  EXPECT_TRUE(g.push_counts);
  ASSERT_EQ(g.options->size(), 2u);
  EXPECT_EQ(g.options->at(0).value, 1460u);
  EXPECT_TRUE(g.options->at(1).absent);
}

TEST(Language, AnotherPortIsAnotherFlow) {
  const Script s = parse("x.tcp", std::string(kHead) + "@4001 < S 0\n@4001 close\n");
  EXPECT_EQ(s.steps.at(0).flow, 4001);
  EXPECT_EQ(s.steps.at(1).flow, 4001);
}

TEST(Language, AHandshakeIsItsSteps) {
  const Script s = parse("x.tcp", std::string(kHead) + "handshake server <mss 1000, ts 5 0>\n");
  ASSERT_EQ(s.steps.size(), 5u);
  const SegmentSpec& ack = std::get<SegmentSpec>(std::get<Inject>(s.steps[3].action).what);
  EXPECT_EQ(ack.options->at(0).ts_echo.word, OptionSpec::Number::Word::last);
}

TEST(Language, ErrorsNameFileLineAndCause) {
  EXPECT_EQ(error_of_step("< X 0"),
            "x.tcp:3: flags are letters of SFRPUEW and . (ACK), or 'none', not 'X'");
  EXPECT_EQ(error_of_step("> S"), "x.tcp:3: the sequence number is missing at the end of the line");
  EXPECT_EQ(error_of_step("> . 1"), "x.tcp:3: a segment with '.' needs 'ack N'");
  EXPECT_EQ(error_of_step("> . 1 ack 1 hello"), "x.tcp:3: 'hello' means nothing here");
  EXPECT_EQ(error_of_step("< S 0 <mss>"), "x.tcp:3: option 'mss': mss takes 1 values");
  EXPECT_EQ(error_of_step("< S 0 <mss 1460"), "x.tcp:3: no > closes what begins here: <mss 1460");
  EXPECT_EQ(error_of_step("silence 3"),
            "x.tcp:3: how long is a time such as 200ms, 1.5s or 40us, not '3'");
  EXPECT_EQ(error_of_step("set sak on"), "x.tcp:3: 'sak' is no setting");
  EXPECT_EQ(error_of_step("listen\nset sack on"), "x.tcp:4: settings stand before the first step");
  EXPECT_THAT(error_of_step("state establish"), HasSubstr("'establish' is none of listen, "));
  EXPECT_THAT(error_of_step("open"), HasSubstr("x.tcp:3: 'open' is no step"));
  EXPECT_THAT(error_of("title t\nlisten\n"), HasSubstr("'rfc'"));
}

TEST(Language, ALineForOneSideNeedsAReason) {
  EXPECT_THAT(error_of_step("ours > . 1 ack 1"), HasSubstr("which RFC section decides"));
  EXPECT_THAT(error_of_step("differs because\nours > . 1 ack 1"), HasSubstr("RFC section"));
  const Script s =
      parse("x.tcp", std::string(kHead) + "differs RFC 9293 3.8: why\nours listen\nlinux listen\n");
  EXPECT_EQ(s.steps.at(0).side, Side::ours);
  EXPECT_EQ(s.steps.at(1).side, Side::linux);
}

TEST(Player, AGoodScriptPasses) {
  const Verdict v = play_on_core("handshake server\n< P. 1:101 ack 1\n> . 1 ack 101\nread 100\n");
  EXPECT_TRUE(v.passed) << v.message;
}

TEST(Player, AFailureShowsLineExpectedCameAndHowToRunAgain) {
  const Verdict v = play_on_core("handshake server\n< P. 1:101 ack 1\n> . 1 ack 102\n");
  EXPECT_FALSE(v.passed);
  EXPECT_EQ(v.line, 5);
  EXPECT_THAT(v.message, HasSubstr("x.tcp:5: (core) > . 1 ack 102"));
  EXPECT_THAT(v.message, HasSubstr("expected  > . 1 ack 102"));
  EXPECT_THAT(v.message, HasSubstr("came      > . 1 ack 101"));
  EXPECT_THAT(v.message, HasSubstr("because   ack is 101"));
  EXPECT_THAT(v.message, HasSubstr("again     tcp-script core --trace x.tcp"));
}

TEST(Player, WhatIsWrongIsFound) {
  const char* const kWrong[] = {
      "listen\n< S 0\n",                                          // an answer nobody expects
      "handshake server\n> . 1 ack 1\n",                          // nothing comes
      "listen\n< S 0\n> S 0\n",                                   // other flags
      "listen\n< S 0 <mss 1460>\n> S. 0 ack 1 <no mss>\n",        // an option too many
      "listen\n< S 0 <mss 1460>\n> S. 0 ack 1 <mss 999>\n",       // another value
      "listen\n< S 0 <mss 1460>\n> S. 0 ack 1 <sack 1:2>\n",      // none there
      "listen\n< S 0 <mss 1460>\n> S. 0 ack 1 win 1\n",           // another window
      "handshake server\nwrite 10\n> P. 1:10 ack 1\n",            // shorter
      "handshake server\nwrite \"abc\"\n> P. 1 ack 1 \"abd\"\n",  // other bytes
      "handshake server\n< P. 1 ack 1 \"ab\"\n> . 1 ack 3\nread \"ac\"\n",
      "handshake server\nread 1\n",
      "handshake server\nread eof\n",
      "handshake server\nstate closing\n",
      "handshake server\nended reset\n",
      "handshake server\nwrite 10\n> P. 1:11 ack 1\n+300ms > P. 1:11 ack 1\n",  // 200 ms
      "handshake server\nwrite 10\n> P. 1:11 ack 1\n+50ms > P. 1:11 ack 1\n",
      "handshake server\nwrite 10\n> P. 1:11 ack 1\nsilence 1s\n",
      "accept\n",
  };
  for (const char* steps : kWrong) EXPECT_FALSE(play_on_core(steps).passed) << steps;
}

TEST(Player, LinesOfTheOtherSideArePassedOver) {
  const Verdict v = play_on_core(
      "handshake server\n< P. 1:101 ack 1\ndiffers RFC 9293 3.8.6: why\nours > . 1 ack 101\n"
      "linux > . 1 ack 7\n");
  EXPECT_TRUE(v.passed) << v.message;
}

}  // namespace
}  // namespace stackrig::tcpip::script
