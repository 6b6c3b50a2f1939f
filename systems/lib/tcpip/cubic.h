// SPDX-License-Identifier: Apache-2.0
// CUBIC (RFC 9438): in congestion avoidance the window follows a cubic function of the time since
// the last congestion event, flat where that happened, and never falls behind what Reno would have.
#pragma once

#include <cstdint>

namespace stackrig::tcpip {

/// Zeros in a new connection.
struct CubicState {
  std::uint32_t w_max;       ///< bytes: the window when congestion was met last
  std::uint32_t cwnd_prior;  ///< bytes: cwnd before it was cut
  std::uint32_t cwnd_epoch;  ///< bytes: cwnd when this epoch of congestion avoidance began
  std::uint32_t epoch_ms;    ///< when that was, our clock
  float k;                   ///< seconds from then until w_max is reached
  float w_est;               ///< bytes: Reno's window
  float part;                ///< of a byte that cwnd is to grow by
  std::uint32_t paused_ms;   ///< with `paused`: since when
  bool in_epoch;
  bool paused;  ///< the window is not in use
};

namespace cubic {

inline constexpr double kC = 0.4;     ///< segments per second cubed (5)
inline constexpr double kBeta = 0.7;  ///< what is left of the window after congestion (4.6)

/// W_cubic at `seconds` after the epoch's beginning, in bytes (4.2, figure 1).
[[nodiscard]] double window(const CubicState& s, double seconds, std::uint32_t mss);
/// Congestion is met with a window of `cwnd` bytes: remembers it, with fast convergence (4.7).
void on_congestion(CubicState& s, std::uint32_t cwnd);
/// `bytes` were acknowledged in congestion avoidance; returns the new cwnd (4.2 to 4.5).
[[nodiscard]] std::uint32_t on_ack(CubicState& s, std::uint32_t cwnd, std::uint32_t bytes,
                                   std::uint32_t mss, std::uint32_t now_ms, std::uint32_t srtt_us);
/// The sender does not use its window since `since_ms`: until the next on_ack(), time does not
/// count (4.2, 5.8).
void pause(CubicState& s, std::uint32_t since_ms);
/// The window was cut though nothing was lost: the curve begins anew from what it is then (4.2).
void restart(CubicState& s);

}  // namespace cubic
}  // namespace stackrig::tcpip
