// SPDX-License-Identifier: Apache-2.0
// Table 3.1's names over Port, Queue and Loop.
#include "nmio/netmap.h"

#include <cstring>

namespace stackrig::nmio {
namespace {

/// The application of an interface's loop: hands each burst to the callback.
struct InputEngine {
  Netmap::Interface& interface;
  void on_burst(std::span<const RxPacket> burst, Time now) {
    interface.input(interface.app, burst, now);
  }
  void on_idle(Time /*now*/) {}
  [[nodiscard]] Time next_deadline() const { return kNever; }
};

}  // namespace

std::unique_ptr<Netmap> netmap_init(std::span<const std::string> interfaces) {
  auto netmap = std::make_unique<Netmap>();
  for (const std::string& uri : interfaces) {
    auto interface = std::make_unique<Netmap::Interface>();
    interface->port = Port::open(uri);
    set_room(interface->batch, interface->queue());
    netmap->interfaces_.push_back(std::move(interface));
  }
  return netmap;
}

void netmap_input_set_cb(Netmap& netmap, unsigned interface, InputFn callback, void* app) {
  Netmap::Interface& i = netmap.at(interface);
  i.input = callback;
  i.app = app;
}

void netmap_input(Netmap& netmap, unsigned interface, const std::atomic<bool>& stop,
                  const LoopConfig& config) {
  Netmap::Interface& i = netmap.at(interface);
  if (i.input == nullptr) {
    throw SetupError("interface " + std::to_string(interface) +
                     ": nothing takes its packets; call netmap_input_set_cb() first");
  }
  InputEngine engine{i};
  run(i.queue(), i.batch, engine, config, i.counters, stop);
}

bool netmap_output(Netmap& netmap, unsigned interface, PacketMemory& pool, ChunkId slot,
                   std::uint32_t bytes, unsigned flags) {
  Netmap::Interface& i = netmap.at(interface);
  if (!i.batch.has_room()) return false;
  ChunkId chunk = slot;
  if ((flags & kCopy) != 0) {
    chunk = i.queue().memory().take();
    if (chunk == kNoChunk) return false;
    std::memcpy(i.queue().memory().data(chunk), pool.data(slot), bytes);
  }
  i.batch.push({i.queue().memory().data(chunk), bytes, chunk, 0, 0, 0, 0});
  return true;
}

}  // namespace stackrig::nmio
