// SPDX-License-Identifier: Apache-2.0
// rigload forward as it is typed: through the libevent baseline, and through forwarders that get
// things wrong, each of which must be found out.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "rigload/test_endpoint.h"
#include "rigload/test_forwarder.h"
#include "rigload/test_process.h"

namespace stackrig::rigload {
namespace {

using fake::Forwarder;
using fake::Process;
using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

constexpr std::uint64_t kMessages = 4000;

Words rigload(const std::string& target, const Words& more = {}) {
  Words words = {RIGLOAD, "forward",        "--kernel",  "--target",  target, "--json",
                 "-",     "--sink-address", "127.0.0.1", "--senders", "3",    "--sinks",
                 "5",     "--size",         "40"};
  for (std::size_t i = 0; i + 1 < more.size(); i += 2) {  // in place of those above, or besides
    const auto given = std::find(words.begin(), words.end(), more[i]);
    if (given == words.end()) {
      words.insert(words.end(), {more[i], more[i + 1]});
    } else {
      *(given + 1) = more[i + 1];
    }
  }
  return words;
}

Json run(const std::string& target, const Words& more = {}) {
  Process client(rigload(target, more));
  EXPECT_EQ(client.wait(), 0) << client.complained();
  return Json::parse(client.said(), nullptr, false);
}

/// Of a fixed number of messages; what is lost is waited for only shortly.
Json run_counted(const std::string& target) {
  return run(target, {"--messages", std::to_string(kMessages), "--timeout-ms", "2000"});
}

std::uint64_t sum(const Json& report, const char* what) {
  std::uint64_t n = 0;
  for (const Json& phase : report["phases"]) n += phase[what].get<std::uint64_t>();
  return n;
}

/// Kinds of errors that were counted, with how often: "1 lost".
std::string errors(const Json& report) {
  std::map<std::string, std::uint64_t> counts;
  for (const Json& phase : report["phases"]) {
    for (const auto& [name, count] : phase["errors"].items())
      counts[name] += count.get<std::uint64_t>();
  }
  std::string text;
  for (const auto& [name, count] : counts) {
    if (count != 0) text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + name;
  }
  return text;
}

class ThroughLibevent : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    at_ = wire::to_string(fake::free_endpoint());
    server_ =
        std::make_unique<Process>(Words{FORWARDER, "--listen", at_, "--variant", GetParam()}, true);
    ASSERT_TRUE(server_->wait_until_ready()) << server_->complained();
  }
  std::string at_;
  std::unique_ptr<Process> server_;
};
INSTANTIATE_TEST_SUITE_P(Variants, ThroughLibevent, testing::Values("each", "batched"),
                         [](const auto& which) { return std::string(which.param); });

TEST_P(ThroughLibevent, EveryMessageArrives) {
  for (const char* size : {"0", "32", "4096", "100000"}) {
    const Json report = run(at_, {"--messages", "2000", "--size", size});
    EXPECT_EQ(errors(report), "") << report.dump(1);
    EXPECT_EQ(sum(report, "requests_completed"), 2000U);
    EXPECT_EQ(sum(report, "bytes_body"), 2000U * (std::stoul(size) + thrift::kMsgOverhead));
    EXPECT_EQ(report["messages_sent"], 2000);
    EXPECT_EQ(report["messages_arrived"], 2000);
  }
}

TEST_P(ThroughLibevent, ARunOfSomeTimeHasItsPhases) {
  const Json report = run(at_, {"--warmup", "0.1", "--duration", "0.2"});
  EXPECT_EQ(errors(report), "");
  ASSERT_EQ(report["phases"].size(), 3U);
  EXPECT_EQ(report["phases"][1]["name"], "measure");
  EXPECT_NEAR(report["phases"][1]["duration_s"].get<double>(), 0.2, 1e-6);
  EXPECT_GT(report["phases"][1]["requests_completed"], 0U);
  EXPECT_EQ(sum(report, "requests_completed"), report["messages_sent"].get<std::uint64_t>());
  EXPECT_EQ(sum(report, "connections_completed"), 3U + 5U);
  EXPECT_EQ(report["workload"], "forward");
  EXPECT_EQ(report["sinks"], 5);
  EXPECT_EQ(report["payload"], 40);
}

TEST_P(ThroughLibevent, RunsFollowOneAnotherOnOneServer) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(errors(run_counted(at_)), "");
}

TEST_P(ThroughLibevent, AnInterruptionWritesWhatThereIs) {
  Process client(rigload(at_, {"--duration", "3600"}), true);
  ASSERT_TRUE(client.wait_until_ready()) << client.complained();
  client.signal(SIGINT);
  EXPECT_EQ(client.wait(), 1);
  EXPECT_EQ(Json::parse(client.said(), nullptr, false)["interrupted"], true);
}

TEST_P(ThroughLibevent, AServerThatDiesIsCountedAndNoFailure) {
  Process client(rigload(at_, {"--duration", "1", "--timeout-ms", "2000"}), true);
  ASSERT_TRUE(client.wait_until_ready()) << client.complained();
  server_->signal(SIGKILL);
  EXPECT_EQ(client.wait(), 0) << client.complained();
  const std::string found = errors(Json::parse(client.said(), nullptr, false));
  EXPECT_NE(found.find("reset"), std::string::npos) << found;
}

TEST(ForwardProgram, AForwarderThatIsRightHasNoErrors) {
  const Forwarder server;
  const Json report = run_counted(server.target());
  EXPECT_EQ(errors(report), "");
  EXPECT_EQ(sum(report, "requests_completed"), kMessages);
}

/// Does `what` with message 1000 and nothing to the others.
Json run_with_fault(Forwarder::Fault what) {
  const Forwarder server([&](std::uint64_t n, const Forwarder::Message& message) {
    return n == 1000 ? what(n, message) : std::vector{message};
  });
  return run_counted(server.target());
}

TEST(ForwardProgram, ALostMessageIsFound) {
  const Json report =
      run_with_fault([](auto, const auto&) { return std::vector<Forwarder::Message>{}; });
  EXPECT_EQ(errors(report), "1 lost");
  EXPECT_EQ(report["messages_arrived"], kMessages - 1);
}

TEST(ForwardProgram, ADuplicatedMessageIsFound) {
  EXPECT_EQ(errors(run_with_fault([](auto, const auto& m) {
              return std::vector{m, m};
            })),
            "1 duplicated");
}

TEST(ForwardProgram, AnAlteredByteIsFound) {
  EXPECT_EQ(errors(run_with_fault([](auto, auto m) {
              m.second[thrift::kMsgPayloadAt + 20] ^= 1;
              return std::vector{m};
            })),
            "1 altered");
}

TEST(ForwardProgram, AMessageCutShortIsFound) {
  const std::string found = errors(run_with_fault([](auto, auto m) {
    m.second.resize(50);
    return std::vector{m};
  }));
  EXPECT_NE(found.find("altered"), std::string::npos) << found;
  EXPECT_NE(found.find("1 lost"), std::string::npos) << found;
}

TEST(ForwardProgram, AMessageAtTheWrongSinkIsFound) {
  EXPECT_EQ(errors(run_with_fault([](auto, auto m) {
              m.first = (m.first + 1) % 5;
              return std::vector{m};
            })),
            "1 lost, 1 misdelivered");
}

TEST(ForwardProgram, AReorderedMessageIsFound) {
  // Held back until another one of the same sender to the same sink has gone.
  std::optional<Forwarder::Message> held;
  const Forwarder server([&](std::uint64_t n, const Forwarder::Message& m) {
    const auto same = [&] {
      return held && held->first == m.first &&
             held->second[thrift::kMsgSequenceAt] == m.second[thrift::kMsgSequenceAt];
    };
    if (n == 1000) return held = m, std::vector<Forwarder::Message>{};
    if (!same()) return std::vector{m};
    const Forwarder::Message late = *held;
    held.reset();
    return std::vector{m, late};
  });
  EXPECT_EQ(errors(run_counted(server.target())), "1 reordered");
}

TEST(ForwardProgram, SendersThatAreResetAreFound) {
  Forwarder server;
  server.resets = true;
  const std::string found = errors(run_counted(server.target()));
  EXPECT_NE(found.find("3 reset"), std::string::npos) << found;
}

TEST(ForwardProgram, AWrongAnswerToCloseIsFound) {
  Forwarder server;
  server.close_more = 1;
  EXPECT_EQ(errors(run_counted(server.target())), "1 ending");
}

TEST(ForwardProgram, ABackendThatCannotBeConnectedIsSaid) {
  Forwarder server;
  server.connect_error = ECONNREFUSED;
  Process client(rigload(server.target()));
  EXPECT_EQ(client.wait(), 1);
  EXPECT_NE(client.complained().find(": it cannot connect to the sink at 127.0.0.1:"),
            std::string::npos)
      << client.complained();
  EXPECT_NE(client.complained().find("(Connection refused)"), std::string::npos);
}

TEST(ForwardProgram, NobodyListensAtTheTarget) {
  const std::string nobody = [] { return Forwarder().target(); }();
  Process client(rigload(nobody));
  EXPECT_EQ(client.wait(), 1);
  EXPECT_EQ(client.complained().find("rigload: target " + nobody + ": connection refused; "), 0U)
      << client.complained();
}

TEST(ForwardProgram, WhatIsNoForwarderIsNotWaitedForLong) {
  const sockets::Fd silent = sockets::listen_on({{0x7f000001}, 0}, false);
  Process client(
      rigload(wire::to_string(sockets::local_of(silent.get())), {"--timeout-ms", "200"}));
  EXPECT_EQ(client.wait(), 1);
  EXPECT_NE(client.complained().find("no reply to connect within 200 ms"), std::string::npos)
      << client.complained();
}

TEST(ForwardProgram, BadInputIsRefusedBeforeAnythingStarts) {
  struct Case {
    Words words;
    const char* says;
  };
  const Words target = {"--kernel", "--target", "127.0.0.1:9", "--sink-address", "127.0.0.1"};
  const std::vector<Case> cases = {
      {{"--kernel", "--target", "127.0.0.1:9"}, "--sink-address: none given; "},
      {{"--kernel", "--target", "127.0.0.1:9", "--sink-address", "here"},
       "'here' is not an address"},
      {{"--target", "127.0.0.1:8"}, "--target: 2 given; "},
      {{"--core", "0", "--core", "1"}, "--core: 2 given; "},
      {{"--sink-port", "65530", "--sinks", "20"}, "--sink-port 65530: not enough ports"},
      {{"--kernel", "--target", "127.0.0.1:9", "--sink-address", "198.51.100.1"},
       "--sink-address 198.51.100.1:0: "},
      {{"--size", "1048577"}, "--size"},
      {{"--rate", "5"}, "'--rate': no such word"},
  };
  for (const Case& c : cases) {
    Words words = {RIGLOAD, "forward"};
    if (c.words[0] != "--kernel") words.insert(words.end(), target.begin(), target.end());
    words.insert(words.end(), c.words.begin(), c.words.end());
    Process client(words);
    EXPECT_EQ(client.wait(), 2) << c.says;
    EXPECT_NE(client.complained().find(c.says), std::string::npos)
        << client.complained() << "wanted: " << c.says;
    EXPECT_EQ(client.said(), "");
  }
}

}  // namespace
}  // namespace stackrig::rigload
