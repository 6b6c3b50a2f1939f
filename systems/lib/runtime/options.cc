// SPDX-License-Identifier: Apache-2.0
// The shared words, by CLI11.
#include "runtime/options.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "runtime/errors.h"

namespace stackrig::runtime {
namespace {

using nmio::LoopConfig;

// An option whose value `read` turns into what is wanted, or refuses by throwing ValidationError.
template <class Read>
CLI::Option* add_read(CLI::App& app, const char* name, const char* help, Read read) {
  return app.add_option_function<std::string>(name, read, help);
}

[[noreturn]] void refuse(const char* name, const std::string& value, const std::string& wanted) {
  throw CLI::ValidationError(name, "'" + value + "' is not " + wanted);
}

void add_address_options(CLI::App& app, Options& o) {
  app.add_option("--port", o.ports,
                 "A NIC: afxdp:veth0?queues=1, shm:NAME?side=server; once per NIC")
      ->type_name("URI")
      ->allow_extra_args(false);
  app.add_option_function<std::vector<std::string>>(
         "--address",
         [&o](const std::vector<std::string>& values) {
           o.addresses.clear();
           for (const std::string& v : values) {
             const auto cidr = wire::parse_cidr(v);
             if (!cidr) refuse("--address", v, "an IPv4 address with a prefix, as 10.77.0.2/24");
             o.addresses.push_back(*cidr);
           }
         },
         "IPv4 address and prefix length of a port; once per port, in their order")
      ->type_name("CIDR")
      ->allow_extra_args(false);
  add_read(app, "--gateway", "Next hop for what is not on-link (default: none)",
           [&o](const std::string& v) {
             const auto a = wire::parse_ipv4(v);
             if (!a) refuse("--gateway", v, "an IPv4 address");
             o.gateway = *a;
           })
      ->type_name("IP");
  app.add_option("--chunks", o.chunks, "Packet buffers per queue (default: what is needed)")
      ->type_name("N")
      ->check(CLI::Range(64U, 1U << 26));
}

void add_process_options(CLI::App& app, Options& o) {
  app.add_option("--core", o.cores, "Core to run on; thread i takes the i-th, round robin")
      ->type_name("N")
      ->allow_extra_args(false);
  app.add_option("--telemetry", o.telemetry,
                 "File for counters, made anew, to be mapped by readers")
      ->type_name("FILE");
  app.add_option("--ready-fd", o.ready_fd, "File descriptor to write \"ready\" to when serving")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--log-level", o.log_level, "trace, debug, info, warn, error or off")
      ->type_name("LEVEL")
      ->capture_default_str();
}

void add_microseconds(CLI::App& app, const char* name, nmio::Time& out, const char* help) {
  app.add_option_function<std::uint64_t>(
         name, [&out](const std::uint64_t& us) { out = us * nmio::kMicrosecond; }, help)
      ->type_name("US")
      ->default_str(std::to_string(out / nmio::kMicrosecond))
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{60'000'000}));
}

void add_loop_options(CLI::App& app, Options& o) {
  add_read(app, "--idle",
           "spin; yield: spin, but let others of the core go first; or adaptive: spin for a while, "
           "then block",
           [&o](const std::string& v) {
             if (v == "spin") {
               o.loop.idle = LoopConfig::Idle::spin;
             } else if (v == "yield") {
               o.loop.idle = LoopConfig::Idle::yield;
             } else if (v == "adaptive") {
               o.loop.idle = LoopConfig::Idle::adaptive;
             } else {
               refuse("--idle", v, "spin, yield or adaptive");
             }
           })
      ->type_name("POLICY")
      ->default_str("adaptive");
  add_microseconds(app, "--idle-spin-us", o.loop.spin_for,
                   "How long adaptive spins before it blocks");
  add_microseconds(app, "--tx-interval-us", o.loop.tx_interval,
                   "Between doorbells under load (thesis 3.2.4)");
  add_microseconds(app, "--straggler-us", o.loop.straggler,
                   "Longest that a packet waits for the doorbell");
  app.add_option("--burst", o.loop.burst, "Packets per receive")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1U, LoopConfig::kMaxBurst));
}

// The words that `app` knows, for the hint.
std::vector<std::string> words_of(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::Option* option : app.get_options()) words.push_back(option->get_name());
  for (const CLI::App* sub : app.get_subcommands({})) words.push_back(sub->get_name());
  return words;
}

// The sub-command that was chosen, however deep; the app itself where none was.
const CLI::App& chosen(const CLI::App& app) {
  const auto subs = app.get_subcommands();
  return subs.empty() ? app : chosen(*subs.front());
}

[[noreturn]] void refuse_extras(const CLI::App& app, const CLI::Error& error) {
  const auto words = app.remaining(true);
  if (words.empty()) throw UsageError(std::string(error.what()) + "; see --help");
  const std::string word = words.front().substr(0, words.front().find('='));
  throw UsageError("'" + word + "': no such word; " + nearest(word, words_of(chosen(app))));
}

}  // namespace

void add_options(CLI::App& app, Options& o) {
  add_address_options(app, o);
  add_process_options(app, o);
  add_loop_options(app, o);
}

bool parse(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::Success& e) {  // --help, --version
    app.exit(e);
    return false;
  } catch (const CLI::ExtrasError& e) {
    refuse_extras(app, e);
  } catch (const CLI::ParseError& e) {
    throw UsageError(std::string(e.what()) + "; see --help");
  }
}

}  // namespace stackrig::runtime
