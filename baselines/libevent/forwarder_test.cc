// SPDX-License-Identifier: Apache-2.0
// The program over loopback, in both variants: what it forwards and where to, what it answers, and
// what bad messages, slow sinks and lost ones do.
#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <thread>

#include "test_forwarder.h"

namespace stackrig::libevent {
namespace {

using test::Control;
using test::msg;
using test::Server;
using test::Sink;
using test::Stream;

class Forwarder : public testing::TestWithParam<const char*> {
 protected:
  Server server_{{"--variant", GetParam()}};
};

INSTANTIATE_TEST_SUITE_P(Variants, Forwarder, testing::Values("each", "batched"),
                         [](const auto& which) { return std::string(which.param); });

TEST_P(Forwarder, MessagesGoAsTheyCameToTheBackendOfTheirKey) {
  const Sink one, two;
  Control control(server_);
  ASSERT_EQ(control.connect(1, one), 0);
  ASSERT_EQ(control.connect(-2, two), 0);
  const Stream at_one = one.accept(), at_two = two.accept();
  const Stream sender(server_.at());
  sender.send(msg(1, "a", 7) + msg(-2, "b", 8) + msg(1, "", 9));
  EXPECT_EQ(at_one.receive(61), msg(1, "a", 7) + msg(1, "", 9));
  EXPECT_EQ(at_two.receive(31), msg(-2, "b", 8));
}

TEST_P(Forwarder, EverySplitGivesTheSame) {
  const Sink sink;
  Control control(server_);
  ASSERT_EQ(control.connect(1, sink), 0);
  const Stream at_sink = sink.accept();
  const std::string stream = msg(1, "first") + msg(1, "second");
  for (std::size_t first = 1; first < stream.size(); ++first) {
    const Stream sender(server_.at());
    sender.send(stream.substr(0, first));
    sender.send(stream.substr(first));
    ASSERT_EQ(at_sink.receive(stream.size()), stream) << first;
  }
  const Stream sender(server_.at());
  for (const char c : stream) sender.send(std::string(1, c));
  EXPECT_EQ(at_sink.receive(stream.size()), stream);
}

TEST_P(Forwarder, ALongMessageComesWhole) {
  const Sink sink;
  Control control(server_);
  ASSERT_EQ(control.connect(1, sink), 0);
  const Stream at_sink = sink.accept(), sender(server_.at());
  const std::string longest = msg(1, std::string((1 << 20) - thrift::kMsgOverhead, 'x'));
  const std::jthread sending([&] { sender.send(longest + msg(1, "after")); });
  EXPECT_EQ(at_sink.receive(longest.size()), longest);
  EXPECT_EQ(at_sink.receive(35), msg(1, "after"));
}

TEST_P(Forwarder, ConnectSaysWhyItCannot) {
  const std::int32_t nobody = [] { return Sink().port(); }();
  Control control(server_);
  EXPECT_EQ(control.connect(1, "127.0.0.1", nobody), ECONNREFUSED);
  EXPECT_EQ(control.connect(1, "localhost", 80), EINVAL);
  EXPECT_EQ(control.connect(1, "127.0.0.1", 0), EINVAL);
  EXPECT_EQ(control.connect(1, "127.0.0.1", 65536), EINVAL);
  EXPECT_EQ(control.close(), 0);
}

TEST_P(Forwarder, ConnectReplacesABackend) {
  const Sink first, second;
  Control control(server_);
  ASSERT_EQ(control.connect(1, first), 0);
  const Stream at_first = first.accept();
  control.stream().send(msg(1, "to the first"));
  ASSERT_EQ(control.connect(1, second), 0);
  const Stream at_second = second.accept();
  control.stream().send(msg(1, "to the second"));
  EXPECT_EQ(at_first.receive(42), msg(1, "to the first"));
  EXPECT_TRUE(at_first.ends());
  EXPECT_EQ(at_second.receive(43), msg(1, "to the second"));
  EXPECT_EQ(control.close(), 1);
}

TEST_P(Forwarder, CloseSaysHowManyThereWereAndClosesThem) {
  const Sink sinks[3];
  Control control(server_);
  std::vector<Stream> at;
  for (std::int32_t key = 0; key < 3; ++key) {
    ASSERT_EQ(control.connect(key, sinks[key]), 0);
    at.push_back(sinks[key].accept());
  }
  control.stream().send(msg(2, "last"));
  EXPECT_EQ(control.close(), 3);
  EXPECT_EQ(at[2].receive(34), msg(2, "last")) << "what was under way is sent before";
  for (const Stream& s : at) EXPECT_TRUE(s.ends());
  EXPECT_EQ(control.close(), 0);
}

TEST_P(Forwarder, MessagesWithoutABackendAreDropped) {
  const Sink sink;
  Control control(server_);
  ASSERT_EQ(control.connect(1, sink), 0);
  const Stream at_sink = sink.accept(), sender(server_.at());
  sender.send(msg(9, "nowhere") + msg(1, "here"));
  EXPECT_EQ(at_sink.receive(34), msg(1, "here"));
}

TEST_P(Forwarder, UnknownMethodsAreAnsweredWithAnException) {
  Control control(server_);
  thrift::Bytes bytes;
  thrift::Writer w(bytes);
  w.header(thrift::MessageType::oneway, "silent", 1);
  w.stop();
  w.header(thrift::MessageType::call, "ping", 5);
  w.stop();
  control.stream().send(test::text_of(bytes));
  const thrift::Reply r = control.reply();
  EXPECT_TRUE(r.is_exception);
  EXPECT_EQ(r.sequence, 5);
  EXPECT_EQ(r.value, thrift::kUnknownMethod);
  EXPECT_EQ(control.close(), 0) << "the connection goes on";
}

TEST_P(Forwarder, WhatIsMalformedEndsItsConnectionOnly) {
  const Sink sink;
  Control control(server_);
  ASSERT_EQ(control.connect(1, sink), 0);
  const Stream at_sink = sink.accept(), good(server_.at());
  good.send(msg(1, "whole").substr(0, 20));
  std::string wrong_type = msg(1, "x"), huge = msg(1, "x"), negative = msg(1, "x");
  wrong_type[15] = 11;
  huge[25] = 0x7f;
  negative[25] = '\xff';
  for (const std::string& bad : {std::string(8, 'x'), wrong_type, huge, negative}) {
    const Stream sender(server_.at());
    sender.send(msg(1, "before") + bad);
    EXPECT_EQ(at_sink.receive(36), msg(1, "before"));
    EXPECT_TRUE(sender.ends());
  }
  good.send(msg(1, "whole").substr(20));
  EXPECT_EQ(at_sink.receive(35), msg(1, "whole"));
}

TEST_P(Forwarder, ALostBackendLosesItsMessagesOnlyAndCanBeConnectedAgain) {
  const Sink sink, other;
  Control control(server_);
  ASSERT_EQ(control.connect(1, sink), 0);
  ASSERT_EQ(control.connect(2, other), 0);
  const Stream at_other = other.accept(), sender(server_.at());
  { const Stream gone = sink.accept(); }
  for (int i = 0; i < 100; ++i) sender.send(msg(1, "lost") + msg(2, "goes on"));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(at_other.receive(37), msg(2, "goes on"));
  ASSERT_EQ(control.connect(1, sink), 0);
  const Stream again = sink.accept();
  sender.send(msg(1, "back"));
  EXPECT_EQ(again.receive(34), msg(1, "back"));
}

/// Far more than all buffers on the way hold: what a slow sink does not read, its sender keeps.
TEST_P(Forwarder, ASlowSinkSlowsItsSenderAndNothingIsLost) {
  constexpr int kMessages = 4000;
  const Sink slow, quick;
  Control control(server_);
  ASSERT_EQ(control.connect(1, slow), 0);
  ASSERT_EQ(control.connect(2, quick), 0);
  const Stream at_slow = slow.accept(), at_quick = quick.accept();
  const Stream sender(server_.at()), another(server_.at());
  const std::string payload(16 * 1024, 'p');
  const std::jthread sending([&] {
    for (int i = 0; i < kMessages; ++i) sender.send(msg(1, payload, i));
    sender.half_close();
  });
  for (int i = 0; i < 100; ++i) {
    another.send(msg(2, "goes on", i));
    ASSERT_EQ(at_quick.receive(37), msg(2, "goes on", i));
  }
  for (int i = 0; i < kMessages; ++i) {
    ASSERT_EQ(at_slow.receive(payload.size() + thrift::kMsgOverhead), msg(1, payload, i)) << i;
  }
}

TEST_P(Forwarder, ASinkThatGoesWhileItsSenderWaitsLetsTheSenderGoOn) {
  const Sink slow, quick;
  Control control(server_);
  ASSERT_EQ(control.connect(1, slow), 0);
  ASSERT_EQ(control.connect(2, quick), 0);
  const Stream at_quick = quick.accept(), sender(server_.at());
  const std::string payload(64 * 1024, 'p');
  const std::jthread sending([&] {
    for (int i = 0; i < 1000; ++i) sender.send(msg(1, payload));
    sender.send(msg(2, "at last"));
  });
  {
    const Stream at_slow = slow.accept();
    EXPECT_EQ(at_slow.receive(1000).size(), 1000U);
  }
  EXPECT_EQ(at_quick.receive(37), msg(2, "at last"));
}

TEST_P(Forwarder, EightSendersToTwentySinksKeepTheirOrder) {
  constexpr int kSenders = 8, kSinks = 20, kRounds = 200;
  const Sink sinks[kSinks];
  Control control(server_);
  std::vector<Stream> at;
  for (std::int32_t key = 0; key < kSinks; ++key) {
    ASSERT_EQ(control.connect(key, sinks[key]), 0);
    at.push_back(sinks[key].accept());
  }
  std::vector<std::jthread> senders;
  for (int s = 0; s < kSenders; ++s) {
    senders.emplace_back([&, s] {
      const Stream sender(server_.at());
      std::string all;
      for (int i = 0; i < kRounds * kSinks; ++i)
        all += msg(i % kSinks, std::string(1, static_cast<char>('a' + s)), i / kSinks);
      sender.send(all);
      EXPECT_TRUE((sender.half_close(), sender.ends()));
    });
  }
  for (std::int32_t key = 0; key < kSinks; ++key) {
    std::map<char, int> next;
    for (int i = 0; i < kSenders * kRounds; ++i) {
      const std::string text = at[static_cast<std::size_t>(key)].receive(31);
      const thrift::Request r = thrift::next(std::as_bytes(std::span(text)));
      ASSERT_EQ(r.status, thrift::Status::message);
      ASSERT_EQ(r.key, key);
      ASSERT_EQ(r.sequence, next[static_cast<char>(r.payload[0])]++);
    }
  }
}

TEST(ForwarderProgram, BadInputIsRefusedBeforeAnythingStarts) {
  struct Case {
    std::vector<std::string> words;
    const char* says;
  };
  const std::vector<Case> cases = {
      {{}, "--listen: none given"},
      {{"--listen", "127.0.0.1:0", "--variant", "bached"}, "did you mean 'batched'?"},
      {{"--listen", "198.51.100.1:9090"}, "choose an address of this machine"},
      {{"--listen", "127.0.0.1:0", "--telemetry", "/none/x"}, "/none/x"},
  };
  for (const Case& c : cases) {
    std::vector<std::string> words = c.words;
    words.insert(words.begin(), FORWARDER);
    rigload::fake::Process program(words);
    EXPECT_EQ(program.wait(), 2) << c.says;
    EXPECT_EQ(program.complained().find("libevent_forwarder: "), 0U) << program.complained();
    EXPECT_NE(program.complained().find(c.says), std::string::npos) << program.complained();
  }
}

}  // namespace
}  // namespace stackrig::libevent
