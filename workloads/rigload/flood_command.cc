// SPDX-License-Identifier: Apache-2.0
// rigload flood: hostile load beside a real one, at a rate that is said, on a testbed's own wire.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "nmio/clock.h"
#include "nmio/loop.h"
#include "rigload/flood.h"
#include "rigload/http_urls.h"
#include "rigload/report.h"
#include "rigload/subcommand.h"
#include "runtime/errors.h"
#include "runtime/ports.h"
#include "runtime/process.h"

namespace stackrig::rigload {
namespace {

using runtime::UsageError;

constexpr double kMostRate = 2e6;
constexpr std::size_t kLongestPath = 1000;   ///< a request is one segment
constexpr Time kGiveUp = 3 * nmio::kSecond;  ///< where nobody answers ARP for the target

struct FloodOptions {
  runtime::Options base;
  std::string kind;
  std::string target;
  std::uint32_t addresses = 1;
  std::optional<std::uint32_t> flows;
  double rate = 10'000;
  double duration_s = 10;
  std::uint64_t seed = 1;
  std::string path = "/";
  std::string json;
};

bool is_private(wire::Ipv4Address a) {  // RFC 1918
  return a.value >> 24 == 10 || a.value >> 20 == 0xac1 || a.value >> 16 == 0xc0a8;
}

/// A flood goes to a neighbour on the port's own wire and nowhere else.
wire::Endpoint target_of(const FloodOptions& o, const wire::Ipv4Cidr& own) {
  const auto target = wire::parse_endpoint(o.target);
  if (!target) {
    throw UsageError("--target: '" + o.target +
                     "' is not an address and a port; give one, as 10.77.0.2:80");
  }
  const std::string named = "--target " + wire::to_string(target->address);
  if (own.prefix < 16 || own.prefix > 30) {
    throw UsageError(
        "--address: a flood stays on its own wire; give the wire's prefix, /16 to /30");
  }
  if (!own.contains(target->address)) {
    throw UsageError(named + ": not on the port's own subnet (" + wire::to_string(own.address) +
                     "/" + std::to_string(own.prefix) +
                     "); a flood goes to a neighbour on its own wire only");
  }
  if (!is_private(target->address)) {
    throw UsageError(named +
                     ": not a private address (RFC 1918); a flood is for a testbed's own servers");
  }
  const std::uint32_t host = target->address.value & ~own.mask();
  if (host == 0 || host == ~own.mask()) {
    throw UsageError(named + ": the subnet's own or broadcast address; name a server");
  }
  if ((own.address.value & ~own.mask()) + o.addresses > ~own.mask()) {
    throw UsageError("--source-addresses " + std::to_string(o.addresses) + ": from " +
                     wire::to_string(own.address) + " on they go beyond the subnet; give fewer");
  }
  if (target->address.value - own.address.value < o.addresses) {
    throw UsageError(named + ": one of our own addresses; name a server");
  }
  return *target;
}

FloodKind kind_of(const std::string& word) {
  const auto kinds = flood_kinds();
  const auto at = std::find(kinds.begin(), kinds.end(), word);
  if (at == kinds.end()) {
    throw UsageError("--kind: there is no '" + word + "'; " + runtime::nearest(word, kinds));
  }
  return static_cast<FloodKind>(at - kinds.begin());
}

void check(FloodOptions& o, const FloodConfig& config) {
  if (o.base.ports.size() != 1) {
    throw UsageError("--port: a flood has one; " + std::to_string(o.base.ports.size()) + " given");
  }
  runtime::check_ports(o.base);
  runtime::check_ready_fd(o.base.ready_fd);
  check_json_path(o.json);
  if (!o.base.gateway.is_unspecified()) {
    throw UsageError("--gateway: a flood stays on its own wire; take it out");
  }
  if (!(o.rate > 0) || o.rate > kMostRate) {
    throw UsageError("--rate: give more than 0 and at most 2000000 per second");
  }
  if (!(o.duration_s > 0) || o.duration_s > 3600) {
    throw UsageError("--duration: give more than 0 and at most 3600 seconds");
  }
  check_path({o.path, "--path"});
  if (o.path.size() > kLongestPath) {
    throw UsageError("--path: has " + std::to_string(o.path.size()) +
                     " characters; a request is one segment, give at most 1000");
  }
  const std::uint64_t most = std::uint64_t{config.addresses} * Flood::kPorts;
  if (config.flows == 0 || config.flows > most) {
    throw UsageError("--flows: give 1 to " + std::to_string(most) +
                     ", all ports of all --source-addresses");
  }
}

/// Ends the loop when its time is over, or when nobody is there to be flooded.
struct TimedFlood {
  Flood& flood;
  Time length;
  Time give_up;
  int ready_fd;
  std::atomic<bool>& stop;

  void on_burst(std::span<const nmio::RxPacket> burst, Time now) { flood.on_burst(burst, now); }
  void on_idle(Time now) {
    flood.on_idle(now);
    if (now >= end()) stop = true;
    if (!flood.is_running()) return;
    if (ready_fd >= 0) runtime::announce_ready(ready_fd);
    ready_fd = -1;
  }
  [[nodiscard]] Time next_deadline() const { return std::min(flood.next_deadline(), end()); }
  [[nodiscard]] Time end() const { return flood.is_running() ? flood.began() + length : give_up; }
};

class FloodCommand final : public Subcommand {
 public:
  FloodCommand() : Subcommand("flood", "hostile load on a server of the testbed's own wire") {}

  void add_words(CLI::App& app) override {
    FloodOptions& o = options_;
    runtime::add_options(app, o.base);
    app.add_option("--kind", o.kind,
                   "syn, ack, sack, tiny-window, slow-read, half-open, port-reuse")
        ->required();
    app.add_option("--target", o.target, "server, on the port's own subnet")
        ->type_name("IP:PORT")
        ->required();
    app.add_option("--rate", o.rate, "per second: segments, openings, or turns of slow clients")
        ->capture_default_str();
    app.add_option("--flows", o.flows,
                   "pairs of address and port, used in turn (default: all for syn, ack and "
                   "half-open, else 1000)");
    app.add_option("--source-addresses", o.addresses, "our addresses, from --address on")
        ->check(CLI::Range(1U, 200U))
        ->capture_default_str();
    app.add_option("--duration", o.duration_s, "seconds")->capture_default_str();
    app.add_option("--path", o.path, "URL path, where something is asked for")
        ->capture_default_str();
    app.add_option("--seed", o.seed)->capture_default_str();
    app.add_option("--json", o.json, "file for the result; - for stdout")->type_name("FILE");
  }

  int run(const std::vector<std::string>& command) override {
    FloodOptions& o = options_;
    FloodConfig config = config_of();
    check(o, config);
    config.target = target_of(o, o.base.addresses[0]);
    runtime::start_logging("rigload", o.base.log_level);
    if (o.addresses > 1 && o.base.ports[0].starts_with("afxdp:")) {
      o.base.ports[0] =
          runtime::with_uri_key(o.base.ports[0], "addresses", std::to_string(o.addresses));
    }
    auto ports = runtime::open_ports(o.base);
    nmio::Port& port = *ports[0].port;
    if (!o.base.cores.empty()) runtime::pin_to_core(o.base.cores[0]);
    config.address = ports[0].address;
    config.mac = runtime::mac_of(port);
    config.mtu = port.mtu();
    const auto batch = std::make_unique<nmio::TxBatch>();
    Flood flood(config, port.queue(0).memory(), *batch);
    const Time began = nmio::Clock::now();
    TimedFlood app{flood, static_cast<Time>(o.duration_s * 1e9), began + kGiveUp, o.base.ready_fd,
                   runtime::stop_flag()};
    nmio::LoopCounters loop;
    nmio::run(port.queue(0), *batch, app, o.base.loop, loop, runtime::stop_flag());
    if (!flood.is_running()) {
      throw std::runtime_error(o.target + ": nobody answers ARP for it; is the server up?");
    }
    tell(flood, static_cast<double>(nmio::Clock::now() - std::max(began, flood.began())) / 1e9,
         command);
    return runtime::kExitOk;
  }

 private:
  [[nodiscard]] FloodConfig config_of() const {
    FloodConfig c;
    c.kind = kind_of(options_.kind);
    c.addresses = options_.addresses;
    const bool any_flow =
        c.kind == FloodKind::syn || c.kind == FloodKind::ack || c.kind == FloodKind::half_open;
    c.flows = options_.flows.value_or(any_flow ? c.addresses * Flood::kPorts : 1000);
    c.rate = options_.rate;
    c.path = options_.path;
    c.seed = options_.seed;
    return c;
  }

  void tell(const Flood& flood, double seconds, const std::vector<std::string>& command) const {
    const FloodCounters& c = flood.counters();
    const nlohmann::ordered_json report = {{"schema", kReportSchema},
                                           {"workload", "flood"},
                                           {"kind", options_.kind},
                                           {"target", options_.target},
                                           {"rate", options_.rate},
                                           {"duration_s", seconds},
                                           {"steps", c.steps},
                                           {"steps_rate", static_cast<double>(c.steps) / seconds},
                                           {"segments_sent", c.sent},
                                           {"connections_opened", c.opened},
                                           {"connections_completed", c.completed},
                                           {"segments_received", c.received},
                                           {"resets_received", c.resets},
                                           {"steps_put_off", c.no_room},
                                           {"command", command}};
    if (options_.json == "-") {
      std::cout << report.dump() << "\n" << std::flush;
    } else if (!options_.json.empty()) {
      write_report(report, options_.json);
    }
    std::cerr << "flood " << options_.kind << ": " << c.steps << " steps in " << seconds << " s, "
              << c.sent << " segments sent, " << c.opened << " connections opened, " << c.resets
              << " resets\n";
  }

  FloodOptions options_;
};

FloodCommand flood_command;  // NOLINT(cert-err58-cpp): registers itself

}  // namespace
}  // namespace stackrig::rigload
