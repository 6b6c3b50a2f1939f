// SPDX-License-Identifier: Apache-2.0
// user_echo: the echo service of Slick 3.2 as a user process on kernel sockets.
#include <CLI/CLI.hpp>
#include <array>
#include <string>
#include <vector>

#include "runtime/errors.h"
#include "runtime/options.h"
#include "runtime/process.h"
#include "server.h"
#include "sockets/options.h"

namespace stackrig::user_echo {
namespace {

using runtime::UsageError;

void check_variant(const std::string& variant, std::size_t listeners) {
  const std::array<std::string, 3> variants = {"blocking", "epoll", "io_uring"};
  if (std::find(variants.begin(), variants.end(), variant) == variants.end()) {
    throw UsageError("--variant: there is no '" + variant + "'; " +
                     runtime::nearest(variant, variants));
  }
  if (variant == "blocking" && listeners > 1) {
    throw UsageError("--listen: " + std::to_string(listeners) +
                     " addresses, and one process that blocks can wait on one only; give one, or "
                     "choose --variant epoll");
  }
}

int run(int argc, char** argv) {
  CLI::App app("user_echo: sends buffers back whole (Slick 3.2), on kernel sockets", "user_echo");
  sockets::Options options;
  std::string variant = "blocking";
  sockets::add_options(app, options);
  app.add_option("--variant", variant,
                 "blocking: one connection after the other (Slick's listing 3.1); epoll, io_uring: "
                 "many on one thread")
      ->type_name("blocking|epoll|io_uring")
      ->capture_default_str();
  if (!runtime::parse(app, argc, argv)) return runtime::kExitOk;
  check_variant(variant, options.listen.size());
  if (!options.telemetry.empty()) {
    throw UsageError("--telemetry: this program counts nothing; leave it out");
  }
  sockets::apply(options);
  std::vector<sockets::Fd> listeners;
  for (const wire::Endpoint& at : options.listen) {
    listeners.push_back(sockets::listen_on(at, variant == "epoll"));
  }
  const auto ready = [&] { runtime::announce_ready(options.ready_fd); };
  if (variant == "blocking") serve_blocking(listeners.front(), ready);
  runtime::catch_stop_signals();
  variant == "epoll" ? serve_epoll(listeners, ready) : serve_uring(listeners, ready);
  return runtime::kExitOk;
}

}  // namespace
}  // namespace stackrig::user_echo

int main(int argc, char** argv) {
  return stackrig::runtime::guarded("user_echo",
                                    [&] { return stackrig::user_echo::run(argc, argv); });
}
