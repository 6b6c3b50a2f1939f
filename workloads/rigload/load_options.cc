// SPDX-License-Identifier: Apache-2.0
// The shared words, by CLI11, and which of them go together.
#include "rigload/load_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "runtime/errors.h"
#include "runtime/ports.h"
#include "runtime/process.h"

namespace stackrig::rigload {
namespace {

using runtime::UsageError;

/// Latency is what is measured here, so packets wait less for company than in a server
/// (thesis 3.2.4).
constexpr Time kTxInterval = 10 * nmio::kMicrosecond;
constexpr std::size_t kMostQueued = std::size_t{1} << 22;
constexpr std::size_t kLeastQueued = 1024;

void add_choice(CLI::App& app, const char* name, const char* help, const char* yes, const char* no,
                bool& is_yes) {
  app.add_option_function<std::string>(
         name,
         [=, &is_yes](const std::string& v) {
           if (v != yes && v != no) {
             throw CLI::ValidationError(name, "'" + v + "' is neither " + no + " nor " + yes);
           }
           is_yes = v == yes;
         },
         help)
      ->type_name(std::string(no) + "|" + yes)
      ->default_str(is_yes ? yes : no);
}

void add_where(CLI::App& app, LoadOptions& o) {
  app.add_flag("--kernel", o.kernel, "Use kernel sockets in place of --port");
  app.add_option("--source-addresses", o.source_addresses,
                 "Use so many consecutive addresses, from each --address on")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1U, 65536U));
  app.add_option_function<std::vector<std::string>>(
         "--target",
         [&o](const std::vector<std::string>& values) {
           o.targets.clear();
           for (const std::string& v : values) {
             const auto target = wire::parse_endpoint(v);
             if (!target || target->port == 0) {
               throw CLI::ValidationError(
                   "--target", "'" + v + "' is not an IPv4 address and port, as 10.77.0.2:80");
             }
             o.targets.push_back(*target);
           }
         },
         "The server; once, or once per --port")
      ->type_name("IP:PORT")
      ->allow_extra_args(false);
}

void add_how_much(CLI::App& app, LoadOptions& o) {
  add_choice(app, "--loop", "closed: a request when the last is answered; open: at --rate", "open",
             "closed", o.open_loop);
  app.add_option("--rate", o.rate, "Requests per second, over all threads; open loop")
      ->type_name("R")
      ->check(CLI::Range(1e-3, 1e8));
  app.add_option_function<std::string>(
         "--arrivals",
         [&o](const std::string& v) {
           if (v != "poisson" && v != "uniform") {
             throw CLI::ValidationError("--arrivals", "'" + v + "' is neither poisson nor uniform");
           }
           o.arrivals = v == "poisson" ? ArrivalKind::poisson : ArrivalKind::uniform;
         },
         "How due times are spread; open loop")
      ->type_name("poisson|uniform")
      ->default_str("poisson");
  app.add_option("--queue", o.queue,
                 "Requests that may wait for a connection, over all threads; open loop "
                 "(default: what is due within --timeout-ms)")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kMostQueued));
}

void add_how_long(CLI::App& app, LoadOptions& o) {
  app.add_option("--warmup", o.warmup_s, "Seconds before measuring")
      ->type_name("S")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 86400.0));
  app.add_option("--duration", o.duration_s, "Seconds measured")
      ->type_name("S")
      ->capture_default_str()
      ->check(CLI::Range(1e-3, 86400.0));
  app.add_option("--timeout-ms", o.timeout_ms,
                 "To connect, for an answer, and for the FIN behind it")
      ->type_name("MS")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{3'600'000}));
  app.add_option("--seed", o.seed, "Of arrivals and the choice of URLs")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--json", o.json, "File for the result, - for stdout")->type_name("FILE");
}

std::string count_of(std::size_t n, const char* thing) {
  return std::to_string(n) + " " + thing + (n == 1 ? "" : "s");
}

void check_where(const LoadOptions& o) {
  if (o.targets.empty())
    throw UsageError("--target: none given; name the server, as --target 10.77.0.2:80");
  if (o.kernel && !o.base.ports.empty()) {
    throw UsageError("--kernel: excludes --port; leave one of them out");
  }
  if (!o.kernel && o.base.ports.empty()) {
    throw UsageError(
        "--port: none given; name a port, as --port shm:NAME?side=client, or use --kernel");
  }
  if (!o.kernel) {
    runtime::check_ports(o.base);
    if (o.targets.size() != 1 && o.targets.size() != o.base.ports.size()) {
      throw UsageError("--target: " + count_of(o.targets.size(), "target") + " for " +
                       count_of(o.base.ports.size(), "port") +
                       "; give one target, or one per --port");
    }
  } else {
    const std::size_t n = o.base.addresses.size();
    if (n > 1 && n != o.targets.size()) {
      throw UsageError("--address: " + count_of(n, "address") + "es for " +
                       count_of(o.targets.size(), "target") +
                       "; with --kernel give none, one, or one per --target");
    }
    if (n == 0 && o.source_addresses > 1) {
      throw UsageError("--source-addresses: needs --address; give the first of them there");
    }
  }
}

}  // namespace

LoadOptions::LoadOptions() {
  base.loop.tx_interval = kTxInterval;
}

std::size_t LoadOptions::queue_bound() const {
  if (queue) return *queue;
  const double due = rate.value_or(0) * static_cast<double>(timeout_ms) / 1e3;
  return std::clamp(static_cast<std::size_t>(due), kLeastQueued, kMostQueued);
}

std::optional<Arrivals::Config> LoadOptions::arrivals_of(unsigned lane, unsigned lanes) const {
  if (!open_loop) return std::nullopt;
  return Arrivals::Config{
      .kind = arrivals, .rate = *rate, .share = lane, .shares = lanes, .seed = seed};
}

void add_run_options(CLI::App& app, LoadOptions& options) {
  runtime::add_options(app, options.base);
  add_where(app, options);
  add_how_long(app, options);
}

void add_load_options(CLI::App& app, LoadOptions& options) {
  add_run_options(app, options);
  add_how_much(app, options);
}

void add_connection_options(CLI::App& app, LoadOptions& o) {
  app.add_option("--connections", o.connections, "Concurrent connections, over all threads")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1U, 1U << 24));
  app.add_option("--hold", o.hold, "Further connections, opened before the start and held idle")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(0U, 1U << 24));
  runtime::add_tcp_words(app, o.tcp);
  app.add_option("--receive-window", o.receive_window,
                 "Bytes that a connection offers to receive; with --port")
      ->type_name("BYTES")
      ->capture_default_str()
      ->check(CLI::Range(1U << 12, 1U << 30));
}

void add_mode_option(CLI::App& app, LoadOptions& o) {
  add_choice(app, "--mode", "A connection per request, or persistent ones", "keepalive", "close",
             o.keepalive);
}

void check_load_options(const LoadOptions& o) {
  check_where(o);
  if (o.open_loop && !o.rate)
    throw UsageError("--loop open: needs a rate; give --rate R in requests per second");
  if (!o.open_loop && o.rate) {
    throw UsageError(
        "--rate: a closed loop goes as fast as the server answers; add --loop open, or leave it "
        "out");
  }
  if (!o.open_loop && o.queue)
    throw UsageError("--queue: nothing waits in a closed loop; add --loop open, or leave it out");
  const std::size_t threads =
      std::max<std::size_t>({o.base.cores.size(), o.base.ports.size(), o.targets.size(), 1});
  if (o.connections < threads) {
    throw UsageError(o.slots_word + " " + std::to_string(o.connections) +
                     ": fewer than threads, ports or targets (" + std::to_string(threads) +
                     "); give at least one each");
  }
  runtime::check_ready_fd(o.base.ready_fd);
}

}  // namespace stackrig::rigload
