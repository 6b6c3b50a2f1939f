// SPDX-License-Identifier: Apache-2.0
// From options to clients with connections.
#include "rigload/stream_load.h"

#include <sys/resource.h>

#include <algorithm>

#include "rigload/lane.h"
#include "runtime/counters.h"
#include "runtime/errors.h"
#include "runtime/process.h"

namespace stackrig::rigload {
namespace {

using runtime::UsageError;

/// Control blocks beyond the slots: connections that wait for the ACK of their FIN.
constexpr std::uint32_t kLastAckRoom = 4096;
/// File descriptors beyond the connections: epoll, telemetry, standard ones.
constexpr rlim_t kOtherFiles = 64;

void raise_file_limit(const LoadOptions& o) {
  rlimit limit{};
  const rlim_t wanted = rlim_t{o.connections} + o.hold + kOtherFiles;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(limit.rlim_max, wanted);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < wanted) {
    throw UsageError("--connections " + std::to_string(o.connections + o.hold) +
                     ": the limit of open files is " + std::to_string(limit.rlim_max) +
                     "; raise it (ulimit -n), or use --port");
  }
}

tcpip::Config stack_config(const LoadOptions& o, const runtime::OpenPort& port,
                           const nmio::Queue& queue, const LoadConfig& load) {
  tcpip::Config c;
  c.address = port.address;
  c.address_count = o.source_addresses;
  c.gateway = o.base.gateway;
  c.mac = runtime::mac_of(*port.port);
  c.mtu = port.port->mtu();
  c.offload = queue.offload();
  c.max_connections = 2 * (load.connections + load.hold) + kLastAckRoom;
  c.receive_window = o.receive_window;
  o.tcp.apply(c);
  c.secret[0] = runtime::random_secret();
  c.secret[1] = runtime::random_secret();
  return c;
}

class StreamLanes final : public LaneMaker {
 public:
  StreamLanes(const LoadOptions& options, const ExchangeFactory& make_exchange)
      : options_(options), make_exchange_(make_exchange) {}

  std::unique_ptr<SocketLane> socket_lane(const LaneParts& lane) override;
  std::unique_ptr<QueueLane> queue_lane(const LaneParts& lane, const QueuePlace& place) override;

 private:
  [[nodiscard]] ClientParts client_parts(const LaneParts& lane) const;

  const LoadOptions& options_;
  const ExchangeFactory& make_exchange_;
};

ClientParts StreamLanes::client_parts(const LaneParts& lane) const {
  const LoadOptions& o = options_;
  ClientParts parts;
  LoadConfig& c = parts.config;
  c.connections = share_of(o.connections, lane.index, lane.lanes);
  c.reach = static_cast<std::uint32_t>(lane.targets.size());
  c.hold = share_of(o.hold, lane.index, lane.lanes);
  c.keepalive = o.keepalive;
  c.arrivals = o.arrivals_of(lane.index, lane.lanes);
  c.queue_bound = std::max<std::size_t>(1, o.queue_bound() / lane.lanes);
  c.warmup = o.warmup();
  c.duration = o.duration();
  c.timeout = o.timeout();
  c.targets.clear();
  for (const unsigned t : lane.targets) c.targets.push_back(wire::to_string(o.targets[t]));
  parts.exchange = make_exchange_(
      {.index = lane.index, .slots = c.connections + c.hold, .targets = lane.targets});
  parts.control = lane.control;
  parts.stats = lane.stats;
  return parts;
}

std::unique_ptr<SocketLane> StreamLanes::socket_lane(const LaneParts& lane) {
  ClientParts parts = client_parts(lane);
  parts.config.reach = std::min(parts.config.reach, parts.config.connections);
  const KernelTransport::Config config{
      .targets = kernel_targets(options_),
      .slots = parts.config.connections + parts.config.hold,
      .spin = options_.base.loop.idle == nmio::LoopConfig::Idle::spin,
      .no_delay = options_.no_delay};
  return std::make_unique<KernelLane>(config, std::move(parts));
}

std::unique_ptr<QueueLane> StreamLanes::queue_lane(const LaneParts& lane, const QueuePlace& place) {
  const LoadOptions& o = options_;
  nmio::Queue& queue = place.port.port->queue(place.queue);
  ClientParts parts = client_parts(lane);
  const NmioLane::Config config{
      .queue = &queue,
      .stack = stack_config(o, place.port, queue, parts.config),
      .sources = {.first = place.port.address.address,
                  .addresses = o.source_addresses,
                  .target = o.targets[lane.targets.front()],
                  .queue = place.queue,
                  .queues = place.rss_queues,
                  .begin_at = static_cast<std::uint32_t>(runtime::random_secret())},
      .loop = o.base.loop,
      .relay = place.relay};
  auto made = std::make_unique<NmioLane>(config, std::move(parts));
  made->stack().place_counters(
      runtime::place<tcpip::Counters>(place.page, place.prefix, tcpip::counter_table()));
  return made;
}

}  // namespace

LoadResult run_load(const LoadOptions& options, const ExchangeFactory& make_exchange,
                    const std::atomic<bool>& stop) {
  if (options.kernel) raise_file_limit(options);
  StreamLanes lanes(options, make_exchange);
  return run_lanes(options, lanes, stop);
}

}  // namespace stackrig::rigload
