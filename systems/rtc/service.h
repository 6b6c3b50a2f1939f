// SPDX-License-Identifier: Apache-2.0
// What a service of `rtc` is to the frame: something that the loop runs on one queue. All that
// differs between services is behind it; a virtual call per burst, none per packet.
//
// Thread: the queue's.
#pragma once

#include <cstdint>
#include <span>

#include "nmio/packet.h"

namespace stackrig::rtc {

using nmio::Time;

class Service {
 public:
  virtual ~Service() = default;
  virtual void on_burst(std::span<const nmio::RxPacket> burst, Time now) = 0;
  virtual void on_idle(Time now) = 0;
  [[nodiscard]] virtual Time next_deadline() const = 0;
};

/// What services share of the command line.
struct ServiceConfig {
  std::uint16_t tcp_port = 0;
  std::uint32_t connections = 4096;  ///< accepted ones at a time, per queue
  std::uint32_t backends = 256;      ///< forward: opened ones at a time
  std::uint32_t large_messages =
      256;  ///< forward: of more than 8 KiB, arriving in pieces at a time
  std::uint32_t largest_message = 1U << 20;  ///< forward: bytes; a longer one is malformed
  std::uint32_t backend_bytes =
      (1U << 20) + (128U << 10);             ///< forward: pending per backend; no message is longer
  Time idle_timeout = 3600 * nmio::kSecond;  ///< nothing comes and nothing is acknowledged
  Time send_timeout = 60 * nmio::kSecond;    ///< something is pending, nothing is acknowledged
  Time connect_timeout = 10 * nmio::kSecond;  ///< forward: until a backend answers
  Time message_timeout =
      60 * nmio::kSecond;  ///< forward: from a large message's first byte to its last
};

/// A counter of a service, by the name that readers of its telemetry page see.
template <class Counters>
struct CounterInfo {
  const char* name;
  const char* unit;
  std::uint64_t Counters::*field;
};

}  // namespace stackrig::rtc
