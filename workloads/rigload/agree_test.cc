// SPDX-License-Identifier: Apache-2.0
// rigload over kernel sockets, rigload over AF_XDP and wrk measure the same on one nginx.
//
// nginx itself sets the pace: it delays what goes beyond kRate requests per second (limit_req), far
// below what any of the three can make. So each must see kRate, and by Little's law a mean latency
// of kConnections / kRate, however fast this machine is at the moment. They agree where none is
// further than kFactor from that.
#include <gtest/gtest.h>
#include <unistd.h>

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

constexpr double kRate = 500;
constexpr unsigned kConnections = 20;
constexpr double kFactor = 1.25;
constexpr double kLatency = kConnections / kRate;  // s

struct Measured {
  double rate = 0;     ///< 1/s
  double latency = 0;  ///< mean, s
};

class Agree : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    for (const char* program : {"nginx", "wrk"}) {
      if (std::system((std::string("command -v ") + program + " >/dev/null").c_str()) != 0) {
        GTEST_SKIP() << program << " is not installed";
      }
    }
    wire_ = std::make_unique<VethWire>();
    start_nginx();
  }

  void start_nginx() {
    const std::string at = folder_.path();
    folder_.write("f", std::string(512, 'x'));
    std::string conf = "daemon off; master_process off; error_log " + at + "/error; pid " + at +
                       "/pid;\n" +
                       "events { worker_connections 1024; }\nhttp { access_log off; root " + at +
                       ";\n" + "keepalive_requests 1000000;\n";
    for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
      conf += std::string(kind) + "_temp_path " + at + "/temp;\n";
    }
    conf += "limit_req_zone $host zone=all:1m rate=" + std::to_string(static_cast<int>(kRate)) +
            "r/s;\n" + "server { listen 10.99.0.2:80; limit_req zone=all burst=1000; } }\n";
    folder_.write("conf", conf);
    nginx_ = wire_->in_b([&] {
      return std::make_unique<Process>(Words{"nginx", "-p", at, "-c", at + "/conf"});
    });
    // Answers once, so that it is known to be there.
    const std::string look =
        "for i in $(seq 100); do curl -sf -m 1 -o /dev/null http://10.99.0.2/f && exit 0; sleep "
        "0.05; done; exit 1";
    ASSERT_EQ(wire_->in_a([&] { return std::system(look.c_str()); }), 0)
        << fake::read_whole(folder_ / "error");
  }

  Measured with_rigload(const Words& through) {
    Words words = {RIGLOAD,          "http",
                   "--target",       "10.99.0.2:80",
                   "--path",         "/f",
                   "--mode",         "keepalive",
                   "--connections",  std::to_string(kConnections),
                   "--warmup",       "0.5",
                   "--duration",     "2",
                   "--json",         "-",
                   "--content-root", folder_.path(),
                   "--check-every",  "1"};
    words.insert(words.end(), through.begin(), through.end());
    const auto client = wire_->in_a([&] { return std::make_unique<Process>(words); });
    EXPECT_EQ(client->wait(), 0) << client->complained();
    const Json report = Json::parse(client->said(), nullptr, false);
    if (report.is_discarded()) return {};
    const Json& phase = report["phases"][1];
    for (const auto& [name, count] : phase["errors"].items()) EXPECT_EQ(count, 0) << name;
    return {phase["rate_requests_per_s"], phase["latency_ns"]["mean"].get<double>() / 1e9};
  }

  Measured with_wrk() {
    const auto client = wire_->in_a([&] {
      return std::make_unique<Process>(
          Words{"wrk", "-t1", "-c" + std::to_string(kConnections), "-d3", "http://10.99.0.2/f"});
    });
    EXPECT_EQ(client->wait(), 0) << client->complained();
    const std::string said = client->said();
    std::smatch latency, rate;
    EXPECT_TRUE(std::regex_search(said, latency, std::regex("Latency +([0-9.]+)(us|ms|s)")))
        << said;
    EXPECT_TRUE(std::regex_search(said, rate, std::regex("Requests/sec: +([0-9.]+)"))) << said;
    const double unit = latency[2] == "us" ? 1e-6 : latency[2] == "ms" ? 1e-3 : 1;
    return {std::stod(rate[1]), std::stod(latency[1]) * unit};
  }

  static void expect_agreement(const Measured& m, const char* who) {
    EXPECT_GT(m.rate, kRate / kFactor) << who;
    EXPECT_LT(m.rate, kRate * kFactor) << who;
    EXPECT_GT(m.latency, kLatency / kFactor) << who;
    EXPECT_LT(m.latency, kLatency * kFactor) << who;
  }

  Folder folder_;
  std::unique_ptr<VethWire> wire_;
  std::unique_ptr<Process> nginx_;
};

TEST_F(Agree, KernelSocketsWithNginxsPace) {
  expect_agreement(with_rigload({"--kernel"}), "rigload --kernel");
}

TEST_F(Agree, AfxdpWithNginxsPace) {
  const Words port = {"--port",         "afxdp:va",           "--address",
                      "10.99.0.101/24", "--source-addresses", "2"};
  expect_agreement(with_rigload(port), "rigload --port afxdp");
}

TEST_F(Agree, WrkWithNginxsPace) {
  expect_agreement(with_wrk(), "wrk");
}

}  // namespace
}  // namespace stackrig::rigload
