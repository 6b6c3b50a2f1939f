// SPDX-License-Identifier: Apache-2.0
// The frame that a service runs in on one queue: TCP, memory to send from, the loop's calls.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "runtime/threads.h"
#include "send_pool.h"
#include "service.h"
#include "services.h"
#include "settings.h"
#include "tcpip/stack.h"

namespace stackrig::rtc {

class Instance {
 public:
  /// Throws nmio::SetupError.
  Instance(runtime::QueuePlace& place, const ServiceKind& kind, const Settings& settings);

  void on_burst(std::span<const nmio::RxPacket> burst, Time now) { service_->on_burst(burst, now); }
  void on_idle(Time now) { service_->on_idle(now); }
  [[nodiscard]] Time next_deadline() const { return service_->next_deadline(); }
  [[nodiscard]] const SendPool& pool() const { return *pool_; }

 private:
  std::unique_ptr<SendPool> pool_;
  std::unique_ptr<tcpip::Stack> stack_;
  std::unique_ptr<Service> service_;
};

/// Control blocks for all connections that a service accepts and opens, its listener, and those
/// that are still half open.
[[nodiscard]] std::uint32_t control_blocks(const Settings& settings);
/// Packet chunks that a queue needs: memory to send from, the device's rings, what circulates.
[[nodiscard]] std::uint64_t chunks_needed(const Settings& settings);

}  // namespace stackrig::rtc
