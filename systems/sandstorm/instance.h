// SPDX-License-Identifier: Apache-2.0
// All of Sandstorm that lives on one queue: frames, TCP, HTTP. What a loop runs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "library.h"
#include "runtime/threads.h"
#include "server.h"
#include "tcpip/stack.h"

namespace stackrig::sandstorm {

struct Settings {
  tcpip::PackagedContent::Config content;
  tcpip::Config tcp;  ///< address, MAC, offload, secret are the place's
  ServerConfig server;
};

class Instance {
 public:
  /// Cuts `site` into the place's packet memory and listens. Throws nmio::SetupError.
  Instance(runtime::QueuePlace& place, const Site& site, const Settings& settings);

  void on_burst(std::span<const nmio::RxPacket> burst, nmio::Time now) {
    server_->on_burst(burst, now);
  }
  void on_idle(nmio::Time now) { server_->on_idle(now); }
  [[nodiscard]] nmio::Time next_deadline() const { return server_->next_deadline(); }
  [[nodiscard]] const ServerCounters& counters() const { return server_->counters(); }

 private:
  std::unique_ptr<Library> library_;
  std::unique_ptr<tcpip::Stack> stack_;
  std::unique_ptr<Server> server_;
};

/// Packet chunks that a queue needs: one copy of every frame, room for the copies that circulate,
/// and the device's rings.
[[nodiscard]] std::uint64_t chunks_needed(const Site& site, const Settings& settings);

}  // namespace stackrig::sandstorm
