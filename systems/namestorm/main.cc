// SPDX-License-Identifier: Apache-2.0
// namestorm: an authoritative name server whose answers are cut at start-up, on a stack of its own
// (thesis 3.2.3).
#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "instance.h"
#include "reloader.h"
#include "runtime/counters.h"
#include "runtime/errors.h"
#include "runtime/options.h"
#include "runtime/ports.h"
#include "runtime/process.h"
#include "runtime/tcp_words.h"
#include "runtime/threads.h"
#include "xdp/xdp_answers.h"

namespace stackrig::namestorm {
namespace {

struct Words {
  runtime::Options shared;
  runtime::TcpWords tcp;
  Settings settings;
  std::vector<std::string> zones;
  std::vector<dns::ZoneFile> files;
  std::string variant = "memcpy";
  std::string key = "wire";
  std::string xdp = "off";
  double idle_timeout_s = 10, send_timeout_s = 10, answer_timeout_s = 30;
};

void add_words(CLI::App& app, Words& w) {
  app.add_option("--zone", w.zones,
                 "A zone and its file, example.com=example.com.zone; once per zone. Read at "
                 "start-up and at SIGHUP")
      ->type_name("ORIGIN=FILE")
      ->allow_extra_args(false)
      ->required();
  app.add_option("--variant", w.variant,
                 "memcpy: an answer is copied into its query's frame; precopy: ready frames "
                 "circulate")
      ->capture_default_str();
  app.add_option("--key", w.key,
                 "wire: answers are found by the name as it stands in the packet; fqdn: by its "
                 "text")
      ->capture_default_str();
  app.add_option(
         "--xdp", w.xdp,
         "on: the XDP program of an afxdp port answers by itself what it can; off: it hands "
         "everything on")
      ->capture_default_str();
  app.add_option("--dns-port", w.settings.server.dns_port, "UDP and TCP port to serve on")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
}

void add_tcp_words(CLI::App& app, Words& w) {
  runtime::add_tcp_words(app, w.tcp);
  app.add_option("--max-connections", w.settings.tcp.max_connections, "TCP connections per queue")
      ->check(CLI::Range(2U, 4'000'000U))
      ->capture_default_str();
  app.add_option("--query-buffers", w.settings.server.tcp.query_buffers,
                 "TCP queries per queue that may be arriving in pieces at a time")
      ->check(CLI::Range(1U, 1'000'000U))
      ->capture_default_str();
  app.add_option("--idle-timeout-s", w.idle_timeout_s,
                 "seconds between two queries over TCP, and from a query's first byte to its last")
      ->capture_default_str();
  app.add_option("--send-timeout-s", w.send_timeout_s,
                 "seconds without an acknowledged byte over TCP")
      ->capture_default_str();
  app.add_option("--answer-timeout-s", w.answer_timeout_s,
                 "seconds until an answer over TCP must be acknowledged whole, from when those "
                 "before it were")
      ->capture_default_str();
}

void add_rate_words(CLI::App& app, RateLimitConfig& limit) {
  app.add_option("--rate-limit", limit.per_second,
                 "UDP answers per second, client prefix and queue; 0: no limit")
      ->check(CLI::Range(0U, 100'000'000U))
      ->capture_default_str();
  app.add_option("--rate-limit-slip", limit.slip,
                 "of the answers over it every so many is sent truncated; 0: none")
      ->capture_default_str();
  app.add_option("--rate-limit-prefix", limit.prefix, "bits of a client's address that count")
      ->check(CLI::Range(1, 32))
      ->capture_default_str();
}

nmio::Time duration(const char* word, double seconds) {
  if (!(seconds > 0) || seconds > 86400) {
    throw runtime::UsageError(std::string{word} + ": " + std::to_string(seconds) +
                              " is not between 0 and 86400 seconds; choose one that is");
  }
  return static_cast<nmio::Time>(seconds * 1e9);
}

bool is_second(const char* word, const std::string& value, const std::string& first,
               const std::string& second) {
  if (value == first) return false;
  if (value == second) return true;
  const std::array<std::string, 2> known = {first, second};
  throw runtime::UsageError(std::string{word} + ": there is no '" + value + "'; " +
                            runtime::nearest(value, known));
}

std::vector<dns::ZoneFile> zone_files(const std::vector<std::string>& words) {
  std::vector<dns::ZoneFile> files;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == word.size()) {
      throw runtime::UsageError("--zone " + word +
                                ": is not an origin and a file; write it as "
                                "example.com=example.com.zone");
    }
    files.push_back({word.substr(0, equals), word.substr(equals + 1)});
  }
  return files;
}

void check_words(Words& w) {
  w.settings.server.udp.mode =
      is_second("--variant", w.variant, "precopy", "memcpy") ? SendMode::memcpy : SendMode::precopy;
  is_second("--key", w.key, "wire", "fqdn");
  if (is_second("--xdp", w.xdp, "off", "on") && w.settings.server.udp.rate_limit.per_second != 0) {
    throw runtime::UsageError(
        "--rate-limit: does not hold for what the XDP program answers; give --xdp off");
  }
  w.settings.server.tcp.idle_timeout = duration("--idle-timeout-s", w.idle_timeout_s);
  w.settings.server.tcp.send_timeout = duration("--send-timeout-s", w.send_timeout_s);
  w.settings.server.tcp.answer_timeout = duration("--answer-timeout-s", w.answer_timeout_s);
  w.files = zone_files(w.zones);
  w.tcp.apply(w.settings.tcp);
  runtime::check_ports(w.shared);
  runtime::check_ready_fd(w.shared.ready_fd);
}

void choose_chunks(Words& w, std::size_t answers) {
  const std::uint64_t good = chunks_needed(w.settings.server.udp, answers);
  if (!w.shared.chunks) w.shared.chunks = static_cast<std::uint32_t>(good);
  constexpr std::uint64_t kLeastWorking = 256;  // with rings as short as can be
  const bool precopy = w.settings.server.udp.mode == SendMode::precopy;
  const std::uint64_t least = kLeastWorking + (precopy ? answers : 0);
  if (*w.shared.chunks >= least) return;
  throw runtime::UsageError("--chunks " + std::to_string(*w.shared.chunks) + ": " +
                            std::to_string(answers) + " answers need at least " +
                            std::to_string(least) + "; " + std::to_string(good) + " are good");
}

/// The XDP programs of all ports; none without --xdp on.
class XdpPrograms {
 public:
  XdpPrograms(const Words& w, const std::vector<runtime::OpenPort>& ports, telemetry::Page& page) {
    if (w.xdp != "on") return;
    counters_ = runtime::place<XdpCounters>(page, "", xdp_counter_table());
    for (const runtime::OpenPort& p : ports) {
      programs_.push_back(
          std::make_unique<XdpAnswers>(*p.port, p.address, w.settings.server.dns_port));
    }
  }
  /// One map for all ports: what can fail is over before the first answers from it.
  template <class Key>
  void publish(const Edition<Key>& edition) {
    if (programs_.empty()) return;
    const AnswersMap map(edition.table);
    for (const auto& program : programs_) program->exchange(map);
    seen_.entries_now = map.size();
    seen_.left_out_now = map.left_out();
  }
  void count() {
    if (programs_.empty()) return;
    seen_.answers = 0;
    for (const auto& program : programs_) seen_.answers += program->answers_sent();
    *counters_ = seen_;
  }

 private:
  std::vector<std::unique_ptr<XdpAnswers>> programs_;
  XdpCounters seen_{};
  XdpCounters* counters_ = nullptr;
};

template <class Key>
void run(Words& w) {
  Publisher<Key> publisher(std::make_unique<Edition<Key>>(dns::ZoneSet::load(w.files)));
  choose_chunks(w, publisher.current()->table.size());
  runtime::catch_stop_signals();
  std::vector<runtime::OpenPort> ports = runtime::open_ports(w.shared);
  std::size_t queues = 0;
  for (const runtime::OpenPort& p : ports) queues += p.port->queues();
  const auto page = runtime::make_page(w.shared.telemetry, "namestorm",
                                       w.xdp == "on" ? "xdp" : w.key + "-" + w.variant, queues);
  auto* zones = runtime::place<ZoneCounters>(*page, "", zone_counter_table());
  describe(*publisher.current(), *zones);
  XdpPrograms xdp(w, ports, *page);
  xdp.publish(*publisher.current());
  auto reloader = std::make_unique<Reloader<Key>>(
      w.files, publisher, *zones, [&](const Edition<Key>& e) { xdp.publish(e); },
      [&] { xdp.count(); });
  runtime::run_threads<Instance<Key>>(
      w.shared, ports, *page, runtime::stop_flag(),
      [&](runtime::QueuePlace& place) {
        return std::make_unique<Instance<Key>>(place, publisher, w.settings);
      },
      [&] { runtime::announce_ready(w.shared.ready_fd); },
      [&](Instance<Key>& /*instance*/, const runtime::QueuePlace& place) {
        if (place.index != 0) return;
        reloader.reset();  // joined: what it counts is final now
        xdp.count();
      });
}

int serve(int argc, const char* const* argv) {
  CLI::App app{"Answers DNS queries for the zones of its files on a UDP and TCP stack of its own.",
               "namestorm"};
  Words w;
  w.shared.loop.tx_interval =
      0;  // a doorbell per burst: --burst is the batch of the thesis (3.3.4.1)
  runtime::add_options(app, w.shared);
  add_words(app, w);
  add_tcp_words(app, w);
  add_rate_words(app, w.settings.server.udp.rate_limit);
  if (!runtime::parse(app, argc, argv)) return runtime::kExitOk;
  check_words(w);
  runtime::start_logging("namestorm", w.shared.log_level);
  block_reload_signal();
  w.key == "wire" ? run<dns::WireKey>(w) : run<dns::FqdnKey>(w);
  return runtime::kExitOk;
}

}  // namespace
}  // namespace stackrig::namestorm

int main(int argc, char** argv) {
  return stackrig::runtime::guarded("namestorm",
                                    [&] { return stackrig::namestorm::serve(argc, argv); });
}
