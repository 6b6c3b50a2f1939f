// SPDX-License-Identifier: Apache-2.0
// HyStart++ (RFC 9406): slow start ends where round trips grow, before the queue overflows; first
// slowly (CSS), so that a single late ACK does not end it for good.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tcpip/seq.h"

namespace stackrig::tcpip {

/// L of RFC 3465, for a sender that does not pace (RFC 9406 4.3): an ACK of more grows the window
/// by so many segments in slow start.
inline constexpr std::uint32_t kMostSlowStartSegments = 8;

/// Zeros in a new connection. Times in us.
struct HyStart {
  Seq window_end;           ///< an ACK of it ends the round
  std::uint32_t last_min;   ///< least round trip of the last round; 0: none
  std::uint32_t round_min;  ///< of this one; 0: none yet
  std::uint32_t css_base;   ///< of the round in which round trips began to grow
  std::uint8_t samples;     ///< in this round
  std::uint8_t css_rounds;  ///< rounds in CSS so far
  bool in_css;
  bool running;

  static constexpr std::uint32_t kMinThreshold = 4'000;   ///< MIN_RTT_THRESH
  static constexpr std::uint32_t kMaxThreshold = 16'000;  ///< MAX_RTT_THRESH
  static constexpr std::uint32_t kThresholdDivisor = 8;   ///< MIN_RTT_DIVISOR
  static constexpr unsigned kSamples = 8;                 ///< N_RTT_SAMPLE
  static constexpr std::uint32_t kGrowthDivisor = 4;      ///< CSS_GROWTH_DIVISOR
  static constexpr unsigned kCssRounds = 5;               ///< CSS_ROUNDS

  /// An ACK in slow start; `rtt_us` is 0 where it measured none. True where slow start is over: the
  /// caller sets ssthresh to cwnd.
  bool on_ack(Seq ack, Seq snd_nxt, std::uint32_t rtt_us) {
    if (!running) {
      running = true;
      window_end = snd_nxt;
    }
    if (rtt_us != 0) {
      round_min = round_min == 0 ? rtt_us : std::min(round_min, rtt_us);
      if (samples < 255) ++samples;
    }
    if (samples >= kSamples && last_min != 0) {
      if (!in_css) {
        const std::uint32_t threshold =
            std::clamp(last_min / kThresholdDivisor, kMinThreshold, kMaxThreshold);
        if (round_min >= last_min + threshold) {
          in_css = true;
          css_base = round_min;
          css_rounds = 0;
        }
      } else if (round_min < css_base) {
        in_css = false;  // it was a passing delay
      }
    }
    if (seq_lt(ack, window_end)) return false;
    // The round is over.
    window_end = snd_nxt;
    if (round_min != 0) last_min = round_min;
    round_min = 0;
    samples = 0;
    return in_css && ++css_rounds >= kCssRounds;
  }
  /// What cwnd grows by for `bytes` acknowledged.
  [[nodiscard]] std::uint32_t growth(std::uint32_t bytes, std::uint32_t mss) const {
    const std::uint32_t n = std::min(bytes, kMostSlowStartSegments * mss);
    return in_css ? n / kGrowthDivisor : n;
  }
};

}  // namespace stackrig::tcpip
