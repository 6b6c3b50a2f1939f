// SPDX-License-Identifier: Apache-2.0
// What this system sets on sockets beyond what sockets/ does, and what TCP says of them.
#pragma once

#include <cstdint>
#include <optional>

#include "sockets/sockets.h"

namespace stackrig::in_kernel {

using sockets::Fd;

struct BufferSizes {
  int receive = 256 << 10;  ///< bytes of payload, about; what a slow receiver costs its sender
  int send = 1 << 20;       ///< bytes of payload, about
};

/// Sizes of the buffers, beyond the system-wide limit where we may.
void set_buffers(int fd, const BufferSizes& sizes);

/// Bytes of data that TCP has taken for sending since the connection began; may be too few while
/// acknowledgements arrive, never too many. None where it cannot be asked.
std::optional<std::uint64_t> bytes_written(int fd);

/// Sequence numbers that the peer has used for data and, where it came, a FIN; those in order.
/// Waits for whoever works on the socket.
std::uint64_t bytes_received(int fd);

std::uint64_t cookie_of(int fd);

}  // namespace stackrig::in_kernel
