// SPDX-License-Identifier: Apache-2.0
// Building one queue's frame and the service in it.
#include "instance.h"

#include <algorithm>

#include "ip/interface.h"
#include "runtime/counters.h"
#include "runtime/process.h"

namespace stackrig::rtc {
namespace {

/// Chunks beside those to send from: receive and transmit rings, and what circulates between them.
constexpr std::uint64_t kWorkingChunks = 12288;
constexpr std::uint32_t kChunkBytes = 2048;  ///< of the usual MTU
/// Writes that are acknowledged while a device still refers to their bytes.
constexpr std::uint32_t kSpareWrites = 8192;
/// A device that cuts large packets takes long ones by reference: copying that much costs more than
/// a descriptor. Where it does not (AF_XDP in copy mode), the kernel copies anyway, and pays for
/// each piece.
constexpr std::uint32_t kReferenceFrom = 256, kNeverReference = 1U << 16;

std::uint32_t blocks_of(const Settings& s) {
  return static_cast<std::uint32_t>((std::uint64_t{s.send_memory_mib} << 20) /
                                    SendPool::kBlockBytes);
}

tcpip::Config tcp_config(const runtime::QueuePlace& place, const Settings& settings) {
  tcpip::Config config = settings.tcp;
  config.address = place.address;
  config.gateway = place.options->gateway;
  config.mac = runtime::mac_of(*place.port);
  config.mtu = place.port->mtu();
  config.offload = place.queue->offload();
  config.max_connections = control_blocks(settings);
  for (std::uint64_t& key : config.secret) key = runtime::random_secret();
  return config;
}

SendPool::Config pool_config(const runtime::QueuePlace& place, const Settings& settings) {
  const nmio::Offload& offload = place.queue->offload();
  const ServiceConfig& service = settings.service;
  const bool refers = offload.scatter_gather && offload.segment;
  const std::uint32_t blocks = blocks_of(settings);
  return {.blocks = blocks,
          .writes = (service.connections + service.backends) * tcpip::kMaxWrites + kSpareWrites,
          .spare_blocks = std::min(place.queue->tx_room(), blocks / 8),
          .reference_from =
              settings.reference_from.value_or(refers ? kReferenceFrom : kNeverReference)};
}

}  // namespace

std::uint32_t control_blocks(const Settings& settings) {
  const ServiceConfig& s = settings.service;
  return s.connections + s.backends + 1 + std::min(s.connections, settings.tcp.max_backlog);
}

std::uint64_t chunks_needed(const Settings& settings) {
  return SendPool::chunks_for(blocks_of(settings), kChunkBytes) + kWorkingChunks;
}

Instance::Instance(runtime::QueuePlace& place, const ServiceKind& kind, const Settings& settings) {
  nmio::PacketMemory& memory = place.queue->memory();
  pool_ = std::make_unique<SendPool>(memory, pool_config(place, settings));
  stack_ = std::make_unique<tcpip::Stack>(tcp_config(place, settings), memory, place.batch);
  telemetry::Page& page = *place.page;
  stack_->place_counters(
      runtime::place<tcpip::Counters>(page, place.prefix, tcpip::counter_table()));
  stack_->interface().place_counters(
      runtime::place<ip::Counters>(page, place.prefix, ip::counter_table()));
  service_ = kind.make(settings, place, *stack_, *pool_);
}

}  // namespace stackrig::rtc
