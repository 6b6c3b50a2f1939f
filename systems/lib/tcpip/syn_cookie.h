// SPDX-License-Identifier: Apache-2.0
// SYN cookies (RFC 4987 3.6, after Bernstein): a connection's beginning kept in the numbers that
// the peer sends back, so that a full backlog costs no memory and refuses nobody.
//
// The sequence number holds a count of 64-second periods (5 bits), which of eight MSS values (3
// bits), and 24 bits of a keyed hash over the flow, the peer's ISN and the first two. The window
// scale and whether SACK and ECN were agreed on lie in the low six bits of our timestamp, where the
// peer offers timestamps; without timestamps none is agreed on.
#pragma once

#include <cstdint>
#include <optional>

#include "nmio/packet.h"
#include "tcpip/flow_key.h"
#include "tcpip/seq.h"

namespace stackrig::tcpip {

/// What our timestamp carries.
struct CookieOptions {
  std::optional<std::uint8_t> window_scale;
  bool sack = false;
  bool ecn = false;
};

class SynCookies {
 public:
  static constexpr nmio::Time kPeriod = 64 * nmio::kSecond;
  /// A cookie is good in the period that it was made in and the next one.
  static constexpr unsigned kPeriodsGood = 2;

  explicit SynCookies(const std::uint64_t (&key)[2]) : key_{key[0], ~key[1]} {}

  /// Our initial sequence number for a SYN with sequence number `irs`; the MSS is rounded down.
  [[nodiscard]] Seq make(const FlowKey& flow, Seq irs, std::uint16_t mss, nmio::Time now) const;
  /// The MSS of a cookie that we made; nothing where it is not one, or too old.
  [[nodiscard]] std::optional<std::uint16_t> check(const FlowKey& flow, Seq irs, Seq cookie,
                                                   nmio::Time now) const;

  /// The clock value (ms) to send in place of `clock` in the SYN-ACK; never newer than `clock`.
  [[nodiscard]] static std::uint32_t fold_into_clock(std::uint32_t clock, const CookieOptions& o);
  [[nodiscard]] static CookieOptions options_of(std::uint32_t clock);

 private:
  [[nodiscard]] std::uint32_t mac(const FlowKey& flow, Seq irs, std::uint64_t period,
                                  unsigned mss_index) const;
  std::uint64_t key_[2];
};

}  // namespace stackrig::tcpip
