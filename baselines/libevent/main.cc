// SPDX-License-Identifier: Apache-2.0
// libevent_forwarder: the forwarder of Slick 3.3.2, a user process on libevent.
#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "forwarder.h"
#include "runtime/counters.h"
#include "runtime/errors.h"
#include "runtime/options.h"
#include "runtime/process.h"
#include "sockets/options.h"

namespace stackrig::libevent {
namespace {

using runtime::UsageError;

bool is_batched(const std::string& variant) {
  const std::array<std::string, 2> variants = {"each", "batched"};
  if (variant != variants[0] && variant != variants[1]) {
    throw UsageError("--variant: there is no '" + variant + "'; " +
                     runtime::nearest(variant, variants));
  }
  return variant == "batched";
}

int run(int argc, char** argv) {
  CLI::App app("libevent_forwarder: forwards Thrift messages by key (Slick 3.3), on libevent",
               "libevent_forwarder");
  sockets::Options options;
  Config config;
  std::string variant = "each";
  sockets::add_options(app, options);
  app.add_option("--variant", variant,
                 "each: every message is written on its own, as the paper's was; batched: what one "
                 "read brought for a backend is written at once")
      ->type_name("each|batched")
      ->capture_default_str();
  app.add_flag("--no-delay", config.no_delay, "TCP_NODELAY towards the backends");
  app.add_option("--high-water", config.water.high,
                 "Bytes waiting for a backend above which its senders are not read from")
      ->type_name("BYTES")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 30));
  if (!runtime::parse(app, argc, argv)) return runtime::kExitOk;
  config.batched = is_batched(variant);
  config.water.low = config.water.high / 4;
  sockets::apply(options);
  std::vector<sockets::Fd> listeners;
  for (const wire::Endpoint& at : options.listen) listeners.push_back(sockets::listen_on(at, true));
  const auto page = runtime::make_page(options.telemetry, "libevent", variant, 1);
  auto* counters =
      runtime::place<Counters>(*page, "forward.", std::span<const CounterInfo>(kCounterTable));
  Forwarder forwarder(config, std::move(listeners), *counters);
  runtime::announce_ready(options.ready_fd);
  forwarder.run();
  page->finish();
  return runtime::kExitOk;
}

}  // namespace
}  // namespace stackrig::libevent

int main(int argc, char** argv) {
  return stackrig::runtime::guarded("libevent_forwarder",
                                    [&] { return stackrig::libevent::run(argc, argv); });
}
