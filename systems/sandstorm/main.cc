// SPDX-License-Identifier: Apache-2.0
// sandstorm: a web server for content that fits in memory, on a stack of its own (thesis chapter
// 3).
#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "instance.h"
#include "runtime/counters.h"
#include "runtime/errors.h"
#include "runtime/options.h"
#include "runtime/ports.h"
#include "runtime/process.h"
#include "runtime/tcp_words.h"
#include "runtime/threads.h"
#include "site.h"

namespace stackrig::sandstorm {
namespace {

struct Words {
  runtime::Options shared;
  runtime::TcpWords tcp;
  Settings settings;
  std::string root;
  std::string variant = "precopy";
  double header_timeout_s = 60, keepalive_timeout_s = 75, send_timeout_s = 60;
};

void add_words(CLI::App& app, Words& w) {
  app.add_option("--root", w.root, "folder whose files are served; read once, at start-up")
      ->required();
  app.add_option("--variant", w.variant,
                 "precopy: copies of each frame circulate; memcpy: each frame is copied on send")
      ->capture_default_str();
  app.add_option("--tcp-port", w.settings.server.tcp_port, "TCP port to serve on")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  app.add_option("--max-connections", w.settings.tcp.max_connections, "connections per queue")
      ->check(CLI::Range(1U, 4'000'000U))
      ->capture_default_str();
  runtime::add_tcp_words(app, w.tcp);
  app.add_option("--max-backlog", w.settings.tcp.max_backlog,
                 "half-open connections per queue; beyond them SYN cookies answer")
      ->capture_default_str();
  app.add_option("--max-time-wait", w.settings.tcp.max_time_wait, "TIME_WAIT entries per queue")
      ->capture_default_str();
  app.add_option("--request-buffers", w.settings.server.request_buffers,
                 "requests per queue whose head may be arriving in pieces at a time")
      ->check(CLI::Range(1U, 1'000'000U))
      ->capture_default_str();
  app.add_option("--copies-low-mark", w.settings.content.low_mark,
                 "precopy: make copies of a frame when no more than this many are free")
      ->capture_default_str();
  app.add_option("--copies", w.settings.content.copies, "precopy: how many copies to make then")
      ->check(CLI::Range(1U, 1024U))
      ->capture_default_str();
  app.add_option("--header-timeout-s", w.header_timeout_s, "seconds that a request's head may take")
      ->capture_default_str();
  app.add_option("--keepalive-timeout-s", w.keepalive_timeout_s, "seconds between two requests")
      ->capture_default_str();
  app.add_option("--send-timeout-s", w.send_timeout_s, "seconds without an acknowledged byte")
      ->capture_default_str();
}

nmio::Time duration(const char* word, double seconds) {
  if (!(seconds > 0) || seconds > 86400) {
    throw runtime::UsageError(std::string{word} + ": " + std::to_string(seconds) +
                              " is not between 0 and 86400 seconds; choose one that is");
  }
  return static_cast<nmio::Time>(seconds * 1e9);
}

void check_words(Words& w) {
  const std::array<std::string, 2> variants = {"precopy", "memcpy"};
  if (w.variant == "precopy") {
    w.settings.content.mode = tcpip::SendMode::precopy;
  } else if (w.variant == "memcpy") {
    w.settings.content.mode = tcpip::SendMode::memcpy;
  } else {
    throw runtime::UsageError("--variant: there is no '" + w.variant + "'; " +
                              runtime::nearest(w.variant, variants));
  }
  w.settings.server.header_timeout = duration("--header-timeout-s", w.header_timeout_s);
  w.settings.server.keepalive_timeout = duration("--keepalive-timeout-s", w.keepalive_timeout_s);
  w.settings.server.send_timeout = duration("--send-timeout-s", w.send_timeout_s);
  w.tcp.apply(w.settings.tcp);
  runtime::check_ports(w.shared);
  runtime::check_ready_fd(w.shared.ready_fd);
}

void check_chunks(std::uint32_t chunks, const Site& site, const Settings& settings) {
  constexpr std::uint64_t kLeastWorking = 256;  // with rings as short as can be
  const std::uint64_t least =
      Library::chunks_for(site, settings.content.segment_bytes) + kLeastWorking;
  if (chunks >= least) return;
  throw runtime::UsageError("--chunks " + std::to_string(chunks) + ": the document root's " +
                            std::to_string(site.body_bytes) + " bytes need at least " +
                            std::to_string(least) + "; " +
                            std::to_string(chunks_needed(site, settings)) + " are good");
}

int serve(int argc, const char* const* argv) {
  CLI::App app{"Serves the files of a folder over HTTP/1.1 on a TCP stack of its own.",
               "sandstorm"};
  Words w;
  runtime::add_options(app, w.shared);
  add_words(app, w);
  if (!runtime::parse(app, argc, argv)) return runtime::kExitOk;
  check_words(w);
  runtime::start_logging("sandstorm", w.shared.log_level);
  const Site site = load_site(w.root);
  if (!w.shared.chunks) {
    w.shared.chunks = static_cast<std::uint32_t>(chunks_needed(site, w.settings));
  }
  check_chunks(*w.shared.chunks, site, w.settings);
  runtime::catch_stop_signals();
  std::vector<runtime::OpenPort> ports = runtime::open_ports(w.shared);
  std::size_t queues = 0;
  for (const runtime::OpenPort& p : ports) queues += p.port->queues();
  const auto page = runtime::make_page(w.shared.telemetry, "sandstorm", w.variant, queues);
  runtime::run_threads<Instance>(
      w.shared, ports, *page, runtime::stop_flag(),
      [&](runtime::QueuePlace& place) {
        return std::make_unique<Instance>(place, site, w.settings);
      },
      [&] { runtime::announce_ready(w.shared.ready_fd); });
  return runtime::kExitOk;
}

}  // namespace
}  // namespace stackrig::sandstorm

int main(int argc, char** argv) {
  return stackrig::runtime::guarded("sandstorm",
                                    [&] { return stackrig::sandstorm::serve(argc, argv); });
}
