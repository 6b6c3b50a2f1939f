// SPDX-License-Identifier: Apache-2.0
// What carries a forwarder's load: connections to the forwarder, and listeners that it connects to.
//
// A connection is named by its slot, a small number that the user of this interface chooses. What
// happens is told through ForwardEvents, and names a slot that is open. Both sides may be called
// from within each other, but open() and write() do not call back.
#pragma once

#include <cstdint>
#include <span>

#include "rigload/stream_transport.h"
#include "wire/address.h"

namespace stackrig::rigload {

class ForwardEvents : public StreamEvents {
 public:
  /// A write is done with, whole: its bytes may be changed. In the order of the writes.
  virtual void on_written(SlotId slot, Time now) = 0;

 protected:
  ~ForwardEvents() = default;
};

class ForwardTransport {
 public:
  virtual ~ForwardTransport() = default;
  /// Towards the forwarder. False where no socket or route can be had.
  virtual bool open(SlotId slot, Time now) = 0;
  /// Where the forwarder is to connect to for this slot. One connection is taken, and told of by
  /// on_connected(); a second one is closed.
  [[nodiscard]] virtual wire::Endpoint listening(SlotId slot) const = 0;
  /// Several may be under way. The bytes stay in place until on_written().
  virtual void write(SlotId slot, const Prepared& bytes, Time now) = 0;
  /// FIN behind everything that was written; reading goes on.
  virtual void half_close(SlotId slot, Time now) = 0;
  /// Gone at once: by FIN where both sides have nothing left, else by RST.
  virtual void drop(SlotId slot, Time now) = 0;
};

}  // namespace stackrig::rigload
