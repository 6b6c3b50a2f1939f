// SPDX-License-Identifier: Apache-2.0
// One thread per queue: each builds its own application on its queue and runs the loop on it.
// Nothing is shared between them (thesis 3.2.4) but the stop flag and the page that they count in.
//
//   run_threads<Server>(options, ports, page, stop_flag(),
//                       [&](QueuePlace& place) { return std::make_unique<Server>(place, ...); },
//                       [&] { announce_ready(options.ready_fd); });
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nmio/loop.h"
#include "runtime/counters.h"
#include "runtime/options.h"
#include "runtime/ports.h"
#include "telemetry/page.h"

namespace stackrig::runtime {

/// Where one thread works. Lives until all threads have ended.
struct QueuePlace {
  unsigned index = 0;  ///< of the queue, over all ports
  unsigned port_index = 0;
  unsigned port_queue = 0;  ///< of the queue, in its port
  nmio::Port* port = nullptr;
  nmio::Queue* queue = nullptr;
  wire::Ipv4Cidr address;
  const Options* options = nullptr;
  telemetry::Page* page = nullptr;
  std::string prefix;  ///< of its telemetry names, "q0."
  nmio::LoopCounters* loop_counters = nullptr;
  nmio::TxBatch batch;
};

/// The places of all queues of all ports, with their counters in the page.
std::vector<std::unique_ptr<QueuePlace>> make_places(const Options& options,
                                                     std::vector<OpenPort>& ports,
                                                     telemetry::Page& page);

/// Starts a thread per place, bound to its core. Each calls prepare(place), waits until all have,
/// and then calls loop(place); `all_prepared` is called once, between the two. Returns when all
/// have ended. Where one throws, all are stopped and the first exception is thrown here. Sets
/// `stop` then.
void run_places(const Options& options, std::vector<std::unique_ptr<QueuePlace>>& places,
                std::atomic<bool>& stop, const std::function<void(QueuePlace&)>& prepare,
                const std::function<void()>& all_prepared,
                const std::function<void(QueuePlace&)>& loop);

/// `build` makes an application in its own thread, so that its memory is near; `ready` is called
/// when all have been made; `done` (optional) in the thread again, after the loop.
template <nmio::LoopApp App>
void run_threads(const Options& options, std::vector<OpenPort>& ports, telemetry::Page& page,
                 std::atomic<bool>& stop,
                 const std::function<std::unique_ptr<App>(QueuePlace&)>& build,
                 const std::function<void()>& ready,
                 const std::function<void(App&, QueuePlace&)>& done = {}) {
  auto places = make_places(options, ports, page);
  std::vector<std::unique_ptr<App>> apps(places.size());
  run_places(
      options, places, stop, [&](QueuePlace& p) { apps[p.index] = build(p); }, ready,
      [&](QueuePlace& p) {
        App& app = *apps[p.index];
        nmio::run(*p.queue, p.batch, app, options.loop, *p.loop_counters, stop);
        if (done) done(app, p);
        apps[p.index].reset();
      });
  page.finish();
}

}  // namespace stackrig::runtime
