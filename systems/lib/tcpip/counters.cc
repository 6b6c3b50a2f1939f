// SPDX-License-Identifier: Apache-2.0
// The counters' names and units, for a telemetry page.
#include "tcpip/stack.h"

namespace stackrig::tcpip {
namespace {

#define STACKRIG_TCP_COUNTER(field, unit) \
  { "tcp." #field, unit, &Counters::field }
constexpr CounterInfo kTable[] = {
    STACKRIG_TCP_COUNTER(segs_in, "segments"),
    STACKRIG_TCP_COUNTER(segs_out, "segments"),
    STACKRIG_TCP_COUNTER(bytes_in, "bytes"),
    STACKRIG_TCP_COUNTER(bytes_out, "bytes"),
    STACKRIG_TCP_COUNTER(data_segs_out, "segments"),
    STACKRIG_TCP_COUNTER(acks_out, "segments"),
    STACKRIG_TCP_COUNTER(connections_accepted, "connections"),
    STACKRIG_TCP_COUNTER(connections_opened, "connections"),
    STACKRIG_TCP_COUNTER(connections_closed, "connections"),
    STACKRIG_TCP_COUNTER(connections_now, "connections"),
    STACKRIG_TCP_COUNTER(retransmits, "segments"),
    STACKRIG_TCP_COUNTER(fast_retransmits, "events"),
    STACKRIG_TCP_COUNTER(rto_fired, "events"),
    STACKRIG_TCP_COUNTER(dup_acks_in, "segments"),
    STACKRIG_TCP_COUNTER(out_of_order_in, "segments"),
    STACKRIG_TCP_COUNTER(rst_in, "segments"),
    STACKRIG_TCP_COUNTER(rst_out, "segments"),
    STACKRIG_TCP_COUNTER(challenge_acks, "segments"),
    STACKRIG_TCP_COUNTER(paws_dropped, "segments"),
    STACKRIG_TCP_COUNTER(outside_window, "segments"),
    STACKRIG_TCP_COUNTER(bad_checksum, "segments"),
    STACKRIG_TCP_COUNTER(bad_header, "segments"),
    STACKRIG_TCP_COUNTER(no_listener, "segments"),
    STACKRIG_TCP_COUNTER(backlog_full, "segments"),
    STACKRIG_TCP_COUNTER(syn_cookies_sent, "segments"),
    STACKRIG_TCP_COUNTER(syn_cookies_good, "segments"),
    STACKRIG_TCP_COUNTER(syn_cookies_bad, "segments"),
    STACKRIG_TCP_COUNTER(bad_flags, "segments"),
    STACKRIG_TCP_COUNTER(bad_options, "segments"),
    STACKRIG_TCP_COUNTER(bad_ack, "segments"),
    STACKRIG_TCP_COUNTER(no_slot, "connections"),
    STACKRIG_TCP_COUNTER(gave_way, "connections"),
    STACKRIG_TCP_COUNTER(half_open_now, "connections"),
    STACKRIG_TCP_COUNTER(timed_out, "connections"),
    STACKRIG_TCP_COUNTER(refused, "connections"),
    STACKRIG_TCP_COUNTER(challenge_limited, "events"),
    STACKRIG_TCP_COUNTER(time_wait_now, "connections"),
    STACKRIG_TCP_COUNTER(time_wait_reused, "connections"),
    STACKRIG_TCP_COUNTER(time_wait_recycled, "connections"),
    STACKRIG_TCP_COUNTER(no_chunk, "events"),
    STACKRIG_TCP_COUNTER(no_tx_room, "events"),
    STACKRIG_TCP_COUNTER(held_chunks_now, "chunks"),
    STACKRIG_TCP_COUNTER(held_dropped, "segments"),
    STACKRIG_TCP_COUNTER(zero_window_probes, "segments"),
    STACKRIG_TCP_COUNTER(delayed_acks, "segments"),
    STACKRIG_TCP_COUNTER(tail_probes, "segments"),
    STACKRIG_TCP_COUNTER(undone, "events"),
    STACKRIG_TCP_COUNTER(dsacks_in, "segments"),
    STACKRIG_TCP_COUNTER(boards_dropped, "events"),
    STACKRIG_TCP_COUNTER(ce_in, "segments"),
    STACKRIG_TCP_COUNTER(ecn_reductions, "events"),
    STACKRIG_TCP_COUNTER(path_mtu_cuts, "events"),
    STACKRIG_TCP_COUNTER(path_mtu_raises, "events"),
    STACKRIG_TCP_COUNTER(icmp_ignored, "packets"),
    STACKRIG_TCP_COUNTER(keepalive_probes, "segments"),
    STACKRIG_TCP_COUNTER(board_visits, "ranges"),
    STACKRIG_TCP_COUNTER(held_visits, "chunks"),
};
#undef STACKRIG_TCP_COUNTER
static_assert(sizeof(kTable) / sizeof(kTable[0]) == sizeof(Counters) / sizeof(std::uint64_t),
              "every counter has a name");

}  // namespace

std::span<const CounterInfo> counter_table() {
  return kTable;
}

}  // namespace stackrig::tcpip
