// SPDX-License-Identifier: Apache-2.0
// Building one queue's Sandstorm.
#include "instance.h"

#include <algorithm>

#include "ip/interface.h"
#include "nmio/clock.h"
#include "runtime/process.h"
#include "telemetry.h"

namespace stackrig::sandstorm {
namespace {

/// Chunks beside the frames: receive and transmit rings, and what circulates between them.
constexpr std::uint64_t kWorkingChunks = 12288;
constexpr std::uint32_t kControlChunks = 256;  ///< SYN-ACKs, ACKs, resets, ARP

tcpip::Config tcp_config(const runtime::QueuePlace& place, tcpip::Config config) {
  config.address = place.address;
  config.gateway = place.options->gateway;
  config.mac = runtime::mac_of(*place.port);
  config.mtu = place.port->mtu();
  config.offload = place.queue->offload();
  for (std::uint64_t& key : config.secret) key = runtime::random_secret();
  return config;
}

}  // namespace

std::uint64_t chunks_needed(const Site& site, const Settings& settings) {
  const std::uint64_t frames = Library::chunks_for(site, settings.content.segment_bytes);
  // Copies are made where a frame is wanted while all of its copies are in the ring: a ring of
  // them.
  return frames + std::min<std::uint64_t>(frames, 4096) + kWorkingChunks;
}

Instance::Instance(runtime::QueuePlace& place, const Site& site, const Settings& settings) {
  nmio::PacketMemory& memory = place.queue->memory();
  tcpip::PackagedContent::Config content = settings.content;
  // Nothing is being sent yet: what fits is the ring. One for each direction, and what TCP says
  // without data.
  content.reserve = 2 * place.queue->tx_room() + kControlChunks;
  library_ = std::make_unique<Library>(site, memory, content);
  stack_ = std::make_unique<tcpip::Stack>(tcp_config(place, settings.tcp), memory, place.batch);
  server_ =
      std::make_unique<Server>(settings.server, *library_, *stack_, settings.tcp.max_connections,
                               runtime::unix_seconds, nmio::Clock::now());
  telemetry::Page& page = *place.page;
  stack_->place_counters(
      runtime::place<tcpip::Counters>(page, place.prefix, tcpip::counter_table()));
  stack_->interface().place_counters(
      runtime::place<ip::Counters>(page, place.prefix, ip::counter_table()));
  server_->place_counters(
      runtime::place<ServerCounters>(page, place.prefix, server_counter_table()));
}

}  // namespace stackrig::sandstorm
