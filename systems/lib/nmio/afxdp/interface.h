// SPDX-License-Identifier: Apache-2.0
// Facts about a network interface, as the kernel tells them.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace stackrig::nmio::afxdp {

struct Interface {
  std::string name;
  unsigned index = 0;
  std::array<std::uint8_t, 6> mac{};
  std::uint32_t mtu = 0;
  unsigned receive_queues = 1;
  unsigned transmit_queues = 1;
};

/// Throws SetupError: no such interface (with the nearest that exists), no Ethernet, down.
Interface look_up(const std::string& name);

}  // namespace stackrig::nmio::afxdp
