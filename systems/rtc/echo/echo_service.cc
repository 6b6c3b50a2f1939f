// SPDX-License-Identifier: Apache-2.0
// Connections say their size, bring buffers, get them back, go.
#include "echo/echo_service.h"

#include <algorithm>
#include <array>

namespace stackrig::rtc {

std::span<const CounterInfo<EchoCounters>> echo_counter_table() {
  using C = EchoCounters;
  static constexpr auto kTable = std::to_array<CounterInfo<C>>({
      {"echo.buffers", "buffers", &C::buffers},
      {"echo.bytes", "bytes", &C::bytes},
      {"echo.refused_sizes", "connections", &C::refused_sizes},
      {"echo.no_memory", "connections", &C::no_memory},
      {"echo.cut_short", "connections", &C::cut_short},
      {"echo.paused", "times", &C::paused},
      {"echo.timed_out", "connections", &C::timed_out},
      {"echo.connections_now", "connections", &C::connections_now},
  });
  return kTable;
}

EchoService::EchoService(const ServiceConfig& config, tcpip::Stack& stack, SendPool& pool, Time now)
    : StreamServer(stack, pool, config.connections, now), config_(config) {
  listen(config.tcp_port, "--tcp-port");
}

void EchoService::place_counters(EchoCounters* where) {
  *where = *counters_;
  counters_ = where;
}

// --- the loop's calls ----------------------------------------------------------------------------

void EchoService::on_burst(std::span<const nmio::RxPacket> burst, Time now) {
  now_ = now;
  stack_.input(burst, now);
}

void EchoService::on_idle(Time now) {
  now_ = now;
  pool_.poll();
  flush();
  run_due();
}

// --- in ------------------------------------------------------------------------------------------

/// Takes as many of the bytes as may be pending; what it leaves comes again (tcp_resume()).
std::size_t EchoService::take(Connection& c, std::span<const std::byte> bytes) {
  const std::size_t all = bytes.size();
  if (tcpip::fin_queued(*c.tcb)) return all;
  c.since = now_;
  if (!c.out.is_open()) {
    const auto state = c.size.take(bytes);
    if (state == echo::SizeReader::State::partial) return all;
    if (state == echo::SizeReader::State::refused || !start(c)) {
      ++(state == echo::SizeReader::State::refused ? counters_->refused_sizes
                                                   : counters_->no_memory);
      stack_.tcp_close(*c.tcb, now_);
      return all;
    }
  }
  if (bytes.size() > c.out.room()) c.out.widen(pool_, kMostPending);
  const std::size_t fits = std::min<std::uint64_t>(bytes.size(), c.out.room());
  if (fits != 0) take_buffers(c, bytes.first(fits));
  if (fits == bytes.size()) return all;
  c.paused = true;
  ++counters_->paused;
  return all - (bytes.size() - fits);
}

bool EchoService::start(Connection& c) {
  c.missing = c.size.size();
  return c.out.open(pool_, std::max(std::uint64_t{2} * c.size.size(), kLeastPending));
}

/// Appends the bytes; what is whole now may go.
void EchoService::take_buffers(Connection& c, std::span<const std::byte> bytes) {
  c.out.append(pool_, bytes);
  if (bytes.size() < c.missing) {
    c.missing -= static_cast<std::uint32_t>(bytes.size());
    return;
  }
  const std::uint32_t size = c.size.size();
  const std::size_t beyond = bytes.size() - c.missing;
  std::uint64_t whole = 1;
  std::uint32_t begun = 0;
  if (beyond != 0) {
    whole += beyond / size;
    begun = static_cast<std::uint32_t>(beyond % size);
  }
  c.missing = size - begun;
  c.out.commit_but(begun);
  counters_->buffers += whole;
  counters_->bytes += whole * size;
  list(c);
}

void EchoService::before_close(Connection& c) {
  if (c.out.is_open() && c.missing != c.size.size()) ++counters_->cut_short;
}

}  // namespace stackrig::rtc
