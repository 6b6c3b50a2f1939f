// SPDX-License-Identifier: Apache-2.0
// Accepts clients and keeps the pairs: the loader's loop. Thread: one.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "../bpf/slots.h"
#include "pair.h"

namespace stackrig::in_kernel::proxy {

class Proxy {
 public:
  struct Config {
    std::uint32_t most_clients = 8192;
    BufferSizes client_buffers;
    Relay::Limits limits;
    Pool::Config pool;
    std::chrono::milliseconds most_idle{75'000};
    std::chrono::milliseconds most_linger{5000};
  };

  /// Serves on `listeners`, which are non-blocking. Throws runtime::UsageError where the kernel
  /// does not take the program.
  Proxy(const Config& config, std::vector<Fd> listeners, telemetry::Page& page);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  void run(const std::atomic<bool>& stop);

 private:
  class Listener;
  class Notices;
  void accept_all(Listener& listener);
  void accepted(Fd fd);
  void tick();

  Config config_;
  Relay relay_;
  Telemetry telemetry_;
  Poller poller_;
  Pool pool_;
  Slots slots_;
  Pair::Context context_;
  std::vector<std::unique_ptr<Pair>> pairs_;  ///< by half their slot
  std::unique_ptr<Notices> notices_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace stackrig::in_kernel::proxy
