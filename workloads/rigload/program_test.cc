// SPDX-License-Identifier: Apache-2.0
// The program as it is typed: against Sandstorm over the soft NIC, with bad input, and when things
// die.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "rigload/test_sandstorm.h"

namespace stackrig::rigload {
namespace {

using fake::Process;
using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

class Program : public fake::OverSandstorm {
 protected:
  /// rigload on the other side of the link; `more` are pairs of words, in place of those here or
  /// beside them.
  Words rigload(const Words& more) {
    Words words = {RIGLOAD,      "http",
                   "--port",     link_ + "?side=client",
                   "--address",  "10.99.0.2/24",
                   "--target",   "10.99.0.1:80",
                   "--warmup",   "0.05",
                   "--duration", "0.2",
                   "--json",     "-"};
    for (std::size_t i = 0; i + 1 < more.size(); i += 2) {
      const auto given = std::find(words.begin(), words.end(), more[i]);
      if (given == words.end()) {
        words.insert(words.end(), {more[i], more[i + 1]});
      } else {
        *(given + 1) = more[i + 1];
      }
    }
    return words;
  }
  /// Runs it to its end, which must be a good one.
  Json run(const Words& more) {
    Process client(rigload(more));
    EXPECT_EQ(client.wait(), 0) << client.complained();
    return Json::parse(client.said(), nullptr, false);
  }
  static std::uint64_t sum(const Json& report, const char* what) {
    std::uint64_t n = 0;
    for (const Json& phase : report["phases"]) n += phase[what].get<std::uint64_t>();
    return n;
  }
  static std::uint64_t errors(const Json& report) {
    std::uint64_t n = 0;
    for (const Json& phase : report["phases"]) {
      for (const auto& [name, count] : phase["errors"].items()) n += count.get<std::uint64_t>();
    }
    return n;
  }
};

TEST_F(Program, AConnectionPerRequestFromSandstorm) {
  const auto server = sandstorm();
  const Json report = run({"--path", "/small", "--content-root", root_.path(), "--check-every", "1",
                           "--connections", "32"});
  EXPECT_EQ(errors(report), 0U) << report.dump(1);
  EXPECT_GT(sum(report, "requests_completed"), 0U);
  EXPECT_EQ(sum(report, "requests_completed"), sum(report, "connections_completed"));
  EXPECT_EQ(report["transport"], "nmio");
  EXPECT_GT(report["phases"][1]["bytes_wire_rx"], report["phases"][1]["bytes_body"]);
  server->signal(SIGTERM);
  EXPECT_EQ(server->wait(), 0);
}

TEST_F(Program, ManyFilesAtRandomOverPersistentConnectionsFromSandstorm) {
  const auto server = sandstorm();
  root_.write("paths", "/small\n/large\n/empty\n");
  const Json report =
      run({"--paths", root_ / "paths", "--content-root", root_.path(), "--check-every", "1",
           "--connections", "8", "--mode", "keepalive", "--source-addresses", "4"});
  EXPECT_EQ(errors(report), 0U) << report.dump(1);
  EXPECT_GT(sum(report, "requests_completed"), 0U);
  EXPECT_EQ(report["urls"], 3);
}

TEST_F(Program, TwoQueuesAndAnOpenLoop) {
  const auto server = sandstorm("&queues=2");
  const Json report =
      run({"--port", link_ + "?side=client&queues=2", "--path", "/small", "--connections", "8",
           "--mode", "keepalive", "--loop", "open", "--rate", "2000", "--arrivals", "uniform"});
  EXPECT_EQ(sum(report, "requests_completed") + errors(report), 500U);
  EXPECT_EQ(sum(report, "connections_opened"), 8U);
}

TEST_F(Program, AMissingFileIsAStatusErrorAndNoFailure) {
  const auto server = sandstorm();
  const Json report = run({"--path", "/none", "--mode", "keepalive"});
  EXPECT_GT(report["phases"][1]["errors"]["status"], 0U);
  EXPECT_EQ(sum(report, "requests_completed"), 0U);
}

TEST_F(Program, AnInterruptionWritesWhatThereIs) {
  const auto server = sandstorm();
  Process client(rigload({"--path", "/small", "--mode", "keepalive", "--duration", "3600"}), true);
  ASSERT_TRUE(client.wait_until_ready()) << client.complained();
  client.signal(SIGINT);
  EXPECT_EQ(client.wait(), 1);
  EXPECT_EQ(Json::parse(client.said())["interrupted"], true);
  EXPECT_NE(client.complained().find("interrupted: partial result"), std::string::npos);
}

TEST_F(Program, AServerThatDiesIsCountedAndNoFailure) {
  const auto server = sandstorm();
  Process client(rigload({"--path", "/small", "--mode", "keepalive", "--timeout-ms", "1000",
                          "--duration", "2"}),
                 true);
  ASSERT_TRUE(client.wait_until_ready()) << client.complained();
  server->signal(SIGKILL);
  EXPECT_EQ(client.wait(), 0) << client.complained();
  const Json report = Json::parse(client.said());
  EXPECT_GT(errors(report), 0U);
  EXPECT_EQ(report["interrupted"], false);
}

TEST_F(Program, NobodyAtTheAddressIsSaidAndNotWaitedForLong) {
  const auto server = sandstorm();
  Process client(rigload({"--path", "/small", "--timeout-ms", "200", "--target", "10.99.0.77:80"}));
  EXPECT_EQ(client.wait(), 1);
  EXPECT_EQ(client.complained().find("rigload: target 10.99.0.77:80: "), 0U) << client.complained();
  EXPECT_EQ(client.said(), "");
}

TEST_F(Program, NobodyListensOnThePort) {
  const auto server = sandstorm();
  Process client(rigload({"--path", "/small", "--target", "10.99.0.1:81"}));
  EXPECT_EQ(client.wait(), 1);
  EXPECT_EQ(client.complained().find("rigload: target 10.99.0.1:81: connection refused; "), 0U)
      << client.complained();
}

TEST_F(Program, BadInputIsRefusedBeforeAnythingStarts) {
  struct Case {
    Words words;
    const char* says;
  };
  root_.write("paths", "/a\nb\n");
  const std::vector<Case> cases = {
      {{}, "rigload: a sub-command is needed: dns, echo, flood, forward, http"},
      {{"htp"}, "did you mean 'http'?"},
      {{"http", "--conections", "4"}, "did you mean '--connections'?"},
      {{"http", "--kernel", "--path", "/"}, "--target: none given; "},
      {{"http", "--kernel", "--target", "10.0.0.1"}, "'10.0.0.1' is not an IPv4 address and port"},
      {{"http", "--kernel", "--target", "10.0.0.1:80"}, "give either --path /PATH or --paths FILE"},
      {{"http", "--kernel", "--target", "10.0.0.1:80", "--path", "x"},
       "--path: path 'x' does not begin with '/'; "},
      {{"http", "--kernel", "--target", "10.0.0.1:80", "--paths", root_ / "paths"},
       "paths:2: path 'b' does not begin"},
      {{"http", "--kernel", "--target", "10.0.0.1:80", "--path", "/none", "--content-root",
        root_.path()},
       "--path: file "},
      {{"http", "--kernel", "--target", "10.0.0.1:80", "--path", "/", "--mode", "open"},
       "--mode: 'open' is neither"},
      {{"http", "--kernel", "--target", "10.0.0.1:80", "--path", "/", "--duration", "0"},
       "--duration"},
      {{"http", "--kernel", "--target", "10.0.0.1:80", "--path", "/", "--json", "/none/x"},
       "--json /none/x: No such file"},
      {{"http", "--kernel", "--target", "10.0.0.1:80", "--path", "/", "--ready-fd", "99"},
       "--ready-fd 99: is not open"},
      {{"http", "--port", "smh:x?side=client", "--address", "10.0.0.2/24", "--target",
        "10.0.0.1:80", "--path", "/"},
       "did you mean 'shm'?"},
      {{"http", "--port", "shm:x?side=client&wait=1", "--address", "10.0.0.2/24", "--target",
        "10.0.0.1:80", "--path", "/"},
       "shm:x"},
  };
  for (const Case& c : cases) {
    Words words = c.words;
    words.insert(words.begin(), RIGLOAD);
    Process client(words);
    EXPECT_EQ(client.wait(), 2) << c.says;
    EXPECT_EQ(client.complained().find("rigload: "), 0U) << client.complained();
    EXPECT_NE(client.complained().find(c.says), std::string::npos)
        << client.complained() << "wanted: " << c.says;
    EXPECT_EQ(client.said(), "");
  }
}

}  // namespace
}  // namespace stackrig::rigload
