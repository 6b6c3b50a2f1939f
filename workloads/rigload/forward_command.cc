// SPDX-License-Identifier: Apache-2.0
// rigload forward: Thrift messages through a forwarder, from many senders to many sinks (Slick
// 3.3.1), every one accounted for.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "rigload/forward_sockets.h"
#include "rigload/load_options.h"
#include "rigload/load_run.h"
#include "rigload/report.h"
#include "rigload/subcommand.h"
#include "runtime/errors.h"
#include "runtime/process.h"

namespace stackrig::rigload {
namespace {

using runtime::UsageError;

struct ForwardOptions {
  LoadOptions load;
  ForwardShape shape;
  std::uint64_t messages = 0;
  wire::Endpoint first_sink;  ///< --sink-address, --sink-port
  std::string sink_address;
};

/// One thread has all senders and sinks: it checks order across them, and costs little.
class ForwardLanes final : public LaneMaker {
 public:
  ForwardLanes(const ForwardOptions& options, ForwardTotals& totals)
      : options_(options), totals_(totals) {}

  std::unique_ptr<SocketLane> socket_lane(const LaneParts& lane) override {
    const ForwardSocketLane::Config config{
        .target = kernel_targets(options_.load).front(),
        .first_sink = options_.first_sink,
        .spin = options_.load.base.loop.idle == nmio::LoopConfig::Idle::spin};
    return std::make_unique<ForwardSocketLane>(config, forward_config(), *lane.control,
                                               *lane.stats);
  }

  std::unique_ptr<QueueLane> queue_lane(const LaneParts& /*lane*/,
                                        const QueuePlace& /*place*/) override {
    throw UsageError("--port: this load runs on kernel sockets only; use --kernel");
  }

 private:
  [[nodiscard]] ForwardConfig forward_config() const {
    const LoadOptions& o = options_.load;
    return {.shape = options_.shape,
            .messages = options_.messages,
            .warmup = o.warmup(),
            .duration = o.duration(),
            .timeout = o.timeout(),
            .target = wire::to_string(o.targets.front()),
            .totals = &totals_};
  }

  const ForwardOptions& options_;
  ForwardTotals& totals_;
};

class ForwardCommand final : public Subcommand {
 public:
  ForwardCommand()
      : Subcommand("forward", "Thrift messages through a forwarder, every one accounted for") {
    options_.load.slots_word = "--senders";
  }

  void add_words(CLI::App& app) override {
    add_run_options(app, options_.load);
    app.add_option("--senders", options_.shape.senders, "Connections that send")
        ->type_name("N")
        ->capture_default_str()
        ->check(CLI::Range(1U, kMostSenders));
    app.add_option("--sinks", options_.shape.sinks, "Backends that receive")
        ->type_name("N")
        ->capture_default_str()
        ->check(CLI::Range(1U, kMostSinks));
    app.add_option("--size", options_.shape.payload, "Bytes of a message's payload")
        ->type_name("N")
        ->capture_default_str()
        ->check(CLI::Range(0U, kMostPayload));
    app.add_option("--messages", options_.messages,
                   "Send so many in all, in place of --warmup and --duration")
        ->type_name("N")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
    add_sinks(app);
  }

  int run(const std::vector<std::string>& command) override {
    options_.load.command = command;
    options_.load.connections = options_.shape.senders;
    options_.shape.seed = options_.load.seed;
    runtime::start_logging("rigload", options_.load.base.log_level);
    check();
    ForwardTotals totals;
    ForwardLanes lanes(options_, totals);
    const LoadResult result = run_lanes(options_.load, lanes, runtime::stop_flag());
    auto report = to_json(options_.load, result, "forward");
    report["sinks"] = options_.shape.sinks;
    report["payload"] = options_.shape.payload;
    report["messages_sent"] = totals.sent;
    report["messages_arrived"] = totals.arrived;
    report["content_checked"] = true;
    publish(report, options_.load);
    return result.interrupted ? runtime::kExitFailed : runtime::kExitOk;
  }

 private:
  void add_sinks(CLI::App& app) {
    app.add_option_function<std::string>(
           "--sink-address",
           [this](const std::string& v) {
             const auto a = wire::parse_ipv4(v);
             if (!a) throw CLI::ValidationError("--sink-address", "'" + v + "' is not an address");
             options_.first_sink.address = *a;
             options_.sink_address = v;
           },
           "Address of this machine that the forwarder reaches: sinks listen there")
        ->type_name("IP");
    app.add_option("--sink-port", options_.first_sink.port,
                   "Sinks listen from this port on; 0: wherever there is room")
        ->type_name("N")
        ->capture_default_str();
  }

  void check() const {
    const LoadOptions& load = options_.load;
    check_load_options(load);
    check_json_path(load.json);
    if (load.targets.size() != 1)
      throw UsageError("--target: " + std::to_string(load.targets.size()) +
                       " given; name the one forwarder");
    if (load.base.cores.size() > 1)
      throw UsageError("--core: " + std::to_string(load.base.cores.size()) +
                       " given; this load runs on one thread, so give one");
    if (options_.sink_address.empty())
      throw UsageError(
          "--sink-address: none given; give this machine's address that the forwarder reaches");
    if (options_.first_sink.port != 0 && options_.first_sink.port + options_.shape.sinks > 65536)
      throw UsageError("--sink-port " + std::to_string(options_.first_sink.port) +
                       ": not enough ports above it for --sinks " +
                       std::to_string(options_.shape.sinks) + "; give a lower one");
  }

  ForwardOptions options_;
};

ForwardCommand forward_command;  // NOLINT(cert-err58-cpp): registers itself

}  // namespace
}  // namespace stackrig::rigload
