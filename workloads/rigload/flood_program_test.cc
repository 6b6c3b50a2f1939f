// SPDX-License-Identifier: Apache-2.0
// `rigload flood` as it is typed: against Sandstorm over the soft NIC, and where it must not go.
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "rigload/test_sandstorm.h"

namespace stackrig::rigload {
namespace {

using fake::Process;
using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

class FloodProgram : public fake::OverSandstorm {
 protected:
  Words flood(const std::string& kind, const Words& more) {
    Words words = {RIGLOAD,      "flood",
                   "--kind",     kind,
                   "--port",     link_ + "?side=client",
                   "--address",  "10.99.0.2/24",
                   "--rate",     "2000",
                   "--duration", "0.3",
                   "--json",     "-"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static void refused(const Words& words, const std::string& why) {
    Process client(words);
    EXPECT_EQ(client.wait(), 2) << why;
    EXPECT_EQ(client.complained().find("rigload: "), 0U) << client.complained();
    EXPECT_NE(client.complained().find(why), std::string::npos)
        << client.complained() << "wanted: " << why;
    EXPECT_EQ(client.said(), "");
  }
};

TEST_F(FloodProgram, EachKindReachesAServerThatServesOnAfterwards) {
  std::unique_ptr<Process> server;
  for (const char* kind :
       {"syn", "ack", "sack", "tiny-window", "slow-read", "half-open", "port-reuse"}) {
    server.reset();
    server = sandstorm();  // one that has no connections of the flood before
    Process client(flood(kind, {"--target", "10.99.0.1:80", "--path", "/large", "--flows", "50"}));
    EXPECT_EQ(client.wait(), 0) << client.complained();
    const Json report = Json::parse(client.said(), nullptr, false);
    EXPECT_EQ(report["kind"], kind);
    EXPECT_GT(report["segments_sent"], 0U) << kind;
    EXPECT_GT(report["segments_received"], 0U) << kind;
    const bool opens = std::string(kind) != "syn" && std::string(kind) != "ack";
    EXPECT_EQ(report["connections_opened"] > 0U, opens) << kind;
  }
  Process real({RIGLOAD, "http", "--port", link_ + "?side=client", "--address", "10.99.0.3/24",
                "--target", "10.99.0.1:80", "--path", "/small", "--warmup", "0.05", "--duration",
                "0.2", "--json", "-"});
  EXPECT_EQ(real.wait(), 0) << real.complained();
  EXPECT_GT(Json::parse(real.said())["phases"][1]["requests_completed"], 0U);
}

TEST_F(FloodProgram, NobodyAtTheAddressIsSaidAndNotWaitedForLong) {
  const auto server = sandstorm();
  Process client(flood("syn", {"--target", "10.99.0.77:80"}));
  EXPECT_EQ(client.wait(), 1);
  EXPECT_NE(client.complained().find("10.99.0.77:80: nobody answers ARP"), std::string::npos)
      << client.complained();
  EXPECT_EQ(client.said(), "");
}

TEST_F(FloodProgram, ATargetThatIsNotATestbedsOwnIsRefused) {
  refused(flood("syn", {"--target", "10.98.0.1:80"}),
          "--target 10.98.0.1: not on the port's own subnet");
  refused(flood("syn", {"--target", "192.0.2.1:80"}), "--target 192.0.2.1: not on the port's own");
  refused(flood("syn", {"--target", "10.99.0.2:80"}), "one of our own addresses");
  refused(flood("syn", {"--target", "10.99.0.4:80", "--source-addresses", "3"}),
          "one of our own addresses");
  refused(flood("syn", {"--target", "10.99.0.255:80"}), "the subnet's own or broadcast address");
  refused(flood("syn", {"--target", "10.99.0.1"}), "'10.99.0.1' is not an address and a port");
  Words wide = {
      RIGLOAD,     "flood",      "--kind",   "syn",         "--port", link_ + "?side=client",
      "--address", "10.0.0.2/8", "--target", "10.99.0.1:80"};
  refused(wide, "give the wire's prefix, /16 to /30");
  Words routed = {
      RIGLOAD,     "flood",      "--kind",   "syn",       "--port", link_ + "?side=client",
      "--address", "8.8.8.2/24", "--target", "8.8.8.8:80"};
  refused(routed, "not a private address (RFC 1918)");
}

TEST_F(FloodProgram, BadInputIsRefusedBeforeAnythingStarts) {
  const Words to = {"--target", "10.99.0.1:80"};
  const auto with = [&](Words more) {
    more.insert(more.begin(), to.begin(), to.end());
    return more;
  };
  refused(flood("sin", to), "--kind: there is no 'sin'; did you mean 'syn'?");
  refused(flood("sack", with({"--path", "x"})), "--path: path 'x' does not begin with '/'");
  refused(flood("sack", with({"--path", "/" + std::string(1000, 'x')})), "at most 1000");
  refused(flood("syn", with({"--flows", "0"})), "--flows: give 1 to 64511");
  refused(flood("syn", with({"--gateway", "10.99.0.9"})),
          "--gateway: a flood stays on its own wire");
}

}  // namespace
}  // namespace stackrig::rigload
