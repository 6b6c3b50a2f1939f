// SPDX-License-Identifier: Apache-2.0
#include "tcpip/cubic.h"

#include <algorithm>
#include <cmath>

namespace stackrig::tcpip::cubic {
namespace {

/// Reno's additive increase that is fair against a cut to kBeta (4.3).
constexpr double kAlpha = 3 * (1 - kBeta) / (1 + kBeta);

void begin_epoch(CubicState& s, std::uint32_t cwnd, std::uint32_t mss, std::uint32_t now_ms) {
  s.in_epoch = true;
  s.paused = false;
  s.epoch_ms = now_ms;
  s.cwnd_epoch = cwnd;
  s.w_est = static_cast<float>(cwnd);
  s.part = 0;
  if (s.w_max <= cwnd) {  // slow start went beyond it, or there was none: convex from here on
    s.w_max = cwnd;
    s.k = 0;
    return;
  }
  const double segments = static_cast<double>(s.w_max - cwnd) / mss;
  s.k = static_cast<float>(std::cbrt(segments / kC));  // figure 2
}

}  // namespace

double window(const CubicState& s, double seconds, std::uint32_t mss) {
  const double t = seconds - static_cast<double>(s.k);
  return kC * t * t * t * mss + s.w_max;
}

void on_congestion(CubicState& s, std::uint32_t cwnd) {
  // 4.7: a flow that is cut before it reached its last maximum makes room for others.
  s.w_max = cwnd < s.w_max ? static_cast<std::uint32_t>(cwnd * (1 + kBeta) / 2) : cwnd;
  s.cwnd_prior = cwnd;
  s.in_epoch = false;
}

std::uint32_t on_ack(CubicState& s, std::uint32_t cwnd, std::uint32_t bytes, std::uint32_t mss,
                     std::uint32_t now_ms, std::uint32_t srtt_us) {
  if (!s.in_epoch) begin_epoch(s, cwnd, mss, now_ms);
  if (s.paused) {
    s.epoch_ms += now_ms - s.paused_ms;
    s.paused = false;
  }
  const double t = (now_ms - s.epoch_ms) / 1000.0;
  const double acked = static_cast<double>(bytes) / cwnd;  // of a window
  // 4.3: Reno's window; from the last maximum on as fast as Reno itself.
  const double alpha = static_cast<double>(s.w_est) >= s.cwnd_prior ? 1.0 : kAlpha;
  s.w_est += static_cast<float>(alpha * acked * mss);
  if (window(s, t, mss) < static_cast<double>(s.w_est)) {
    return std::max(cwnd, static_cast<std::uint32_t>(s.w_est));
  }
  // 4.4, 4.5: towards where the curve will be in a round trip, by half the window at most.
  const double target = std::clamp(window(s, t + srtt_us / 1e6, mss), double{1} * cwnd, 1.5 * cwnd);
  const double grow = (target - cwnd) * acked + static_cast<double>(s.part);
  const auto whole = static_cast<std::uint32_t>(grow);
  s.part = static_cast<float>(grow - whole);
  return cwnd + whole;
}

void pause(CubicState& s, std::uint32_t since_ms) {
  if (!s.in_epoch || s.paused) return;
  s.paused = true;
  s.paused_ms = since_ms;
}

void restart(CubicState& s) {
  s.in_epoch = false;
}

}  // namespace stackrig::tcpip::cubic
