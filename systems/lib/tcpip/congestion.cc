// SPDX-License-Identifier: Apache-2.0
#include "tcpip/congestion.h"

#include <algorithm>

namespace stackrig::tcpip::congestion {
namespace {

/// No window grows beyond what a sequence number can tell apart (RFC 7323 2.2: 2^30).
constexpr std::uint32_t kMaxWindow = std::uint32_t{1} << 30;

}  // namespace

void start(Congestion& c, std::uint32_t mss, std::uint32_t segments) {
  // RFC 6928: with a large MSS the limit is in bytes, two segments at least.
  const std::uint32_t bytes = std::max(2 * mss, segments * std::uint32_t{1460});
  c = {};
  c.cwnd = segments <= 1 ? mss : std::min(segments * mss, bytes);
}

void on_ack(Congestion& c, std::uint32_t bytes, std::uint32_t mss) {
  if (c.cwnd >= kMaxWindow) return;
  if (c.cwnd < c.ssthresh) {
    c.cwnd = std::min(c.cwnd + std::min(bytes, kMostSlowStartSegments * mss), c.ssthresh);
    return;
  }
  // A segment per round trip (RFC 5681 3.1), which acknowledges whole segments: with 2.5 of them as
  // its window a sender has two under way, and would wait for a round trip and a quarter.
  const std::uint32_t usable = std::max(c.cwnd - c.cwnd % mss, mss);
  c.acked += bytes;
  if (c.acked >= usable) {
    c.acked = c.acked > c.cwnd ? c.acked - c.cwnd : 0;
    c.cwnd += mss;
  }
}

void on_ack(Congestion& c, CubicState& cubic, HyStart& hystart, const CubicAck& a) {
  if (c.cwnd >= kMaxWindow) return;
  if (c.cwnd >= c.ssthresh) {
    c.cwnd = cubic::on_ack(cubic, c.cwnd, a.bytes, a.mss, a.now_ms, a.srtt_us);
    return;
  }
  const bool first = c.ssthresh == ~std::uint32_t{0};  // RFC 9406 4.3: only the first slow start
  if (first && hystart.on_ack(a.ack, a.snd_nxt, a.rtt_us)) c.ssthresh = c.cwnd;
  c.cwnd = std::min(c.cwnd + hystart.growth(a.bytes, a.mss), std::max(c.cwnd, c.ssthresh));
}

void on_congestion(Congestion& c, CongestionControl kind, CubicState& cubic, std::uint32_t trusted,
                   std::uint32_t mss) {
  c.acked = 0;
  if (kind != CongestionControl::cubic) {
    c.ssthresh = std::max(trusted / 2, 2 * mss);  // RFC 5681 equation (4)
    return;
  }
  cubic::on_congestion(cubic, trusted);
  c.ssthresh = std::max(static_cast<std::uint32_t>(trusted * cubic::kBeta), 2 * mss);
}

void on_loss(Congestion& c, unsigned dup_acks, std::uint32_t mss) {
  c.cwnd = c.ssthresh + dup_acks * mss;  // RFC 5681 3.2 step 3
}

void on_dup_ack(Congestion& c, std::uint32_t mss) {
  c.cwnd = std::min(c.cwnd + mss, kMaxWindow);
}

void on_partial_ack(Congestion& c, std::uint32_t bytes, std::uint32_t mss) {
  c.cwnd -= std::min(c.cwnd, bytes);
  if (bytes >= mss) c.cwnd += mss;
  c.cwnd = std::max(c.cwnd, mss);
}

void on_recovered(Congestion& c, CongestionControl kind, std::uint32_t in_flight,
                  std::uint32_t mss) {
  c.acked = 0;
  if (kind == CongestionControl::reno) {
    c.cwnd = c.ssthresh;  // RFC 5681 3.2 step 6
    return;
  }
  // RFC 6582 3.2 step 3, option (1): no burst where little is in flight.
  c.cwnd = std::min(c.ssthresh, std::max(in_flight, mss) + mss);
}

void on_rto(Congestion& c, std::uint32_t mss) {
  c.cwnd = mss;
  c.acked = 0;
}

void on_idle_restart(Congestion& c, std::uint32_t mss, std::uint32_t segments) {
  c.cwnd = std::min(c.cwnd, std::max(segments, 1U) * mss);
}

}  // namespace stackrig::tcpip::congestion
