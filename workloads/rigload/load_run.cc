// SPDX-License-Identifier: Apache-2.0
// From options to lanes, threads, a common start, and a result.
#include "rigload/load_run.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <thread>

#include "nmio/clock.h"
#include "rigload/lane.h"
#include "runtime/counters.h"
#include "runtime/errors.h"
#include "runtime/ports.h"
#include "runtime/process.h"

namespace stackrig::rigload {
namespace {

using runtime::UsageError;

/// What threads share, and everything that lives as long as the run.
struct Run {
  const LoadOptions& options;
  LaneMaker& maker;
  RunControl control;
  std::shared_ptr<telemetry::Page> page;
  std::vector<runtime::OpenPort> ports;
  std::vector<std::unique_ptr<ArpRelay>> relays;  ///< per port; nullptr where it has one queue
  std::vector<std::unique_ptr<Lane>> lanes;
  std::vector<std::function<void()>> threads;  ///< bodies
  LoadResult result;
};

/// One lane's statistics in the page: "q0.load.measure.requests" and so on.
RunStats* place_stats(telemetry::Page& page, const std::string& prefix) {
  auto* stats = page.place<RunStats>();
  const auto counter = telemetry::Kind::counter;
  for (unsigned p = 0; p < kPhases; ++p) {
    PhaseStats& s = (*stats)[p];
    const std::string at = prefix + "load." + kPhaseNames[p] + ".";
    page.describe(at + "requests", "requests", counter, &s.requests);
    page.describe(at + "connections", "connections", counter, &s.connections);
    page.describe(at + "connections_opened", "connections", counter, &s.connections_opened);
    page.describe(at + "body_bytes", "bytes", counter, &s.body_bytes);
    page.describe(at + "unasked", "answers", counter, &s.unasked);
    for (unsigned e = 0; e < kErrorKinds; ++e) {
      page.describe(at + "errors." + kErrorNames[e], "requests", counter, &s.errors[e]);
    }
    page.describe(at + "censored", "requests", counter, &s.censored);
    page.describe(at + "latency", "ns", telemetry::Kind::histogram, &s.latency, sizeof s.latency);
  }
  return stats;
}

/// Makes what a lane is given and its place in the result.
LaneParts make_parts(Run& run, unsigned lane, unsigned lanes, std::vector<unsigned> targets) {
  LaneParts parts{.index = lane,
                  .lanes = lanes,
                  .targets = std::move(targets),
                  .control = &run.control,
                  .stats = place_stats(*run.page, "q" + std::to_string(lane) + ".")};
  run.result.lanes.push_back({.stats = parts.stats});
  return parts;
}

void make_kernel_lanes(Run& run) {
  const LoadOptions& o = run.options;
  const auto lanes = static_cast<unsigned>(std::max<std::size_t>(1, o.base.cores.size()));
  std::vector<unsigned> targets;
  for (unsigned t = 0; t < o.targets.size(); ++t) targets.push_back(t);
  for (unsigned i = 0; i < lanes; ++i) {
    auto lane = run.maker.socket_lane(make_parts(run, i, lanes, targets));
    run.threads.emplace_back([l = lane.get()] { l->run(); });
    run.result.lanes[i].thread = i;
    run.lanes.push_back(std::move(lane));
  }
  run.result.transports.emplace_back("kernel sockets");
}

// --- ports
// -----------------------------------------------------------------------------------------

/// RSS as the soft NIC does it. Over AF_XDP an answer comes to the queue that the server sent it
/// from, which for a server of ours is the one that it was asked on.
unsigned rss_queues(const std::string& uri, const nmio::Port& port) {
  return uri.starts_with("afxdp:") ? 1 : port.queues();
}

std::vector<std::unique_ptr<QueueLane>> lanes_of_port(Run& run, unsigned p, unsigned first_lane,
                                                      unsigned lanes) {
  const LoadOptions& o = run.options;
  runtime::OpenPort& port = run.ports[p];
  const unsigned target = o.targets.size() == 1 ? 0 : p;
  run.relays.push_back(port.port->queues() == 1 ? nullptr
                                                : std::make_unique<ArpRelay>(port.port->queues()));
  std::vector<std::unique_ptr<QueueLane>> made;
  for (unsigned q = 0; q < port.port->queues(); ++q) {
    const unsigned index = first_lane + q;
    const QueuePlace place{.port = port,
                           .queue = q,
                           .rss_queues = rss_queues(o.base.ports[p], *port.port),
                           .relay = run.relays.back().get(),
                           .page = *run.page,
                           .prefix = "q" + std::to_string(index) + "."};
    made.push_back(run.maker.queue_lane(make_parts(run, index, lanes, {target}), place));
    runtime::place_queue_counters(*run.page, place.prefix, port.port->queue(q));
  }
  return made;
}

runtime::Options with_all_sources(const LoadOptions& o) {
  runtime::Options base = o.base;
  if (o.source_addresses == 1) return base;
  for (std::string& uri : base.ports) {
    if (uri.starts_with("afxdp:")) {
      uri = runtime::with_uri_key(uri, "addresses", std::to_string(o.source_addresses));
    }
  }
  return base;
}

/// Lanes that are to run on one core share a thread; without --core each has its own.
void make_nmio_lanes(Run& run) {
  const LoadOptions& o = run.options;
  run.ports = runtime::open_ports(with_all_sources(o));
  unsigned lanes = 0;
  for (const runtime::OpenPort& port : run.ports) lanes += port.port->queues();
  if (o.connections < lanes) {
    throw UsageError(o.slots_word + " " + std::to_string(o.connections) + ": fewer than queues (" +
                     std::to_string(lanes) + "); give at least one each");
  }
  std::map<unsigned, std::vector<QueueLane*>> by_thread;
  unsigned index = 0;
  for (unsigned p = 0; p < run.ports.size(); ++p) {
    run.result.transports.push_back(run.ports[p].port->describe());
    for (auto& lane : lanes_of_port(run, p, index, lanes)) {
      const auto cores = static_cast<unsigned>(o.base.cores.size());
      const unsigned thread = cores == 0 ? index : index % cores;
      run.result.lanes[index].thread = thread;
      by_thread[thread].push_back(lane.get());
      run.lanes.push_back(std::move(lane));
      ++index;
    }
  }
  for (auto& [thread, of_thread] : by_thread) {
    auto* counters = runtime::place_loop_counters(*run.page, "q" + std::to_string(thread) + ".");
    run.threads.emplace_back([of_thread = of_thread, counters, &o] {
      LaneLoop(of_thread, o.base.loop, *counters).run();
    });
  }
  run.result.knows_wire_bytes = true;
}

// --- the run
// ---------------------------------------------------------------------------------------

/// Says so once all lanes are connected.
void announce_when_connected(Run& run, const std::atomic<unsigned>& threads_ended) {
  while (run.control.connected.load(std::memory_order_acquire) < run.control.clients) {
    if (run.control.failed.load() != 0 || threads_ended.load() == run.threads.size()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  runtime::announce_ready(run.options.base.ready_fd);
}

void run_threads(Run& run) {
  const std::vector<unsigned>& cores = run.options.base.cores;
  std::vector<std::exception_ptr> errors(run.threads.size() + 1);
  std::atomic<unsigned> ended{0};
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < run.threads.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          if (!cores.empty()) runtime::pin_to_core(cores[i % cores.size()]);
          run.threads[i]();
        } catch (...) {
          errors[i] = std::current_exception();
          run.control.failed.fetch_add(1);
        }
        ended.fetch_add(1);
      });
    }
    try {
      announce_when_connected(run, ended);
    } catch (...) {
      errors.back() = std::current_exception();
      run.control.failed.fetch_add(1);
    }
  }  // joined here
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

void gather(Run& run) {
  LoadResult& r = run.result;
  for (std::size_t i = 0; i < run.lanes.size(); ++i) {
    const ClientState& client = run.lanes[i]->client();
    if (!client.failure().empty()) throw std::runtime_error(client.failure());
    if (client.schedule().start != nmio::kNever) r.schedule = client.schedule();
    r.ended = std::max(r.ended, client.ended());
    r.interrupted |= client.was_interrupted();
    for (unsigned p = 0; p < kPhases; ++p) r.lanes[i].used[p] = client.used(static_cast<Phase>(p));
  }
  run.page->finish();
  r.page = run.page;
}

}  // namespace

std::vector<KernelTransport::Target> kernel_targets(const LoadOptions& o) {
  std::vector<KernelTransport::Target> targets;
  for (std::size_t t = 0; t < o.targets.size(); ++t) {
    KernelTransport::Target target{.server = o.targets[t]};
    if (!o.base.addresses.empty()) {
      target.first_source = o.base.addresses[t % o.base.addresses.size()].address;
      target.sources = o.source_addresses;
    }
    targets.push_back(target);
  }
  return targets;
}

LoadResult run_lanes(const LoadOptions& options, LaneMaker& maker, const std::atomic<bool>& stop) {
  Run run{.options = options,
          .maker = maker,
          .control = {},
          .page = {},
          .ports = {},
          .relays = {},
          .lanes = {},
          .threads = {},
          .result = {}};
  run.control.interrupted = &stop;
  const std::size_t most_queues = 64;
  run.page = runtime::make_page(options.base.telemetry, "rigload",
                                options.kernel ? "kernel" : "nmio", most_queues);
  if (options.kernel) {
    make_kernel_lanes(run);
  } else {
    make_nmio_lanes(run);
  }
  run.control.clients = static_cast<unsigned>(run.lanes.size());
  run_threads(run);
  gather(run);
  return std::move(run.result);
}

}  // namespace stackrig::rigload
