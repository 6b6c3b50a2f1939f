// SPDX-License-Identifier: Apache-2.0
// rtc: services that run to completion on a TCP stack of their own (DLibOS' RTC; Slick's echo and
// forwarder beside their in-kernel selves).
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "instance.h"
#include "runtime/counters.h"
#include "runtime/errors.h"
#include "runtime/options.h"
#include "runtime/ports.h"
#include "runtime/process.h"
#include "runtime/threads.h"
#include "services.h"

namespace stackrig::rtc {
namespace {

struct Words {
  runtime::Options shared;
  Settings settings;
  std::string service;
  double idle_timeout_s = 3600, send_timeout_s = 60, connect_timeout_s = 10, message_timeout_s = 60;
};

void add_words(CLI::App& app, Words& w) {
  ServiceConfig& s = w.settings.service;
  app.add_option("--service", w.service, "echo or forward")->required();
  app.add_option("--tcp-port", s.tcp_port, "TCP port to serve on (default: echo 7, forward 9090)")
      ->check(CLI::Range(1, 65535));
  app.add_option("--max-connections", s.connections, "connections per queue")
      ->check(CLI::Range(1U, 1'000'000U))
      ->capture_default_str();
  app.add_option("--max-backlog", w.settings.tcp.max_backlog,
                 "half-open connections per queue; beyond them SYN cookies answer")
      ->capture_default_str();
  app.add_option(
         "--send-memory-mib", w.settings.send_memory_mib,
         "memory per queue for what is not acknowledged; a backend of forward takes 1.1 MiB "
         "of it, a connection of echo two of its buffers")
      ->check(CLI::Range(1U, 16384U))
      ->capture_default_str();
  app.add_option("--reference-from", w.settings.reference_from,
                 "segments of at least so many bytes are sent by reference, shorter ones copied "
                 "(default: what is best for the port)")
      ->type_name("BYTES")
      ->check(CLI::Range(0U, 1U << 16));
}

void add_forward_words(CLI::App& app, Words& w) {
  ServiceConfig& s = w.settings.service;
  app.add_option("--max-backends", s.backends, "forward: backends at a time")
      ->check(CLI::Range(1U, 100'000U))
      ->capture_default_str();
  app.add_option("--large-messages", s.large_messages,
                 "forward: messages of more than 8 KiB that may be arriving in pieces at a time")
      ->check(CLI::Range(1U, 16384U))
      ->capture_default_str();
}

void add_timeouts(CLI::App& app, Words& w) {
  app.add_option("--idle-timeout-s", w.idle_timeout_s, "seconds in which nothing comes")
      ->capture_default_str();
  app.add_option("--send-timeout-s", w.send_timeout_s,
                 "seconds without an acknowledged byte; a backend only while it is being closed")
      ->capture_default_str();
  app.add_option("--connect-timeout-s", w.connect_timeout_s,
                 "forward: seconds until a backend answers")
      ->capture_default_str();
  app.add_option("--message-timeout-s", w.message_timeout_s,
                 "forward: seconds from a large message's first byte to its last")
      ->capture_default_str();
}

nmio::Time duration(const char* word, double seconds) {
  if (!(seconds > 0) || seconds > 1e7) {
    throw runtime::UsageError(std::string{word} + ": " + std::to_string(seconds) +
                              " is not between 0 and 10000000 seconds; choose one that is");
  }
  return static_cast<nmio::Time>(seconds * 1e9);
}

void check_words(Words& w, const ServiceKind& kind) {
  ServiceConfig& s = w.settings.service;
  s.idle_timeout = duration("--idle-timeout-s", w.idle_timeout_s);
  s.send_timeout = duration("--send-timeout-s", w.send_timeout_s);
  s.connect_timeout = duration("--connect-timeout-s", w.connect_timeout_s);
  s.message_timeout = duration("--message-timeout-s", w.message_timeout_s);
  if (s.tcp_port == 0) s.tcp_port = kind.port;
  if (!kind.opens) s.backends = 0;
  runtime::check_ports(w.shared);
  runtime::check_ready_fd(w.shared.ready_fd);
  const std::uint64_t chunks = chunks_needed(w.settings);
  if (!w.shared.chunks) w.shared.chunks = static_cast<std::uint32_t>(chunks);
}

/// Backends belong to one instance, and their answers must come to its queue.
void check_queues(const ServiceKind& kind, std::size_t queues) {
  if (!kind.opens || queues == 1) return;
  throw runtime::UsageError(
      "--service " + std::string(kind.name) + ": " + std::to_string(queues) +
      " queues, but it opens connections of its own and runs on one; give one "
      "--port, with queues=1");
}

int serve(int argc, const char* const* argv) {
  CLI::App app{"Serves to completion on a TCP stack of its own: Slick's echo and Thrift forwarder.",
               "rtc"};
  Words w;
  runtime::add_options(app, w.shared);
  add_words(app, w);
  add_forward_words(app, w);
  add_timeouts(app, w);
  if (!runtime::parse(app, argc, argv)) return runtime::kExitOk;
  const ServiceKind& kind = service_kind(w.service);
  check_words(w, kind);
  runtime::start_logging("rtc", w.shared.log_level);
  runtime::catch_stop_signals();
  std::vector<runtime::OpenPort> ports = runtime::open_ports(w.shared);
  std::size_t queues = 0;
  for (const runtime::OpenPort& p : ports) queues += p.port->queues();
  check_queues(kind, queues);
  const auto page = runtime::make_page(w.shared.telemetry, "rtc", w.service, queues);
  runtime::run_threads<Instance>(
      w.shared, ports, *page, runtime::stop_flag(),
      [&](runtime::QueuePlace& place) {
        return std::make_unique<Instance>(place, kind, w.settings);
      },
      [&] { runtime::announce_ready(w.shared.ready_fd); });
  return runtime::kExitOk;
}

}  // namespace
}  // namespace stackrig::rtc

int main(int argc, char** argv) {
  return stackrig::runtime::guarded("rtc", [&] { return stackrig::rtc::serve(argc, argv); });
}
