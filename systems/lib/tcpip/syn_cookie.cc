// SPDX-License-Identifier: Apache-2.0
#include "tcpip/syn_cookie.h"

#include "tcpip/isn.h"

namespace stackrig::tcpip {
namespace {

/// The MSS values that a cookie can tell apart: those that are seen on the wire.
constexpr std::uint16_t kMss[8] = {216, 536, 1220, 1360, 1400, 1440, 1460, 8960};
constexpr std::uint32_t kMacMask = 0x00ffffff;
constexpr std::uint32_t kNoScale = 15;  ///< in the clock's bits: none was offered
constexpr std::uint32_t kSackBit = 0x10;
constexpr std::uint32_t kEcnBit = 0x20;
constexpr std::uint32_t kClockBits = 0x3f;  /// low bits of the clock that carry options

unsigned mss_index(std::uint16_t mss) {
  unsigned i = 7;
  while (i > 0 && kMss[i] > mss) --i;
  return i;
}

}  // namespace

std::uint32_t SynCookies::mac(const FlowKey& flow, Seq irs, std::uint64_t period,
                              unsigned index) const {
  const std::uint64_t words[3] = {flow.addresses, flow.ports | std::uint64_t{irs} << 32,
                                  period << 3 | index};
  return static_cast<std::uint32_t>(siphash(key_, words, 3)) & kMacMask;
}

Seq SynCookies::make(const FlowKey& flow, Seq irs, std::uint16_t mss, nmio::Time now) const {
  const std::uint64_t period = now / kPeriod;
  const unsigned index = mss_index(mss);
  return static_cast<Seq>(period & 31) << 27 | index << 24 | mac(flow, irs, period, index);
}

std::optional<std::uint16_t> SynCookies::check(const FlowKey& flow, Seq irs, Seq cookie,
                                               nmio::Time now) const {
  const std::uint64_t present = now / kPeriod;
  const std::uint64_t age = (present - (cookie >> 27)) & 31;
  if (age >= kPeriodsGood || age > present) return std::nullopt;
  const unsigned index = cookie >> 24 & 7;
  if ((cookie & kMacMask) != mac(flow, irs, present - age, index)) return std::nullopt;
  return kMss[index];
}

std::uint32_t SynCookies::fold_into_clock(std::uint32_t clock, const CookieOptions& o) {
  const std::uint32_t folded = (clock & ~kClockBits) |
                               (o.window_scale ? *o.window_scale : kNoScale) |
                               (o.sack ? kSackBit : 0) | (o.ecn ? kEcnBit : 0);
  return folded > clock ? folded - (kClockBits + 1) : folded;
}

CookieOptions SynCookies::options_of(std::uint32_t clock) {
  CookieOptions o;
  const std::uint32_t scale = clock & 15;
  if (scale != kNoScale) o.window_scale = static_cast<std::uint8_t>(scale);
  o.sack = (clock & kSackBit) != 0;
  o.ecn = (clock & kEcnBit) != 0;
  return o;
}

}  // namespace stackrig::tcpip
