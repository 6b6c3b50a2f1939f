// SPDX-License-Identifier: Apache-2.0
// Threads that start together and stop together.
#include "runtime/threads.h"

#include <barrier>
#include <exception>
#include <mutex>
#include <thread>

#include "runtime/process.h"

namespace stackrig::runtime {
namespace {

// The first exception of any thread; it stops the others.
class FirstError {
 public:
  explicit FirstError(std::atomic<bool>& stop) : stop_(stop) {}
  void keep(std::exception_ptr e) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(e);
    stop_.store(true, std::memory_order_relaxed);
  }
  bool any() {
    const std::lock_guard lock(mutex_);
    return error_ != nullptr;
  }
  void rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::atomic<bool>& stop_;
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace

std::vector<std::unique_ptr<QueuePlace>> make_places(const Options& options,
                                                     std::vector<OpenPort>& ports,
                                                     telemetry::Page& page) {
  std::vector<std::unique_ptr<QueuePlace>> places;
  for (unsigned p = 0; p < ports.size(); ++p) {
    for (unsigned q = 0; q < ports[p].port->queues(); ++q) {
      auto place = std::make_unique<QueuePlace>();
      place->index = static_cast<unsigned>(places.size());
      place->port_index = p;
      place->port_queue = q;
      place->port = ports[p].port.get();
      place->queue = &place->port->queue(q);
      place->address = ports[p].address;
      place->options = &options;
      place->page = &page;
      place->prefix = "q" + std::to_string(place->index) + ".";
      place->loop_counters = place_loop_counters(page, place->prefix);
      place_queue_counters(page, place->prefix, *place->queue);
      places.push_back(std::move(place));
    }
  }
  return places;
}

void run_places(const Options& options, std::vector<std::unique_ptr<QueuePlace>>& places,
                std::atomic<bool>& stop, const std::function<void(QueuePlace&)>& prepare,
                const std::function<void()>& all_prepared,
                const std::function<void(QueuePlace&)>& loop) {
  FirstError error(stop);
  const auto attempt = [&error](const auto& step) {
    try {
      step();
    } catch (...) {
      error.keep(std::current_exception());
    }
  };
  std::barrier prepared(static_cast<std::ptrdiff_t>(places.size()), [&]() noexcept {
    if (!error.any()) attempt(all_prepared);
  });
  {
    std::vector<std::jthread> threads;
    threads.reserve(places.size());
    for (auto& place : places) {
      threads.emplace_back([&, p = place.get()] {
        attempt([&] {
          if (!options.cores.empty()) pin_to_core(options.cores[p->index % options.cores.size()]);
          prepare(*p);
        });
        prepared.arrive_and_wait();
        if (!error.any()) attempt([&] { loop(*p); });
      });
    }
  }  // joined here
  error.rethrow();
}

}  // namespace stackrig::runtime
