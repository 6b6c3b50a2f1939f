// SPDX-License-Identifier: Apache-2.0
// The forwarder's destinations: connected, found by key, closed once all that they were given is
// with TCP. Nothing but the programs sends on them.
//
// Thread: the poller's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>

#include "counters.h"
#include "poller.h"
#include "programs.h"
#include "slots.h"
#include "wire/address.h"

namespace stackrig::in_kernel {

class Backends {
 public:
  struct Config {
    BufferSizes buffers;
    std::chrono::milliseconds connect_timeout{5000};
    /// A backend that takes nothing of what is to be sent before it is closed is given up then.
    std::chrono::milliseconds drain_timeout{30'000};
  };

  Backends(Programs& programs, Poller& poller, Counters& counters, const Config& config,
           std::uint32_t most);
  ~Backends();
  Backends(const Backends&) = delete;
  Backends& operator=(const Backends&) = delete;

  /// Connects a backend for `key`, in place of the one that it had. Calls done(errno, or 0), never
  /// before it returns.
  void connect(std::int32_t key, wire::Endpoint to, std::function<void(int)> done);

  /// Closes all. Calls done(how many there were) when what they were given is sent, never before it
  /// returns.
  void close_all(std::function<void(std::int32_t)> done);

  /// None where no backend has the key.
  [[nodiscard]] std::optional<std::uint32_t> slot_of(std::int32_t key) const;

 private:
  class Backend;
  struct Closing {
    std::int32_t count;
    std::size_t left;
    std::function<void(std::int32_t)> done;
  };
  void established(Backend& backend);
  void failed(Backend& backend, int error);
  void retire(Backend& backend);
  void drain(Backend& backend, std::shared_ptr<Closing> closing);
  void finish(const std::shared_ptr<Closing>& closing);

  Programs& programs_;
  Poller& poller_;
  Counters& counters_;
  Config config_;
  Slots slots_;
  std::map<Backend*, std::unique_ptr<Backend>> all_;
  std::unordered_map<std::int32_t, Backend*> by_key_;
};

}  // namespace stackrig::in_kernel
