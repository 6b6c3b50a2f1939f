// SPDX-License-Identifier: Apache-2.0
// Building one queue's Namestorm.
#include "instance.h"

#include <algorithm>

#include "ip/interface.h"
#include "nmio/clock.h"
#include "runtime/process.h"

namespace stackrig::namestorm {
namespace {

tcpip::Config tcp_config(const runtime::QueuePlace& place, tcpip::Config config) {
  config.address = place.address;
  config.gateway = place.options->gateway;
  config.mac = runtime::mac_of(*place.port);
  config.mtu = place.port->mtu();
  config.offload = place.queue->offload();
  for (std::uint64_t& key : config.secret) key = runtime::random_secret();
  return config;
}

ServerConfig server_config(ServerConfig config) {
  for (std::uint64_t& key : config.udp.rate_limit.secret) key = runtime::random_secret();
  return config;
}

}  // namespace

std::uint64_t chunks_needed(const UdpConfig& config, std::uint64_t answers) {
  // Copies are made where an answer is wanted while all of its copies are in the ring: a ring of
  // them.
  return config.mode == SendMode::memcpy ? config.working_chunks
                                         : config.working_chunks + answers + 4096;
}

template <class Key>
Instance<Key>::Instance(runtime::QueuePlace& place, const Publisher<Key>& publisher,
                        const Settings& settings)
    : stack_(std::make_unique<tcpip::Stack>(tcp_config(place, settings.tcp), place.queue->memory(),
                                            place.batch)),
      server_(std::make_unique<Server<Key>>(server_config(settings.server), publisher, *stack_,
                                            settings.tcp.max_connections, place.batch,
                                            place.queue->offload(), nmio::Clock::now())) {
  telemetry::Page& page = *place.page;
  server_->place_counters(runtime::place<DnsCounters>(page, place.prefix, dns_counter_table()));
  server_->udp_stack().place_counters(
      runtime::place<udpip::Counters>(page, place.prefix, udpip::counter_table()));
  stack_->place_counters(
      runtime::place<tcpip::Counters>(page, place.prefix, tcpip::counter_table()));
  stack_->interface().place_counters(
      runtime::place<ip::Counters>(page, place.prefix, ip::counter_table()));
}

template class Instance<dns::WireKey>;
template class Instance<dns::FqdnKey>;

}  // namespace stackrig::namestorm
