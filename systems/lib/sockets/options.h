// SPDX-License-Identifier: Apache-2.0
// The command-line words of servers on kernel sockets. Where runtime/options.h has a word too, it
// is the same one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "wire/address.h"

namespace CLI {
class App;
}

namespace stackrig::sockets {

struct Options {
  std::vector<wire::Endpoint> listen;  ///< --listen IP:PORT, may repeat
  std::optional<unsigned> core;        ///< --core N
  std::string telemetry;               ///< --telemetry FILE; empty: nobody watches
  int ready_fd = -1;                   ///< --ready-fd N
};

/// Adds the words to `app`; `options` must outlive runtime::parse().
void add_options(CLI::App& app, Options& options);

/// Refuses what cannot work, and binds this thread to its core. Throws runtime::UsageError.
void apply(const Options& options);

}  // namespace stackrig::sockets
