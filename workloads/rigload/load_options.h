// SPDX-License-Identifier: Apache-2.0
// The command-line words that every sub-command of rigload shares: where the load comes from, where
// it goes, how much of it, for how long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nmio/packet.h"
#include "rigload/arrivals.h"
#include "runtime/options.h"
#include "runtime/tcp_words.h"
#include "wire/address.h"

namespace CLI {
class App;
}

namespace stackrig::rigload {

struct LoadOptions {
  LoadOptions();

  runtime::Options base;                    ///< ports, addresses, cores, telemetry, loop
  bool kernel = false;                      ///< kernel sockets in place of ports
  std::uint32_t source_addresses = 1;       ///< per --address, consecutive
  runtime::TcpWords tcp;                    ///< with --port
  std::uint32_t receive_window = 1U << 18;  ///< bytes offered per connection; ports only
  std::vector<wire::Endpoint> targets;
  std::string slots_word = "--connections";  ///< by which `connections` is given
  std::uint32_t connections = 1;             ///< concurrent requests, over all threads
  std::uint32_t hold = 0;                    ///< further ones, held idle
  bool keepalive = false;
  bool no_delay = false;  ///< TCP_NODELAY on kernel sockets; our TCP has no Nagle algorithm
  bool open_loop = false;
  std::optional<double> rate;  ///< requests per second, over all threads
  ArrivalKind arrivals = ArrivalKind::poisson;
  std::optional<std::size_t> queue;  ///< requests that may wait for a connection, over all threads
  double warmup_s = 1, duration_s = 10;
  std::uint64_t timeout_ms = 5000;
  std::uint64_t seed = 1;
  std::string json;                  ///< file, "-" for stdout, empty for none
  std::vector<std::string> command;  ///< as it was typed

  [[nodiscard]] Time warmup() const { return static_cast<Time>(warmup_s * 1e9); }
  [[nodiscard]] Time duration() const { return static_cast<Time>(duration_s * 1e9); }
  [[nodiscard]] Time timeout() const { return timeout_ms * nmio::kMillisecond; }
  /// --queue, or what is due within one timeout: longer than that nobody would have waited.
  [[nodiscard]] std::size_t queue_bound() const;
  /// A lane's share of the arrivals; none in a closed loop.
  [[nodiscard]] std::optional<Arrivals::Config> arrivals_of(unsigned lane, unsigned lanes) const;
};

/// Adds the words of where a load comes from, where it goes and how long it takes; `options`
/// outlives the parsing.
void add_run_options(CLI::App& app, LoadOptions& options);
/// And those of how much it is, which every load of requests and answers has.
void add_load_options(CLI::App& app, LoadOptions& options);
/// And those of a load over connections.
void add_connection_options(CLI::App& app, LoadOptions& options);
/// --mode, where a connection per request is possible.
void add_mode_option(CLI::App& app, LoadOptions& options);

/// Refuses what cannot be together. Throws runtime::UsageError.
void check_load_options(const LoadOptions& options);

}  // namespace stackrig::rigload
