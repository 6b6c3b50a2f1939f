// SPDX-License-Identifier: Apache-2.0
// What is served, and how the next edition takes the place of the one before without a query lost.
//
// An edition is immutable, so every instance reads it without a lock. publish() is called by
// one thread at a time; each instance looks at its reader between two bursts, where it holds no
// pointer into an edition, and goes over by itself. The publisher keeps the edition before until
// nobody reads it any more and frees it in its own thread: giving back a large zone's memory takes
// longer than a receive ring lasts.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "dns/answer_table.h"
#include "dns/zone_set.h"

namespace stackrig::namestorm {

template <class Key>
struct Edition {
  explicit Edition(std::shared_ptr<const dns::ZoneSet> z) : zones(std::move(z)), table(*zones) {}

  std::shared_ptr<const dns::ZoneSet> zones;
  dns::AnswerTable<Key> table;
  std::uint64_t number = 0;  ///< counts from 1; set by the publisher
};

template <class Key>
class Publisher {
 public:
  using EditionPtr = std::shared_ptr<const Edition<Key>>;

  explicit Publisher(std::unique_ptr<Edition<Key>> first) { publish(std::move(first)); }

  /// Number of the newest edition. Any thread.
  [[nodiscard]] std::uint64_t number() const { return number_.load(std::memory_order_acquire); }
  [[nodiscard]] EditionPtr current() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  /// Makes `next` the current edition and returns the one before, for wait_until_unread().
  EditionPtr publish(std::unique_ptr<Edition<Key>> next) {
    const std::uint64_t number = number_.load(std::memory_order_relaxed) + 1;
    next->number = number;
    EditionPtr before;
    {
      const std::lock_guard lock(mutex_);
      before = std::exchange(current_, EditionPtr(std::move(next)));
    }
    // Told when the lock is free: no instance waits for a publisher that does not get to run.
    number_.store(number, std::memory_order_release);
    return before;
  }

 private:
  mutable std::mutex mutex_;
  EditionPtr current_;
  std::atomic<std::uint64_t> number_{0};
};

/// Returns when `edition` is the last pointer to it, or when asked to stop.
template <class Key>
void wait_until_unread(const std::shared_ptr<const Edition<Key>>& edition, std::stop_token stop) {
  while (edition.use_count() > 1 && !stop.stop_requested())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

/// One instance's view. Thread: the instance's.
template <class Key>
class EditionReader {
 public:
  explicit EditionReader(const Publisher<Key>& publisher)
      : publisher_(publisher), edition_(publisher.current()) {}

  /// Goes over to a newer edition where there is one; true where it did. Call only where no pointer
  /// into the edition is held.
  bool refresh() {
    if (publisher_.number() <= edition_->number) [[likely]]
      return false;
    edition_ = publisher_.current();
    return true;
  }
  [[nodiscard]] const Edition<Key>& operator*() const { return *edition_; }
  [[nodiscard]] const Edition<Key>* operator->() const { return edition_.get(); }

 private:
  const Publisher<Key>& publisher_;
  std::shared_ptr<const Edition<Key>> edition_;
};

}  // namespace stackrig::namestorm
