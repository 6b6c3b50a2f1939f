// SPDX-License-Identifier: Apache-2.0
// Merges what the lanes counted and writes it down.
#include "rigload/report.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "nmio/clock.h"
#include "runtime/errors.h"

namespace stackrig::rigload {
namespace {

using Json = nlohmann::ordered_json;

/// A client above this share of its core may be what limits the result.
constexpr double kSaturatedFrom = 0.9;

double ratio(std::uint64_t part, std::uint64_t rest) {
  return part + rest == 0 ? 0 : static_cast<double>(part) / static_cast<double>(part + rest);
}

Json histogram_json(const telemetry::HistogramData& h) {
  Json buckets = Json::array();
  for (unsigned b = 0; b < telemetry::HistogramData::kBuckets; ++b) {
    if (h.buckets[b] != 0)
      buckets.push_back({telemetry::HistogramData::lower_bound(b), h.buckets[b]});
  }
  return {{"kind", "loglinear-" + std::to_string(telemetry::HistogramData::kSubBits)},
          {"buckets", buckets}};
}

/// null where nothing was measured: a zero would be a claim.
Json latency_json(const PhaseStats& stats) {
  const telemetry::HistogramData& h = stats.latency;
  const bool any = h.count != 0;
  const auto quantile = [&](double q) { return any ? Json(h.quantile(q)) : Json(); };
  return {{"count", h.count},
          {"censored", stats.censored},
          {"censored_wait_max", stats.censored != 0 ? Json(stats.censored_wait_max) : Json()},
          {"min", any ? Json(h.min) : Json()},
          {"max", any ? Json(h.max) : Json()},
          {"mean", any ? Json(static_cast<double>(h.sum) / static_cast<double>(h.count)) : Json()},
          {"p50", quantile(0.5)},
          {"p90", quantile(0.9)},
          {"p99", quantile(0.99)},
          {"p999", quantile(0.999)},
          {"histogram", histogram_json(h)}};
}

Json client_json(const LoadResult& r, unsigned phase) {
  Usage sum;
  Json threads = Json::array();
  double busiest = 0;
  for (const LaneResult& lane : r.lanes) {
    const Usage& u = lane.used[phase];
    sum.busy_cycles += u.busy_cycles;
    sum.idle_cycles += u.idle_cycles;
    if (u.busy_cycles + u.idle_cycles == 0) continue;  // not the first lane of its thread
    const double busy = ratio(u.busy_cycles, u.idle_cycles);
    busiest = std::max(busiest, busy);
    threads.push_back({{"thread", lane.thread}, {"busy_ratio", busy}});
  }
  return {{"busy_ratio", ratio(sum.busy_cycles, sum.idle_cycles)},
          {"busiest_thread_ratio", busiest},
          {"busy_cycles", sum.busy_cycles},
          {"idle_cycles", sum.idle_cycles},
          {"cycles_per_second", nmio::Clock::cycles_per_second()},
          {"threads", threads}};
}

struct Window {
  Time begin, end;
  [[nodiscard]] double seconds() const { return static_cast<double>(end - begin) / 1e9; }
};

/// When a phase was; false where it was not.
bool window_of(const LoadResult& r, unsigned phase, Window& out) {
  const std::array<Time, kPhases + 1> begins = {r.schedule.start, r.schedule.measure,
                                                r.schedule.drain, r.ended};
  out = {begins[phase], std::min(begins[phase + 1], r.ended)};
  return r.schedule.start != nmio::kNever && (out.begin < out.end);
}

Json phase_json(const LoadResult& r, unsigned phase, const Window& window) {
  const auto all = std::make_unique<PhaseStats>();
  Usage wire;
  for (const LaneResult& lane : r.lanes) {
    all->merge((*lane.stats)[phase]);
    wire.wire_rx_bytes += lane.used[phase].wire_rx_bytes;
    wire.wire_tx_bytes += lane.used[phase].wire_tx_bytes;
  }
  Json errors;
  for (unsigned e = 0; e < kErrorKinds; ++e) errors[kErrorNames[e]] = all->errors[e];
  const double s = window.seconds();
  return {{"name", kPhaseNames[phase]},
          {"start_ns", window.begin},
          {"duration_s", s},
          {"requests_completed", all->requests},
          {"connections_completed", all->connections},
          {"connections_opened", all->connections_opened},
          {"bytes_body", all->body_bytes},
          {"answers_unasked", all->unasked},
          {"bytes_wire_rx", r.knows_wire_bytes ? Json(wire.wire_rx_bytes) : Json()},
          {"bytes_wire_tx", r.knows_wire_bytes ? Json(wire.wire_tx_bytes) : Json()},
          {"errors", errors},
          {"rate_requests_per_s", static_cast<double>(all->requests) / s},
          {"rate_connections_per_s", static_cast<double>(all->connections) / s},
          {"goodput_bits_per_s", 8 * static_cast<double>(all->body_bytes) / s},
          {"latency_ns", latency_json(*all)},
          {"client", client_json(r, phase)}};
}

Json targets_json(const LoadOptions& o) {
  Json targets = Json::array();
  for (const wire::Endpoint& t : o.targets) targets.push_back(wire::to_string(t));
  return targets;
}

std::string with_unit(double v, const char* unit) {
  static constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T"};
  unsigned p = 0;
  for (; v >= 1000 && p < 4; ++p) v /= 1000;
  char text[64];
  std::snprintf(text, sizeof text, "%.4g %s%s", v, kPrefixes[p], unit);
  return text;
}

std::string time_text(const Json& ns) {
  if (ns.is_null()) return "-";
  const double v = ns.get<double>();
  char text[32];
  if (v < 1e6) {
    std::snprintf(text, sizeof text, "%.1f us", v / 1e3);
  } else {
    std::snprintf(text, sizeof text, "%.2f ms", v / 1e6);
  }
  return text;
}

std::string errors_text(const Json& errors) {
  std::string text;
  for (const auto& [name, count] : errors.items()) {
    if (count != 0)
      text += (text.empty() ? "" : ", ") + std::to_string(count.get<std::uint64_t>()) + " " + name;
  }
  return text;
}

std::string phase_text(const Json& phase) {
  const Json& latency = phase["latency_ns"];
  const double busy = phase["client"]["busiest_thread_ratio"];
  char line[160];
  std::snprintf(line, sizeof line, "  %-8s %8.3f s  ", phase["name"].get<std::string>().c_str(),
                phase["duration_s"].get<double>());
  std::string text = line + with_unit(phase["rate_requests_per_s"], "req/s") + ", " +
                     with_unit(phase["goodput_bits_per_s"], "bit/s");
  text += "; latency p50 " + time_text(latency["p50"]) + ", p99 " + time_text(latency["p99"]) +
          ", max " + time_text(latency["max"]);
  if (latency["censored"] != 0) {
    text += " (without " + std::to_string(latency["censored"].get<std::uint64_t>()) +
            " that were not answered)";
  }
  std::snprintf(line, sizeof line, "; client %.0f %% busy\n", busy * 100);
  text += line;
  const std::string errors = errors_text(phase["errors"]);
  if (!errors.empty()) text += "           errors: " + errors + "\n";
  if (busy >= kSaturatedFrom && phase["name"] == "measure") {
    text +=
        "           the client's core is busy: this may be the client's limit and not the "
        "server's\n";
  }
  return text;
}

}  // namespace

Json to_json(const LoadOptions& o, const LoadResult& r, const std::string& workload) {
  Json phases = Json::array();
  for (unsigned p = 0; p < kPhases; ++p) {
    Window window{};
    if (window_of(r, p, window)) phases.push_back(phase_json(r, p, window));
  }
  Json report = {
      {"schema", kReportSchema},
      {"tool", "rigload"},
      {"command", o.command},
      {"workload", workload},
      {"loop", o.open_loop ? "open" : "closed"},
      {"arrivals",
       o.open_loop ? Json(o.arrivals == ArrivalKind::poisson ? "poisson" : "uniform") : Json()},
      {"offered_rate", o.rate ? Json(*o.rate) : Json()},
      {o.slots_word.substr(2), o.connections},
      {"targets", targets_json(o)},
      {"transport", o.kernel ? "kernel" : "nmio"},
      {"ports", r.transports},
      {"timeout_ms", o.timeout_ms},
      {"seed", o.seed},
      {"interrupted", r.interrupted},
      {"phases", phases}};
  if (o.slots_word == "--connections") {
    report["mode"] = o.keepalive ? "keepalive" : "close";
    report["connections_held"] = o.hold;
  }
  return report;
}

std::string to_text(const Json& report) {
  std::string slots = "connections";
  for (const char* other : {"outstanding", "senders"}) {
    if (report.contains(other)) slots = other;
  }
  std::string text = "rigload " + report["workload"].get<std::string>() + ": " +
                     std::to_string(report[slots].get<std::uint64_t>()) + " " + slots + ", " +
                     (report.contains("mode") ? report["mode"].get<std::string>() + ", " : "") +
                     report["loop"].get<std::string>() + " loop";
  if (!report["offered_rate"].is_null())
    text += " at " + with_unit(report["offered_rate"], "req/s");
  text += report["interrupted"] ? " (interrupted: partial result)\n" : "\n";
  for (const Json& phase : report["phases"]) text += phase_text(phase);
  return text;
}

void check_json_path(const std::string& file) {
  if (file.empty() || file == "-") return;
  std::filesystem::path folder = std::filesystem::path(file).parent_path();
  if (folder.empty()) folder = ".";
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw runtime::UsageError("--json " + file + ": " + std::strerror(errno) +
                              "; name a file in a folder that can be written");
  }
  if (std::filesystem::is_directory(file)) {
    throw runtime::UsageError("--json " + file + ": is a folder; name a file");
  }
}

void write_report(const Json& report, const std::string& file) {
  const std::string partial = file + ".part";
  std::ofstream out(partial);
  out << report.dump() << "\n";
  out.close();
  if (!out || std::rename(partial.c_str(), file.c_str()) != 0) {
    throw std::runtime_error("--json " + file + ": " + std::strerror(errno) +
                             "; the result was not written");
  }
}

void publish(const Json& report, const LoadOptions& o) {
  if (o.json == "-") {
    std::cout << report.dump() << "\n" << std::flush;
    std::cerr << to_text(report);
    return;
  }
  std::cout << to_text(report) << std::flush;
  if (!o.json.empty()) write_report(report, o.json);
}

}  // namespace stackrig::rigload
