// SPDX-License-Identifier: Apache-2.0
// Runs over kernel sockets against a server on loopback that may lie: threads, phases, errors, the
// report. Nothing here depends on how fast this machine is: what is compared are counts that must
// agree.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "nmio/clock.h"
#include "rigload/http_exchange.h"
#include "rigload/report.h"
#include "rigload/stream_load.h"
#include "rigload/test_kernel_server.h"
#include "runtime/errors.h"

namespace stackrig::rigload {
namespace {

using Json = nlohmann::ordered_json;

class OverKernelSockets : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() / ("rigt-kernel-" + std::to_string(::getpid()));
    std::filesystem::create_directories(root_);
    for (const auto& [path, content] : fake::files())
      std::ofstream(root_.string() + path) << content;
    options_.kernel = true;
    options_.targets = {*wire::parse_endpoint(server_.target())};
    options_.connections = 4;
    options_.warmup_s = 0.02;
    options_.duration_s = 0.1;
    options_.timeout_ms = 2000;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  /// Runs and gives the report.
  Json run(const std::string& path) {
    std::vector<UrlPath> paths = {{path, "--path"}};
    std::vector<Content> contents;
    contents.push_back(Content::map(root_.string() + *file_of(path), "--path"));
    const UrlSet urls(paths, contents, server_.target(), options_.keepalive);
    check_load_options(options_);
    const LoadResult result = run_load(
        options_,
        [&](const LaneInfo& lane) {
          return std::make_unique<HttpExchange>(
              HttpExchangeConfig{.thread = lane.index, .check_every = 1},
              std::vector<const UrlSet*>{&urls}, lane.slots);
        },
        stop_);
    return to_json(options_, result, "http");
  }
  static std::uint64_t sum(const Json& report, const char* what) {
    std::uint64_t n = 0;
    for (const Json& phase : report["phases"]) n += phase[what].get<std::uint64_t>();
    return n;
  }
  static std::uint64_t errors(const Json& report, const std::string& kind = "") {
    std::uint64_t n = 0;
    for (const Json& phase : report["phases"]) {
      for (const auto& [name, count] : phase["errors"].items()) {
        if (kind.empty() || name == kind) n += count.get<std::uint64_t>();
      }
    }
    return n;
  }
  static void expect_only(const Json& report, const char* kind) {
    EXPECT_GT(errors(report, kind), 0U) << report["phases"].dump(1);
    EXPECT_EQ(errors(report, kind), errors(report)) << kind;
    EXPECT_EQ(sum(report, "requests_completed"), 0U);
  }

  std::filesystem::path root_;
  fake::KernelServer server_;
  LoadOptions options_;
  std::atomic<bool> stop_{false};
};

TEST_F(OverKernelSockets, PersistentConnections) {
  options_.keepalive = true;
  const Json report = run("/large");
  EXPECT_EQ(errors(report), 0U);
  EXPECT_GT(sum(report, "requests_completed"), 0U);
  EXPECT_EQ(sum(report, "requests_completed"), server_.answered);
  EXPECT_EQ(sum(report, "bytes_body"), server_.answered * fake::files().at("/large").size());
  EXPECT_EQ(server_.accepted, 4U);
}

TEST_F(OverKernelSockets, AConnectionPerRequest) {
  const Json report = run("/small");
  EXPECT_EQ(errors(report), 0U);
  EXPECT_GT(sum(report, "requests_completed"), 0U);
  EXPECT_EQ(sum(report, "requests_completed"), sum(report, "connections_completed"));
  EXPECT_EQ(sum(report, "connections_opened"), server_.accepted);
}

TEST_F(OverKernelSockets, SeveralThreadsShareConnectionsAndRate) {
  options_.keepalive = true;
  options_.base.cores = {0, 0, 0};
  options_.connections = 7;
  options_.open_loop = true;
  options_.arrivals = ArrivalKind::uniform;
  options_.rate = 1000;
  const Json report = run("/small");
  while (server_.accepted < 7U) std::this_thread::yield();
  EXPECT_EQ(server_.accepted, 7U);
  EXPECT_EQ(report["phases"][1]["client"]["threads"].size(), 3U);
  EXPECT_EQ(sum(report, "requests_completed") + errors(report), 120U);  // 0.12 s of 1000 per second
  EXPECT_EQ(report["offered_rate"], 1000.0);
  EXPECT_EQ(report["arrivals"], "uniform");
}

TEST_F(OverKernelSockets, SourceAddressesAreUsedInTurn) {
  options_.base.addresses = {*wire::parse_cidr("127.0.0.7/8")};
  options_.source_addresses = 3;
  const Json report = run("/small");
  EXPECT_EQ(errors(report), 0U);
  EXPECT_GE(server_.last_source, 0x7f000007U);
  EXPECT_LE(server_.last_source, 0x7f000009U);
}

TEST_F(OverKernelSockets, SpinningMeasuresTheSame) {
  options_.base.loop.idle = nmio::LoopConfig::Idle::spin;
  options_.keepalive = true;
  const Json report = run("/small");
  EXPECT_EQ(errors(report), 0U);
  EXPECT_EQ(sum(report, "requests_completed"), server_.answered);
  const Json& client = report["phases"][1]["client"];
  EXPECT_GT(client["busy_cycles"], 0U);
  EXPECT_GT(client["idle_cycles"], 0U);
}

TEST_F(OverKernelSockets, HeldConnectionsStayOpen) {
  options_.hold = 200;
  options_.keepalive = true;
  const Json report = run("/small");
  while (server_.accepted < 204U)
    std::this_thread::yield();  // the kernel was faster than its thread
  EXPECT_EQ(server_.accepted, 204U);
  EXPECT_EQ(errors(report), 0U);
  EXPECT_EQ(report["connections_held"], 200U);
}

TEST_F(OverKernelSockets, LiesAreFoundOut) {
  expect_only(run("/large?wrong-byte"), "content");
  expect_only(run("/small?shorter-file"), "length");
  expect_only(run("/small?cut-short"), "length");
  expect_only(run("/small?too-much"), "length");
  expect_only(run("/small?error"), "status");
  expect_only(run("/small?nonsense"), "status");
}

TEST_F(OverKernelSockets, ResetsAndClosesAreCounted) {
  expect_only(run("/small?reset"), "reset");
  expect_only(run("/small?close"), "reset");
}

TEST_F(OverKernelSockets, SilenceIsATimeout) {
  options_.timeout_ms = 20;
  expect_only(run("/small?silent"), "timeout");
}

TEST_F(OverKernelSockets, NobodyListensThere) {
  // A port that was free a moment ago: a listener's, closed again.
  std::uint16_t port = 0;
  { port = fake::KernelServer().port(); }
  options_.targets = {{{INADDR_LOOPBACK}, port}};
  try {
    run("/small");
    FAIL() << "ran";
  } catch (const std::runtime_error& e) {
    EXPECT_NE(std::string(e.what()).find(": connection refused; "), std::string::npos) << e.what();
  }
}

TEST_F(OverKernelSockets, AnInterruptionGivesAPartialResult) {
  options_.keepalive = true;
  options_.duration_s = 3600;
  std::thread interrupter([&] {
    while (server_.answered < 100) std::this_thread::yield();
    stop_ = true;
  });
  const Json report = run("/small");
  interrupter.join();
  EXPECT_EQ(report["interrupted"], true);
  EXPECT_LT(report["phases"].back()["duration_s"], 3600.0);
  EXPECT_GT(sum(report, "requests_completed"), 0U);
  EXPECT_NE(to_text(report).find("interrupted: partial result"), std::string::npos);
}

// --- the report
// ------------------------------------------------------------------------------------

TEST_F(OverKernelSockets, TheReportHasWhatItsSchemaSays) {
  options_.keepalive = true;
  options_.command = {"rigload", "http"};
  const Json report = Json::parse(run("/small").dump());
  EXPECT_EQ(report["schema"], 1);
  EXPECT_EQ(report["tool"], "rigload");
  EXPECT_EQ(report["command"], Json({"rigload", "http"}));
  EXPECT_EQ(report["workload"], "http");
  EXPECT_EQ(report["mode"], "keepalive");
  EXPECT_EQ(report["loop"], "closed");
  EXPECT_TRUE(report["offered_rate"].is_null());
  EXPECT_EQ(report["connections"], 4);
  EXPECT_EQ(report["seed"], 1);
  EXPECT_EQ(report["interrupted"], false);
  ASSERT_GE(report["phases"].size(), 2U);
  EXPECT_EQ(report["phases"][0]["name"], "warmup");
  const Json& phase = report["phases"][1];
  EXPECT_EQ(phase["name"], "measure");
  EXPECT_EQ(phase["duration_s"], 0.1);
  EXPECT_EQ(phase["start_ns"].get<std::uint64_t>(),
            report["phases"][0]["start_ns"].get<std::uint64_t>() + 20'000'000);
  for (const char* name :
       {"timeout", "reset", "refused", "status", "length", "content", "connect", "unsent"}) {
    EXPECT_EQ(phase["errors"][name], 0) << name;
  }
  EXPECT_TRUE(phase["bytes_wire_rx"].is_null());  // not known here, and so not 0
  const auto requests = phase["requests_completed"].get<double>();
  EXPECT_DOUBLE_EQ(phase["rate_requests_per_s"], requests / 0.1);
  EXPECT_DOUBLE_EQ(phase["goodput_bits_per_s"], phase["bytes_body"].get<double>() * 8 / 0.1);
}

TEST_F(OverKernelSockets, TheReportsLatenciesAreThoseOfItsHistogram) {
  options_.keepalive = true;
  const Json report = run("/small");
  const Json latency = report["phases"][1]["latency_ns"];
  std::uint64_t count = 0, last = 0;
  for (const Json& bucket : latency["histogram"]["buckets"]) {
    EXPECT_TRUE(count == 0 || bucket[0].get<std::uint64_t>() > last);
    last = bucket[0];
    count += bucket[1].get<std::uint64_t>();
  }
  EXPECT_EQ(latency["histogram"]["kind"], "loglinear-6");
  EXPECT_EQ(latency["count"], count);
  EXPECT_LE(latency["min"], latency["p50"]);
  EXPECT_LE(latency["p50"], latency["p90"]);
  EXPECT_LE(latency["p90"], latency["p99"]);
  EXPECT_LE(latency["p99"], latency["p999"]);
  EXPECT_LE(latency["p999"], latency["max"]);
  EXPECT_GE(latency["mean"], latency["min"]);
}

TEST_F(OverKernelSockets, ALatencyThatWasNotMeasuredIsNull) {
  options_.timeout_ms = 20;
  const Json report = run("/small?silent");
  const Json latency = report["phases"][1]["latency_ns"];
  EXPECT_EQ(latency["count"], 0);
  EXPECT_TRUE(latency["p50"].is_null());
  EXPECT_TRUE(latency["mean"].is_null());
}

TEST_F(OverKernelSockets, AReportFileIsWrittenWhole) {
  options_.json = (root_ / "report.json").string();
  const Json report = run("/small");
  testing::internal::CaptureStdout();
  publish(report, options_);
  EXPECT_NE(testing::internal::GetCapturedStdout().find(
                "rigload http: 4 connections, close, closed loop"),
            std::string::npos);
  std::ifstream in(options_.json);
  EXPECT_EQ(Json::parse(in), report);
  EXPECT_FALSE(std::filesystem::exists(options_.json + ".part"));
}

TEST_F(OverKernelSockets, TheTelemetryPageHasTheSameCounts) {
  options_.keepalive = true;
  options_.base.telemetry = (root_ / "page").string();
  const Json report = run("/small");
  std::ifstream in(options_.base.telemetry, std::ios::binary);
  const std::string page((std::istreambuf_iterator<char>(in)), {});
  telemetry::Header header;
  ASSERT_GE(page.size(), sizeof header);
  std::memcpy(&header, page.data(), sizeof header);
  EXPECT_EQ(header.finished, 1U);
  std::uint64_t requests = ~std::uint64_t{0};
  for (std::uint32_t i = 0; i < header.entries; ++i) {
    telemetry::Entry entry;
    std::memcpy(&entry, page.data() + sizeof header + i * sizeof entry, sizeof entry);
    if (std::string(entry.name) == "q0.load.measure.requests")
      std::memcpy(&requests, page.data() + entry.offset, 8);
  }
  EXPECT_EQ(report["phases"][1]["requests_completed"], requests);
}

// --- what is refused
// -------------------------------------------------------------------------------

std::string refusal(LoadOptions& options) {
  try {
    check_load_options(options);
  } catch (const runtime::UsageError& e) {
    return e.what();
  }
  return "";
}

TEST(LoadOptions, WhatDoesNotGoTogetherIsRefusedByName) {
  LoadOptions o;
  EXPECT_EQ(refusal(o).find("--target: none given; "), 0U);
  o.targets = {{{0x7f000001}, 80}};
  EXPECT_EQ(refusal(o).find("--port: none given; "), 0U);
  o.kernel = true;
  EXPECT_EQ(refusal(o), "");
  o.base.ports = {"shm:x"};
  EXPECT_EQ(refusal(o).find("--kernel: excludes --port; "), 0U);
  o.base.ports.clear();
  o.open_loop = true;
  EXPECT_EQ(refusal(o).find("--loop open: needs a rate; "), 0U);
  o.open_loop = false;
  o.rate = 5;
  EXPECT_EQ(refusal(o).find("--rate: a closed loop "), 0U);
  o.rate.reset();
  o.source_addresses = 2;
  EXPECT_EQ(refusal(o).find("--source-addresses: needs --address; "), 0U);
  o.source_addresses = 1;
  o.base.cores = {0, 1};
  EXPECT_EQ(refusal(o).find("--connections 1: fewer than threads"), 0U);
}

TEST(LoadOptions, TheQueueHoldsWhatIsDueWithinATimeout) {
  LoadOptions o;
  o.rate = 1e5;
  o.timeout_ms = 500;
  EXPECT_EQ(o.queue_bound(), 50'000U);
  o.rate = 1;
  EXPECT_EQ(o.queue_bound(), 1024U);
  o.rate = 1e9;
  EXPECT_EQ(o.queue_bound(), std::size_t{1} << 22);
  o.queue = 7;
  EXPECT_EQ(o.queue_bound(), 7U);
}

}  // namespace
}  // namespace stackrig::rigload
