// SPDX-License-Identifier: Apache-2.0
// Accepts connections and keeps them: the loader's loop. Thread: one.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "backends.h"
#include "client.h"

namespace stackrig::in_kernel {

class Server {
 public:
  struct Config {
    Programs::Config programs;
    BufferSizes buffers;
    Backends::Config backends;
  };

  /// Serves on `listeners`, which are non-blocking. Throws runtime::UsageError where the kernel
  /// does not take the programs.
  Server(const Config& config, std::vector<Fd> listeners, telemetry::Page& page);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void run(const std::atomic<bool>& stop);

 private:
  class Listener;
  class Takings;
  void accept_all(int listener);
  void accepted(Fd fd);

  Config config_;
  Programs programs_;
  Telemetry telemetry_;
  Poller poller_;
  Backends backends_;
  Slots slots_;
  Client::Context context_;
  std::vector<std::unique_ptr<Client>> clients_;  ///< by slot
  std::unique_ptr<Takings> takings_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace stackrig::in_kernel
