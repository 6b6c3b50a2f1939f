// SPDX-License-Identifier: Apache-2.0
// What the command line says, for all queues.
#pragma once

#include <cstdint>
#include <optional>

#include "service.h"
#include "tcpip/stack.h"

namespace stackrig::rtc {

struct Settings {
  ServiceConfig service;
  tcpip::Config tcp;  ///< address, MAC, offload, secret, number of connections are the place's
  std::uint32_t send_memory_mib = 64;  ///< per queue
  /// Segments of at least so many bytes are sent by reference. Nothing: what is best for the
  /// device.
  std::optional<std::uint32_t> reference_from;
};

}  // namespace stackrig::rtc
