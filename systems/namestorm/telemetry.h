// SPDX-License-Identifier: Apache-2.0
// What Namestorm counts, and the names that readers of its telemetry page see.
#pragma once

#include <cstdint>
#include <span>

namespace stackrig::namestorm {

/// Of one instance. Plain counters with one writer; lies in a telemetry page.
struct DnsCounters {
  std::uint64_t queries;                ///< over UDP, well-formed; over a client's rate too
  std::uint64_t cut;                    ///< of them, answered from the table
  std::uint64_t composed;               ///< of them, answered by the general path
  std::uint64_t errors;                 ///< malformed: the answer is FORMERR, NOTIMP or BADVERS
  std::uint64_t ignored;                ///< responses, and less than a header
  std::uint64_t rate_limited, slipped;  ///< over a client's rate: dropped; sent truncated (errors
                                        ///< whole)
  std::uint64_t copies_now;             ///< precopy: frames that circulate
  std::uint64_t no_copy;                ///< precopy: none was free, the query's own frame was taken
  std::uint64_t tcp_queries, tcp_errors;
  std::uint64_t tcp_timed_out;  ///< connections dropped for taking too long
  std::uint64_t tcp_no_buffer;  ///< connections dropped so that another could have their buffer
  std::uint64_t tcp_too_long;   ///< connections dropped for a query of absurd length
  std::uint64_t tcp_paused;     ///< times that a pipeline waited for answers to be acknowledged
  std::uint64_t tcp_connections_now;
  std::uint64_t edition_now;  ///< 1 at the start, one more with each reload
};

struct DnsCounterInfo {
  const char* name;
  const char* unit;
  std::uint64_t DnsCounters::*field;
};
std::span<const DnsCounterInfo> dns_counter_table();

/// Of the zones: one for the program.
struct ZoneCounters {
  std::uint64_t zones_now, names_now, records_now;
  std::uint64_t answers_now;  ///< in the table
  std::uint64_t zone_bytes_now, table_bytes_now;
  std::uint64_t reloads, reloads_refused;
};
struct ZoneCounterInfo {
  const char* name;
  const char* unit;
  std::uint64_t ZoneCounters::*field;
};
std::span<const ZoneCounterInfo> zone_counter_table();

/// Of the XDP program: one for the program, over all ports and cores.
struct XdpCounters {
  std::uint64_t answers;       ///< that it sent itself
  std::uint64_t entries_now;   ///< in its map
  std::uint64_t left_out_now;  ///< not in its map because the kernel gave no memory for them
};
struct XdpCounterInfo {
  const char* name;
  const char* unit;
  std::uint64_t XdpCounters::*field;
};
std::span<const XdpCounterInfo> xdp_counter_table();

}  // namespace stackrig::namestorm
