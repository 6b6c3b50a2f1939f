// SPDX-License-Identifier: Apache-2.0
// The services that there are. A new one is a folder, and a line in services.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "runtime/threads.h"
#include "send_pool.h"
#include "service.h"
#include "settings.h"
#include "tcpip/stack.h"

namespace stackrig::rtc {

struct ServiceKind {
  std::string_view name;
  std::uint16_t port;  ///< TCP, where none is given
  bool opens = false;  ///< opens connections of its own, and so runs on one queue
  /// Makes it, listening, with its counters in the place's page. Throws nmio::SetupError.
  std::unique_ptr<Service> (*make)(const Settings& settings, runtime::QueuePlace& place,
                                   tcpip::Stack& stack, SendPool& pool);
};

std::span<const ServiceKind> service_kinds();
/// Throws runtime::UsageError, which names the nearest that there is.
const ServiceKind& service_kind(std::string_view name);

}  // namespace stackrig::rtc
