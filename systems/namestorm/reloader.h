// SPDX-License-Identifier: Apache-2.0
// SIGHUP: the zone files are read again, beside the instances, and the new edition published.
//
// Where a file cannot be served, what was served before stays, and the log says why. SIGHUPs that
// come while one is worked on are one more reload after it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "dns/zone_set.h"
#include "edition.h"
#include "telemetry.h"

namespace stackrig::namestorm {

/// Keeps SIGHUP from ending the process. Before any thread is started: they inherit it.
void block_reload_signal();

/// A thread that calls `reload` for each SIGHUP, until it is destroyed, and `tick` (optional) some
/// twenty times a second. What `reload` throws is logged. `stop` is set when the thread should come
/// to an end.
class ReloadThread {
 public:
  using Reload = std::function<void(const std::stop_token& stop)>;
  using Tick = std::function<void()>;
  ReloadThread(Reload reload, Tick tick, ZoneCounters& counters);

 private:
  std::jthread thread_;
};

/// One writer; others look while it writes.
inline void publish(std::uint64_t& counter, std::uint64_t value) {
  std::atomic_ref(counter).store(value, std::memory_order_relaxed);
}

/// What is there, for telemetry.
template <class Key>
void describe(const Edition<Key>& edition, ZoneCounters& counters) {
  publish(counters.zones_now, edition.zones->size());
  publish(counters.names_now, edition.zones->names());
  publish(counters.records_now, edition.zones->records());
  publish(counters.answers_now, edition.table.size());
  publish(counters.zone_bytes_now, edition.zones->memory());
  publish(counters.table_bytes_now, edition.table.memory());
}

template <class Key>
class Reloader {
 public:
  using Prepare = std::function<void(const Edition<Key>&)>;

  /// `prepare` (optional) is called in the reload thread before the instances see an edition; where
  /// it throws, they never do. All outlive the reloader.
  Reloader(const std::vector<dns::ZoneFile>& files, Publisher<Key>& publisher,
           ZoneCounters& counters, Prepare prepare = {}, ReloadThread::Tick tick = {})
      : files_(files),
        publisher_(publisher),
        counters_(counters),
        prepare_(std::move(prepare)),
        thread_([this](const std::stop_token& stop) { reload(stop); }, std::move(tick), counters) {}

 private:
  void reload(const std::stop_token& stop) {
    auto next = std::make_unique<Edition<Key>>(dns::ZoneSet::load(files_));
    if (prepare_) prepare_(*next);
    describe(*next, counters_);
    const auto before = publisher_.publish(std::move(next));
    wait_until_unread<Key>(before, stop);
  }  // the memory of `before` is given back here

  const std::vector<dns::ZoneFile>& files_;
  Publisher<Key>& publisher_;
  ZoneCounters& counters_;
  Prepare prepare_;
  ReloadThread thread_;
};

}  // namespace stackrig::namestorm
