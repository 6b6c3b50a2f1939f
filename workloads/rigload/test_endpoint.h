// SPDX-License-Identifier: Apache-2.0
// For tests: where a program of the test's may listen.
#pragma once

#include <unistd.h>

#include <cstdint>

#include "sockets/sockets.h"

namespace stackrig::rigload::fake {

/// A port that is free, and stays so until a program of this test takes it: its loopback address is
/// the test's own. On 127.0.0.1 a connection of anybody's may get the port meanwhile.
inline wire::Endpoint free_endpoint() {
  const std::uint32_t own = 0x7f400000U | (static_cast<std::uint32_t>(::getpid()) & 0x3fffffU);
  return sockets::local_of(sockets::listen_on({{own}, 0}, false).get());
}

}  // namespace stackrig::rigload::fake
