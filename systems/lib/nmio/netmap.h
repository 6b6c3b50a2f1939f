// SPDX-License-Identifier: Apache-2.0
// nmio by the names of the thesis' Table 3.1 (3.2.5): interfaces are opened, a callback takes what
// comes in, an engine runs an interface's loop, and one function sends a packet by reference or by
// copy.
//
//   auto netmap = netmap_init(uris);
//   netmap_input_set_cb(*netmap, 0, on_packets, app);
//   netmap_input(*netmap, 0, stop);                       // Figure 3.3, until `stop`
//   ... in the callback: netmap_output(*netmap, 0, pool, slot, bytes, kZeroCopy);
//
// A thin face over Port, Queue and Loop: an interface is a port's first queue. Systems of this
// project use those directly. Thread: an interface belongs to the thread that runs netmap_input()
// on it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nmio/loop.h"
#include "nmio/packet.h"
#include "nmio/packet_memory.h"
#include "nmio/port.h"

namespace stackrig::nmio {

/// Takes the packets of one burst; their chunks are the callback's from then on.
using InputFn = void (*)(void* app, std::span<const RxPacket> burst, Time now);

enum OutputFlag : unsigned {
  kZeroCopy =
      0,      ///< the slot itself goes out; it is of the interface's own memory and returns home
  kCopy = 1,  ///< its bytes are copied into a slot of the interface's memory; the caller keeps it
};

class Netmap {
 public:
  struct Interface {
    std::unique_ptr<Port> port;
    TxBatch batch;
    InputFn input = nullptr;
    void* app = nullptr;
    LoopCounters counters;
    [[nodiscard]] Queue& queue() const { return port->queue(0); }
  };
  [[nodiscard]] Interface& at(unsigned interface) { return *interfaces_.at(interface); }

 private:
  friend std::unique_ptr<Netmap> netmap_init(std::span<const std::string> interfaces);
  std::vector<std::unique_ptr<Interface>> interfaces_;
};

/// Opens the interfaces that the port URIs name. Throws SetupError.
std::unique_ptr<Netmap> netmap_init(std::span<const std::string> interfaces);

/// What takes an interface's packets; before netmap_input().
void netmap_input_set_cb(Netmap& netmap, unsigned interface, InputFn callback, void* app);

/// Runs the interface's loop (Figure 3.3) in this thread until `stop`. Throws SetupError without a
/// callback.
void netmap_input(Netmap& netmap, unsigned interface, const std::atomic<bool>& stop,
                  const LoopConfig& config = {});

/// Queues the first `bytes` bytes of `slot` in `pool` on the interface's transmit ring, as the
/// flags say. False where the ring, or for kCopy the memory, has no room: the slot stays the
/// caller's. The loop rings the doorbell, for many packets at a time.
bool netmap_output(Netmap& netmap, unsigned interface, PacketMemory& pool, ChunkId slot,
                   std::uint32_t bytes, unsigned flags);

}  // namespace stackrig::nmio
