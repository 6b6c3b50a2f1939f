// SPDX-License-Identifier: Apache-2.0
// Congestion control: how much may be in flight. Reno and NewReno (RFC 5681, RFC 6582).
//
// One small interface (on_ack, on_dup_ack, on_loss, on_rto, window, ...), chosen by an enum: no
// virtual call per packet. What was lost is found elsewhere (loss.cc). A controller adds a case to
// each function of congestion.cc and what state it needs to Congestion.
#pragma once

#include <cstdint>

namespace stackrig::tcpip {

enum class CongestionControl : std::uint8_t { reno, new_reno };

/// Bytes everywhere.
struct Congestion {
  std::uint32_t cwnd = 0;
  std::uint32_t ssthresh = ~std::uint32_t{0};
  std::uint32_t acked = 0;  ///< in congestion avoidance, since cwnd last grew (RFC 3465)
};

namespace congestion {

/// A connection begins with `segments` (RFC 6928), one where its SYN was lost (RFC 5681 3.1).
void start(Congestion& c, std::uint32_t mss, std::uint32_t segments);
/// New data acknowledged outside recovery.
void on_ack(Congestion& c, CongestionControl kind, std::uint32_t bytes, std::uint32_t mss);
/// Fast retransmit: recovery begins with `in_flight` bytes out, after `dup_acks` duplicates.
void on_loss(Congestion& c, CongestionControl kind, std::uint32_t in_flight, unsigned dup_acks,
             std::uint32_t mss);
/// One more duplicate ACK in recovery: a segment has left the network.
void on_dup_ack(Congestion& c, std::uint32_t mss);
/// In recovery, `bytes` were acknowledged but not all that was out (RFC 6582 3.2 step 3).
void on_partial_ack(Congestion& c, std::uint32_t bytes, std::uint32_t mss);
/// Recovery is over with `in_flight` bytes out.
void on_recovered(Congestion& c, CongestionControl kind, std::uint32_t in_flight,
                  std::uint32_t mss);
/// The retransmission timer fired; `first`: for this data for the first time.
void on_rto(Congestion& c, CongestionControl kind, std::uint32_t in_flight, bool first,
            std::uint32_t mss);
/// Sending begins again after more than an RTO of silence (RFC 5681 4.1).
void on_idle_restart(Congestion& c, std::uint32_t mss, std::uint32_t segments);

[[nodiscard]] inline std::uint32_t window(const Congestion& c) {
  return c.cwnd;
}

}  // namespace congestion
}  // namespace stackrig::tcpip
