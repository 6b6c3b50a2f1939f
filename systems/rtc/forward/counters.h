// SPDX-License-Identifier: Apache-2.0
// What the forwarder counts.
#pragma once

#include <cstdint>
#include <span>

#include "service.h"

namespace stackrig::rtc {

struct ForwardCounters {
  std::uint64_t messages, bytes;  ///< forwarded (given to a backend's queue)
  std::uint64_t no_backend;       ///< messages dropped: their key leads nowhere
  std::uint64_t connects, closes, unknown_methods;
  std::uint64_t connects_failed;
  std::uint64_t malformed;  ///< connections dropped for what they sent
  std::uint64_t cut_short;  ///< connections that ended in the middle of a message
  std::uint64_t in_pieces;  ///< messages that were put together from pieces
  std::uint64_t waited_for_backend, waited_for_buffer;  ///< times that reading did
  std::uint64_t no_memory;      ///< connections dropped: no memory for a reply
  std::uint64_t backends_lost;  ///< that went away before they were closed
  std::uint64_t bytes_lost;     ///< that were on their way to them
  std::uint64_t timed_out;      ///< connections dropped for taking too long
  std::uint64_t connections_now, backends_now;
};
std::span<const CounterInfo<ForwardCounters>> forward_counter_table();

}  // namespace stackrig::rtc
