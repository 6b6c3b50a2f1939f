// SPDX-License-Identifier: Apache-2.0
// Names and units of Namestorm's counters.
#include "telemetry.h"

#include <array>

namespace stackrig::namestorm {

std::span<const DnsCounterInfo> dns_counter_table() {
  using C = DnsCounters;
  static constexpr auto kTable = std::to_array<DnsCounterInfo>({
      {"dns.queries", "queries", &C::queries},
      {"dns.cut", "answers", &C::cut},
      {"dns.composed", "answers", &C::composed},
      {"dns.errors", "answers", &C::errors},
      {"dns.ignored", "messages", &C::ignored},
      {"dns.rate_limited", "answers", &C::rate_limited},
      {"dns.slipped", "answers", &C::slipped},
      {"dns.copies_now", "frames", &C::copies_now},
      {"dns.no_copy", "answers", &C::no_copy},
      {"dns.tcp_queries", "queries", &C::tcp_queries},
      {"dns.tcp_errors", "answers", &C::tcp_errors},
      {"dns.tcp_timed_out", "connections", &C::tcp_timed_out},
      {"dns.tcp_no_buffer", "connections", &C::tcp_no_buffer},
      {"dns.tcp_too_long", "connections", &C::tcp_too_long},
      {"dns.tcp_paused", "times", &C::tcp_paused},
      {"dns.tcp_connections_now", "connections", &C::tcp_connections_now},
      {"dns.edition_now", "editions", &C::edition_now},
  });
  return kTable;
}

std::span<const ZoneCounterInfo> zone_counter_table() {
  using C = ZoneCounters;
  static constexpr auto kTable = std::to_array<ZoneCounterInfo>({
      {"zones.zones_now", "zones", &C::zones_now},
      {"zones.names_now", "names", &C::names_now},
      {"zones.records_now", "records", &C::records_now},
      {"zones.answers_now", "answers", &C::answers_now},
      {"zones.zone_bytes_now", "bytes", &C::zone_bytes_now},
      {"zones.table_bytes_now", "bytes", &C::table_bytes_now},
      {"zones.reloads", "reloads", &C::reloads},
      {"zones.reloads_refused", "reloads", &C::reloads_refused},
  });
  return kTable;
}

std::span<const XdpCounterInfo> xdp_counter_table() {
  using C = XdpCounters;
  static constexpr auto kTable = std::to_array<XdpCounterInfo>({
      {"xdp.answers", "answers", &C::answers},
      {"xdp.entries_now", "answers", &C::entries_now},
      {"xdp.left_out_now", "answers", &C::left_out_now},
  });
  return kTable;
}

}  // namespace stackrig::namestorm
