// SPDX-License-Identifier: Apache-2.0
// What carries connections: our own stack on a port, or the kernel's sockets. One per thread.
//
// A connection is named by its slot, a small number that the client of this interface chooses. The
// transport tells what happens through StreamEvents; an event names a slot that is open, never one
// that was closed or aborted. Both sides may be called from within each other, but open() does not
// call back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "nmio/packet.h"

namespace stackrig::rigload {

using nmio::Time;
using SlotId = std::uint32_t;

/// Bytes to send, made before the run. This and the bytes stay in place until the connection is
/// gone: a retransmission reads them again.
struct Prepared {
  const std::byte* data = nullptr;
  std::uint32_t len = 0;
  std::uint16_t sum = 0;  ///< ones'-complement sum (wire::sum(), folded)
};

/// How a connection came to its end other than by FIN.
enum class Lost : std::uint8_t { reset, refused, unreachable };

class StreamEvents {
 public:
  virtual void on_connected(SlotId slot, Time now) = 0;
  /// In order; the bytes are valid during the call only.
  virtual void on_bytes(SlotId slot, std::span<const std::byte> bytes, Time now) = 0;
  virtual void on_remote_closed(SlotId slot, Time now) = 0;   ///< FIN, after all bytes
  virtual void on_lost(SlotId slot, Lost how, Time now) = 0;  ///< the slot is closed

 protected:
  ~StreamEvents() = default;
};

class StreamTransport {
 public:
  enum class Open : std::uint8_t {
    started,
    later,   ///< no room at the moment: ask again next turn
    failed,  ///< no local port, no route: counts as an error
  };

  virtual ~StreamTransport() = default;
  virtual Open open(SlotId slot, Time now) = 0;
  /// Once connected, one request at a time. False where the connection cannot take it.
  virtual bool send(SlotId slot, const Prepared& request, Time now) = 0;
  /// FIN; the slot may be opened anew at once.
  virtual void close(SlotId slot, Time now) = 0;
  /// RST; the slot may be opened anew at once.
  virtual void abort(SlotId slot, Time now) = 0;
};

}  // namespace stackrig::rigload
