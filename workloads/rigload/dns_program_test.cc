// SPDX-License-Identifier: Apache-2.0
// rigload dns as it is typed: against Namestorm over the soft NIC, and with bad input.
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "rigload/test_process.h"
#include "rigload/test_replies.h"

namespace stackrig::rigload {
namespace {

using fake::Folder;
using fake::Process;
using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

constexpr const char* kZone =
    "$ORIGIN bench.test.\n$TTL 3600\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n"
    "h0 A 192.0.2.10\nh1 A 192.0.2.11\n";
/// By sha256sum over owner, type, class, TTL, length and address.
constexpr const char* kExpected = "NOERROR 1 7d364e04fc27769b\nNOERROR 1 b7766e3551e1754f\n";

class DnsProgram : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("bench.zone", kZone);
    folder_.write("queries.txt", "h0.bench.test A\nh1.bench.test A\n");
    folder_.write("expected.txt", kExpected);
    static unsigned count = 0;
    link_ = "shm:rigd-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
  }
  std::unique_ptr<Process> namestorm() {
    auto server = std::make_unique<Process>(
        Words{NAMESTORM, "--port", link_ + "?side=server", "--address", "10.99.0.1/24", "--zone",
              "bench.test=" + folder_.path() + "/bench.zone"},
        true);
    if (!server->wait_until_ready()) throw std::runtime_error("Namestorm: " + server->complained());
    return server;
  }
  Words rigload(const Words& more) {
    Words words = {RIGLOAD,      "dns",          "--port",   link_ + "?side=client",
                   "--address",  "10.99.0.2/24", "--target", "10.99.0.1:53",
                   "--warmup",   "0.05",         "--json",   "-",
                   "--duration", "0.2"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::string file(const std::string& name) { return folder_.path() + "/" + name; }
  Json run(const Words& more) {
    Process client(rigload(more));
    EXPECT_EQ(client.wait(), 0) << client.complained();
    return Json::parse(client.said(), nullptr, false);
  }
  static std::uint64_t errors(const Json& report, const char* kind) {
    std::uint64_t n = 0;
    for (const Json& phase : report["phases"]) n += phase["errors"][kind].get<std::uint64_t>();
    return n;
  }
  /// Bad input: exit code 2 and a message with this in it; nothing was started.
  void refused(const Words& more, const std::string& message) {
    Process client(rigload(more));
    EXPECT_EQ(client.wait(), 2);
    EXPECT_NE(client.complained().find(message), std::string::npos) << client.complained();
  }

  Folder folder_;
  std::string link_;
};

TEST_F(DnsProgram, AsksNamestormAndFindsEveryAnswerRight) {
  const auto server = namestorm();
  const Json report = run({"--queries", file("queries.txt"), "--expected", file("expected.txt"),
                           "--check-every", "1", "--outstanding", "32"});
  ASSERT_FALSE(report.is_discarded());
  EXPECT_GE(report["phases"][1]["requests_completed"].get<std::uint64_t>(), 32U);
  for (const auto& [kind, count] : report["phases"][1]["errors"].items())
    EXPECT_EQ(count, 0) << kind;
  EXPECT_EQ(report["outstanding"], 32);
  EXPECT_TRUE(report["content_checked"].get<bool>());
}

TEST_F(DnsProgram, FindsAnswersThatAreNotTheExpectedOnes) {
  const auto server = namestorm();
  // The second name is to have the first one's address.
  folder_.write("expected.txt", "NOERROR 1 7d364e04fc27769b\nNOERROR 1 7d364e04fc27769b\n");
  const Json report = run(
      {"--queries", file("queries.txt"), "--expected", file("expected.txt"), "--check-every", "1"});
  EXPECT_GT(errors(report, "content"), 0U);
  EXPECT_GT(report["phases"][1]["requests_completed"], 0);
}

TEST_F(DnsProgram, AnOpenLoopKeepsItsRate) {
  const auto server = namestorm();
  const Json report = run({"--pattern", "h{}.bench.test", "--names", "2", "--loop", "open",
                           "--rate", "10000", "--arrivals", "uniform"});
  const Json& measured = report["phases"][1];
  EXPECT_EQ(measured["latency_ns"]["count"].get<std::uint64_t>() + errors(report, "timeout") +
                measured["errors"]["unsent"].get<std::uint64_t>(),
            2000U);
}

TEST_F(DnsProgram, AsksInTheFilesOrderWhereToldSo) {
  const auto server = namestorm();
  // Every second name does not exist: in the file's order exactly every second answer says so.
  folder_.write("queries.txt", "h0.bench.test A\nnone.bench.test A\n");
  const Json report = run({"--queries", file("queries.txt"), "--order", "file"});
  EXPECT_EQ(report["order"], "file");
  std::uint64_t good = 0;
  for (const Json& phase : report["phases"])
    good += phase["requests_completed"].get<std::uint64_t>();
  EXPECT_GT(good, 100U);
  EXPECT_NEAR(static_cast<double>(good), static_cast<double>(errors(report, "status")), 1);
}

TEST_F(DnsProgram, BadInputIsRefusedBeforeAnythingIsStarted) {
  refused({}, "--queries: give either");
  refused({"--pattern", "h.bench.test"}, "has no {}");
  refused({"--queries", file("queries.txt"), "--order", "last"}, "neither random nor file");
  refused({"--queries", file("none.txt")}, "none.txt: No such file");
  refused({"--queries", file("queries.txt"), "--expected", file("queries.txt")},
          "queries.txt:1: expected RCODE ANSWERS DIGEST");
  folder_.write("expected.txt", "NOERROR 1 00\n");
  refused({"--queries", file("queries.txt"), "--expected", file("expected.txt")},
          "1 lines for 2 queries");
  refused({"--pattern", "h{}.bench.test", "--rate", "5"}, "add --loop open");
}

}  // namespace
}  // namespace stackrig::rigload
