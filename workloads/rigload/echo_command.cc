// SPDX-License-Identifier: Apache-2.0
// rigload echo: buffers of one size, there and back over persistent connections (Slick 3.2).
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "echo/echo.h"
#include "rigload/echo_exchange.h"
#include "rigload/load_options.h"
#include "rigload/report.h"
#include "rigload/stream_load.h"
#include "rigload/subcommand.h"
#include "runtime/errors.h"
#include "runtime/process.h"

namespace stackrig::rigload {
namespace {

class EchoCommand final : public Subcommand {
 public:
  EchoCommand() : Subcommand("echo", "Buffers there and back, every byte compared") {
    load_.keepalive = true;
    load_.no_delay = true;
  }

  void add_words(CLI::App& app) override {
    add_load_options(app, load_);
    add_connection_options(app, load_);
    app.add_option("--size", echo_.size, "Bytes of a buffer")
        ->type_name("N")
        ->capture_default_str()
        ->check(CLI::Range(echo::kLeastSize, echo::kMostSize));
    app.add_option("--pipeline", echo_.pipeline,
                   "Buffers that a connection sends at once and awaits together")
        ->type_name("P")
        ->capture_default_str()
        ->check(CLI::Range(1U, 1024U));
  }

  int run(const std::vector<std::string>& command) override {
    load_.command = command;
    runtime::start_logging("rigload", load_.base.log_level);
    check_load_options(load_);
    check_json_path(load_.json);
    echo_.seed = load_.seed;
    const LoadResult result = run_load(
        load_,
        [&](const LaneInfo& lane) { return std::make_unique<EchoExchange>(echo_, lane.slots); },
        runtime::stop_flag());
    auto report = to_json(load_, result, "echo");
    report["payload"] = echo_.size;
    report["pipeline"] = echo_.pipeline;
    report["content_checked"] = true;
    publish(report, load_);
    return result.interrupted ? runtime::kExitFailed : runtime::kExitOk;
  }

 private:
  LoadOptions load_;
  EchoConfig echo_;
};

EchoCommand echo_command;  // NOLINT(cert-err58-cpp): registers itself

}  // namespace
}  // namespace stackrig::rigload
