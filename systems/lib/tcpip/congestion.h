// SPDX-License-Identifier: Apache-2.0
// Congestion control: how much may be in flight. Reno and NewReno (RFC 5681, RFC 6582), CUBIC
// (RFC 9438) with HyStart++ (RFC 9406).
//
// One small interface (on_ack, on_congestion, on_loss, on_dup_ack, on_rto, window, ...), chosen by
// an enum: no virtual call per packet. What was lost is found elsewhere (loss.cc, rack.cc). A
// controller adds a case to functions of congestion.cc and what state it needs to Congestion, or to
// Extra where it needs it only once something happened.
#pragma once

#include <cstdint>

#include "tcpip/cubic.h"
#include "tcpip/hystart.h"

namespace stackrig::tcpip {

/// Reno and NewReno differ where the peer has no SACK: the one ends fast recovery with the first
/// new ACK, the other when all of the flight is acknowledged.
enum class CongestionControl : std::uint8_t { reno, new_reno, cubic };

/// Bytes everywhere.
struct Congestion {
  std::uint32_t cwnd = 0;
  std::uint32_t ssthresh = ~std::uint32_t{0};
  std::uint32_t acked = 0;  ///< in congestion avoidance, since cwnd last grew (RFC 3465)
};

namespace congestion {

/// A connection begins with `segments` (RFC 6928), one where its SYN was lost (RFC 5681 3.1).
void start(Congestion& c, std::uint32_t mss, std::uint32_t segments);
/// New data acknowledged outside recovery, in slow start or by Reno's rule.
void on_ack(Congestion& c, std::uint32_t bytes, std::uint32_t mss);
/// The same by CUBIC. `ack`, `snd_nxt` mark rounds; `rtt_us` is 0 where the ACK measured none.
struct CubicAck {
  std::uint32_t bytes, mss, now_ms, srtt_us, rtt_us;
  Seq ack, snd_nxt;
};
void on_ack(Congestion& c, CubicState& cubic, HyStart& hystart, const CubicAck& a);
/// The network told of congestion while it was trusted with so many bytes: ssthresh from now on.
void on_congestion(Congestion& c, CongestionControl kind, CubicState& cubic, std::uint32_t trusted,
                   std::uint32_t mss);
/// Fast recovery without SACK begins, after on_congestion() and `dup_acks` duplicates.
void on_loss(Congestion& c, unsigned dup_acks, std::uint32_t mss);
/// One more duplicate ACK in recovery: a segment has left the network.
void on_dup_ack(Congestion& c, std::uint32_t mss);
/// In recovery, `bytes` were acknowledged but not all that was out (RFC 6582 3.2 step 3).
void on_partial_ack(Congestion& c, std::uint32_t bytes, std::uint32_t mss);
/// Recovery is over with `in_flight` bytes out.
void on_recovered(Congestion& c, CongestionControl kind, std::uint32_t in_flight,
                  std::uint32_t mss);
/// The retransmission timer fired, after on_congestion() where it did for the first time.
void on_rto(Congestion& c, std::uint32_t mss);
/// Sending begins again after more than an RTO of silence (RFC 5681 4.1).
void on_idle_restart(Congestion& c, std::uint32_t mss, std::uint32_t segments);

[[nodiscard]] inline std::uint32_t window(const Congestion& c) {
  return c.cwnd;
}

}  // namespace congestion
}  // namespace stackrig::tcpip
