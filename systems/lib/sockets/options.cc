// SPDX-License-Identifier: Apache-2.0
// The words, by CLI11.
#include "sockets/options.h"

#include <CLI/CLI.hpp>

#include "runtime/errors.h"
#include "runtime/process.h"

namespace stackrig::sockets {

void add_options(CLI::App& app, Options& o) {
  app.add_option_function<std::vector<std::string>>(
         "--listen",
         [&o](const std::vector<std::string>& values) {
           o.listen.clear();
           for (const std::string& v : values) {
             const auto at = wire::parse_endpoint(v);
             if (!at) {
               throw CLI::ValidationError(
                   "--listen", "'" + v + "' is not an IPv4 address and port, as 10.77.0.2:7");
             }
             o.listen.push_back(*at);
           }
         },
         "Address and port to serve on; may be given several times")
      ->type_name("IP:PORT")
      ->allow_extra_args(false);
  app.add_option("--core", o.core, "Core to run on")->type_name("N");
  app.add_option("--telemetry", o.telemetry,
                 "File for counters, made anew, to be mapped by readers")
      ->type_name("FILE");
  app.add_option("--ready-fd", o.ready_fd, "File descriptor to write \"ready\" to when serving")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
}

void apply(const Options& o) {
  if (o.listen.empty()) {
    throw runtime::UsageError("--listen: none given; say where to serve, as --listen 127.0.0.1:7");
  }
  runtime::check_ready_fd(o.ready_fd);
  if (o.core) runtime::pin_to_core(*o.core);
}

}  // namespace stackrig::sockets
