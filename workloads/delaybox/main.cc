// SPDX-License-Identifier: Apache-2.0
// delaybox: stands between two ports and holds, loses, reorders and paces what passes (thesis 4.4,
// Figure 4.11). See docs/delaybox.md.
#include <spdlog/spdlog.h>
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "delaybox/box.h"
#include "nmio/clock.h"
#include "nmio/port.h"
#include "runtime/counters.h"
#include "runtime/errors.h"
#include "runtime/options.h"
#include "runtime/process.h"

namespace stackrig::delaybox {
namespace {

using runtime::UsageError;

constexpr Time kLongestBlock = 100 * nmio::kMillisecond;
/// The kernel lets a sleeper sleep 50 us longer than it asked for, unless told otherwise.
constexpr unsigned long kTimerSlack = 1;

struct Words {
  runtime::Options shared;
  std::string both, to_server, to_clients;
  BoxConfig box;
};

void add_words(CLI::App& app, Words& w) {
  app.add_option("--both", w.both, "what happens to both directions: delay=10ms,loss=1%,rate=1G")
      ->type_name("LINK");
  app.add_option("--to-server", w.to_server, "what happens from the second port to the first")
      ->type_name("LINK");
  app.add_option("--to-clients", w.to_clients, "what happens from the first port to the second")
      ->type_name("LINK");
  app.add_option("--seed", w.box.seed, "of all dice; the same packets meet the same fate")
      ->capture_default_str();
}

void check(Words& w) {
  if (w.shared.ports.size() != 2) {
    throw UsageError("--port: " + std::to_string(w.shared.ports.size()) +
                     " given; give two, the server's side first");
  }
  if (w.shared.ports[0] == w.shared.ports[1]) {
    throw UsageError("--port " + w.shared.ports[0] + ": given twice; the sides are two ports");
  }
  if (!w.shared.addresses.empty()) {
    throw UsageError("--address: the box has none, it is a bridge; take it out");
  }
  if (!w.both.empty() && !(w.to_server.empty() && w.to_clients.empty())) {
    throw UsageError("--both: says all; take it out, or --to-server and --to-clients");
  }
  if (!w.both.empty()) {
    w.box.to_server = w.box.to_clients = parse_link("--both", w.both);
  } else {
    w.box.to_server = parse_link("--to-server", w.to_server);
    w.box.to_clients = parse_link("--to-clients", w.to_clients);
  }
  for (const unsigned core : w.shared.cores) runtime::check_core(core);
  runtime::check_ready_fd(w.shared.ready_fd);
}

/// afxdp ports are to take whatever comes; the chunks are what the box can hold.
std::string full_uri(std::string uri, const runtime::Options& o) {
  const auto add = [&uri](const std::string& pair) {
    uri += (uri.find('?') == std::string::npos ? "?" : "&") + pair;
  };
  if (uri.starts_with("afxdp:") && uri.find("take=") == std::string::npos) add("take=all");
  if (uri.starts_with("tap:") && uri.find("csum=") == std::string::npos) add("csum=off");
  if (o.chunks) add("chunks=" + std::to_string(*o.chunks));
  return uri;
}

/// One pair of queues, in a thread of its own.
struct Lane {
  nmio::Queue* server;
  nmio::Queue* clients;
  std::unique_ptr<Box> box;
  nmio::LoopCounters* counters;
};

void run(Lane& lane, const nmio::LoopConfig& config, const std::atomic<bool>& stop) {
  std::uint64_t began = nmio::Clock::cycles();
  Time idle_since = nmio::Clock::at(began);
  const auto account = [&](bool worked) {
    const std::uint64_t cycles = nmio::Clock::cycles();
    (worked ? lane.counters->busy_cycles : lane.counters->idle_cycles) += cycles - began;
    began = cycles;
  };
  while (!stop.load(std::memory_order_relaxed)) {
    const Time now = nmio::Clock::at(began);
    const bool worked = lane.box->turn();
    ++lane.counters->turns;
    if (worked) idle_since = now;
    account(worked);
    if (!worked && config.idle == nmio::LoopConfig::Idle::yield) std::this_thread::yield();
    const bool block = config.idle == nmio::LoopConfig::Idle::adaptive && !worked &&
                       now - idle_since >= config.spin_for;
    if (!block) continue;
    lane.box->wait(now, now + kLongestBlock);
    ++lane.counters->wakeups;
    account(false);
  }
}

std::vector<Lane> make_lanes(nmio::Port& server, nmio::Port& clients, const Words& w,
                             telemetry::Page& page) {
  std::vector<Lane> lanes;
  for (unsigned i = 0; i < server.queues(); ++i) {
    Lane lane{&server.queue(i), &clients.queue(i), nullptr, nullptr};
    BoxConfig config = w.box;
    config.seed += i;
    lane.box = std::make_unique<Box>(*lane.server, *lane.clients, config, nmio::Clock::now());
    const std::string prefix = "q" + std::to_string(i) + ".";
    lane.counters = runtime::place_loop_counters(page, prefix);
    lane.box->place_counters(page, prefix);
    runtime::place_queue_counters(page, prefix + "server.", *lane.server);
    runtime::place_queue_counters(page, prefix + "clients.", *lane.clients);
    lanes.push_back(std::move(lane));
  }
  return lanes;
}

void check_pair(const nmio::Port& server, const nmio::Port& clients, const BoxConfig& box) {
  if (server.queues() != clients.queues()) {
    throw UsageError("--port: the sides have " + std::to_string(server.queues()) + " and " +
                     std::to_string(clients.queues()) + " queues; give both queues=N alike");
  }
  if (server.queues() > 1 && (box.to_server.rate != 0 || box.to_clients.rate != 0)) {
    throw UsageError("rate: is one queue's own, and the ports have " +
                     std::to_string(server.queues()) + "; give them queues=1");
  }
  if (server.mtu() != clients.mtu()) {
    throw UsageError("--port: the sides have MTUs of " + std::to_string(server.mtu()) + " and " +
                     std::to_string(clients.mtu()) + "; make them alike (ip link set mtu)");
  }
}

int serve(int argc, const char* const* argv) {
  CLI::App app{"Stands between two ports and holds, loses, reorders and paces what passes.",
               "delaybox"};
  Words w;
  runtime::add_options(app, w.shared);
  add_words(app, w);
  if (!runtime::parse(app, argc, argv)) return runtime::kExitOk;
  check(w);
  runtime::start_logging("delaybox", w.shared.log_level);
  runtime::catch_stop_signals();
  const auto server = nmio::Port::open(full_uri(w.shared.ports[0], w.shared));
  const auto clients = nmio::Port::open(full_uri(w.shared.ports[1], w.shared));
  check_pair(*server, *clients, w.box);
  const auto page = runtime::make_page(w.shared.telemetry, "delaybox", "", server->queues());
  auto lanes = make_lanes(*server, *clients, w, *page);
  const nmio::PacketMemory& memory = server->queue(0).memory();
  spdlog::info("to the server: {}", describe(w.box.to_server));
  spdlog::info("to the clients: {}", describe(w.box.to_clients));
  spdlog::info("holds at most {} packets ({} MiB) per queue and direction", memory.chunks(),
               memory.size_bytes() >> 20);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto& cores = w.shared.cores;
      if (!cores.empty()) runtime::pin_to_core(cores[i % cores.size()]);
      prctl(PR_SET_TIMERSLACK, kTimerSlack);
      run(lanes[i], w.shared.loop, runtime::stop_flag());
    });
  }
  runtime::announce_ready(w.shared.ready_fd);
  for (std::thread& t : threads) t.join();
  page->finish();
  return runtime::kExitOk;
}

}  // namespace
}  // namespace stackrig::delaybox

int main(int argc, char** argv) {
  return stackrig::runtime::guarded("delaybox",
                                    [&] { return stackrig::delaybox::serve(argc, argv); });
}
