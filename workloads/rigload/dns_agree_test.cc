// SPDX-License-Identifier: Apache-2.0
// dnsperf, rigload dns over kernel sockets and rigload dns over AF_XDP measure the same on one NSD.
//
// Each offers kRate queries per second, far below what any of them or NSD can make, so that what
// they say does not depend on this machine's speed: every query must have its answer, all must be
// seen to be answers, and the rate must be kRate. Latency is left out: at such a rate it is that of
// waking up, and thus the machine's.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "nmio/afxdp/test_wire.h"
#include "rigload/test_process.h"

namespace stackrig::rigload {
namespace {

using fake::Folder;
using fake::Process;
using nmio::test::VethWire;
using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

constexpr unsigned kNames = 50;
constexpr unsigned kRate = 500;  // 1/s
constexpr unsigned kSeconds = 2;
constexpr double kFactor = 1.25;

struct Measured {
  double rate = 0;  ///< of answers, 1/s
  std::uint64_t answers = 0;
  std::uint64_t unanswered = 0;
  std::uint64_t unsent = 0;  ///< due while the client itself was not run
};

class DnsAgree : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    for (const char* program : {"nsd", "dnsperf"}) {
      if (std::system((std::string("command -v ") + program + " >/dev/null").c_str()) != 0) {
        GTEST_SKIP() << program << " is not installed";
      }
    }
    wire_ = std::make_unique<VethWire>();
    write_zone();
    start_nsd();
  }

  void write_zone() {
    std::string zone =
        "$ORIGIN bench.test.\n$TTL 3600\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\n"
        "ns1 A 192.0.2.1\n";
    std::string queries;
    for (unsigned i = 0; i < kNames; ++i) {
      const std::string name = "h" + std::to_string(i);
      zone += name + " A 192.0.2." + std::to_string(2 + i) + "\n";
      queries += name + ".bench.test A\n";
    }
    folder_.write("bench.zone", zone);
    folder_.write("queries.txt", queries);
  }

  void start_nsd() {
    const std::string at = folder_.path();
    folder_.write("nsd.conf",
                  "server:\n  ip-address: 10.99.0.2@53\n  server-count: 1\n"
                  "  username: \"\"\n  chroot: \"\"\n  database: \"\"\n"
                  "  xfrdfile: \"\"\n  rrl-ratelimit: 0\n  zonesdir: \"" +
                      at + "\"\n  xfrdir: \"" + at + "\"\n  pidfile: \"" + at +
                      "/nsd.pid\"\n  zonelistfile: \"" + at +
                      "/zone.list\"\nremote-control:\n  control-enable: no\n"
                      "zone:\n  name: bench.test\n  zonefile: bench.zone\n");
    nsd_ = wire_->in_b([&] {
      return std::make_unique<Process>(Words{"nsd", "-d", "-c", at + "/nsd.conf"});
    });
    // One answer, so that it is known to be there: dnsperf ends well only when nothing was lost.
    folder_.write("one.txt", "h0.bench.test A\n");
    const std::string look = "for i in $(seq 100); do dnsperf -s 10.99.0.2 -d " + at +
                             "/one.txt -n 1 -t 0.2 2>&1 | grep -q 'completed: *1 ' && exit 0; "
                             "sleep 0.05; done; exit 1";
    ASSERT_EQ(wire_->in_a([&] { return std::system(look.c_str()); }), 0) << nsd_->complained();
  }

  Measured with_rigload(const Words& through) {
    Words words = {RIGLOAD,         "dns",
                   "--target",      "10.99.0.2:53",
                   "--queries",     folder_ / "queries.txt",
                   "--order",       "file",
                   "--outstanding", "100",
                   "--loop",        "open",
                   "--arrivals",    "uniform",
                   "--rate",        std::to_string(kRate),
                   "--timeout-ms",  "5000",
                   "--warmup",      "0.5",
                   "--duration",    std::to_string(kSeconds),
                   "--json",        "-"};
    words.insert(words.end(), through.begin(), through.end());
    const auto client = wire_->in_a([&] { return std::make_unique<Process>(words); });
    EXPECT_EQ(client->wait(), 0) << client->complained();
    const Json report = Json::parse(client->said(), nullptr, false);
    if (report.is_discarded()) return {};
    const Json& phase = report["phases"][1];
    Measured m{.rate = phase["rate_requests_per_s"]};
    // Of all that became due in the window, whenever the answer came.
    m.answers = phase["latency_ns"]["count"];
    for (const Json& one : report["phases"]) {
      for (const auto& [name, count] : one["errors"].items()) {
        if (name == "unsent") {  // due when this process was not run: it is no answer's fault
          m.unsent += count.get<std::uint64_t>();
          continue;
        }
        EXPECT_EQ(count, 0) << one["name"] << " " << name;
        m.unanswered += count.get<std::uint64_t>();
      }
      EXPECT_EQ(one["answers_unasked"], 0) << one["name"];
    }
    return m;
  }

  /// So many runs through the file, and not a time: it then waits for the last answer.
  Measured with_dnsperf() {
    const auto client = wire_->in_a([&] {
      return std::make_unique<Process>(Words{"dnsperf", "-s", "10.99.0.2", "-d",
                                             folder_ / "queries.txt", "-Q", std::to_string(kRate),
                                             "-n", std::to_string(kRate * kSeconds / kNames)});
    });
    EXPECT_EQ(client->wait(), 0) << client->complained();
    const std::string said = client->said();
    const auto found = [&](const char* what) {
      std::smatch match;
      EXPECT_TRUE(std::regex_search(said, match, std::regex(std::string(what) + " +([0-9.]+)")))
          << what << "\n"
          << said;
      return match.empty() ? 0.0 : std::stod(match[1]);
    };
    Measured m{.rate = found("Queries per second:")};
    m.answers = static_cast<std::uint64_t>(found("NOERROR"));
    m.unanswered = static_cast<std::uint64_t>(found("Queries sent:")) - m.answers;
    return m;
  }

  static void expect_agreement(const Measured& m, const char* who) {
    EXPECT_EQ(m.unanswered, 0U) << who;
    EXPECT_GT(m.rate, kRate / kFactor) << who;
    EXPECT_LT(m.rate, kRate * kFactor) << who;
    EXPECT_EQ(m.answers + m.unsent, kRate * kSeconds) << who;
    EXPECT_LT(m.unsent, kRate * kSeconds / 20) << who;
  }

  Folder folder_;
  std::unique_ptr<VethWire> wire_;
  std::unique_ptr<Process> nsd_;
};

TEST_F(DnsAgree, DnsperfSeesEveryAnswerAtTheRate) {
  expect_agreement(with_dnsperf(), "dnsperf");
}

TEST_F(DnsAgree, KernelSocketsSeeEveryAnswerAtTheRate) {
  expect_agreement(with_rigload({"--kernel"}), "rigload --kernel");
}

TEST_F(DnsAgree, AfxdpSeesEveryAnswerAtTheRate) {
  expect_agreement(with_rigload({"--port", "afxdp:va", "--address", "10.99.0.101/24"}),
                   "rigload --port afxdp");
}

}  // namespace
}  // namespace stackrig::rigload
