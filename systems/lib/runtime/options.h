// SPDX-License-Identifier: Apache-2.0
// The command-line words that every system shares.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nmio/loop.h"
#include "wire/address.h"

namespace CLI {
class App;
}

namespace stackrig::runtime {

struct Options {
  std::vector<std::string> ports;         ///< --port URI, one per NIC
  std::vector<wire::Ipv4Cidr> addresses;  ///< --address CIDR, one per port
  wire::Ipv4Address gateway;              ///< --gateway IP; unspecified: on-link only
  std::vector<unsigned> cores;            ///< --core N; thread i runs on the i-th, round robin
  std::string telemetry;                  ///< --telemetry FILE; empty: nobody watches
  int ready_fd = -1;                      ///< --ready-fd N
  std::optional<std::uint32_t> chunks;    ///< --chunks N, packet buffers per queue
  std::string log_level = "warn";         ///< --log-level
  nmio::LoopConfig loop;                  ///< --idle, --idle-spin-us, --tx-interval-us, ...
};

/// Adds the words to `app`; `options` must outlive parse(). Systems add their own words afterwards.
void add_options(CLI::App& app, Options& options);

/// Reads the command line. False where it asked for help or the version and was answered: exit 0.
/// Throws UsageError, which names the nearest word for one that is not known.
bool parse(CLI::App& app, int argc, const char* const* argv);

}  // namespace stackrig::runtime
