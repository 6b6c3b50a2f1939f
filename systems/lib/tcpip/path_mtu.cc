// SPDX-License-Identifier: Apache-2.0
// How long a segment may be on its way: told by routers (RFC 1191), believed only where they quote
// what is in flight and nothing speaks against it (RFC 5927 7); found out without them where they
// say nothing: segments that vanish become shorter, and later are tried longer again (RFC 4821,
// RFC 8899).
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

/// RFC 1191 7, table 7-1: MTUs that are met, for routers that do not say theirs.
constexpr std::array<std::uint16_t, 8> kPlateaus = {8166, 4352, 2002, 1492, 1006, 508, 296, 68};
/// RFC 8899 5.1.2: what passes nearly everywhere; then what every host takes (RFC 1122 3.3.3).
constexpr std::array<std::uint32_t, 2> kBases = {1200, 576};
constexpr unsigned kBlackHoleTimeouts = 3;        ///< of one segment, until its length is suspected
constexpr std::uint32_t kRaiseAfterMs = 600'000;  ///< RFC 8899 5.1.1, PMTU_RAISE_TIMER
constexpr std::uint32_t kSearchStep = 8;          ///< bytes, below which the search has found it
constexpr unsigned kProvedSegments = 4;           ///< so much was acknowledged: full ones pass

std::uint32_t load32(const std::byte* p) {
  std::uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}

std::uint32_t plateau_below(std::uint32_t mtu) {
  for (const std::uint16_t p : kPlateaus) {
    if (p < mtu) return p;
  }
  return kPlateaus.back();
}

}  // namespace

std::uint32_t Stack::Impl::header_overhead(const Tcb& t) {
  return t.header_bytes - kIpAt;
}

void Stack::Impl::on_icmp_error(void* context, const ip::IcmpError& e) {
  auto& self = *static_cast<Impl*>(context);
  if (e.protocol != wire::kProtocolTcp) return;
  if (!self.on_unreachable(e)) ++self.c->icmp_ignored;
}

// True where the error was about what is in flight, and is acted upon now or when time proves it.
// Everything but the MTU is advice that TCP's own timers make unnecessary (RFC 5927 5, RFC 5461).
bool Stack::Impl::on_unreachable(const ip::IcmpError& e) {
  if (e.type != wire::kIcmpUnreachable || e.code != wire::kIcmpFragmentationNeeded) return false;
  const FlowKey key = FlowKey::of({e.source, static_cast<std::uint16_t>(load32(e.l4.data()) >> 16)},
                                  {e.destination, static_cast<std::uint16_t>(load32(e.l4.data()))});
  const Ref r = lookup(key, hash_flow(key, hash_key));
  if (r.none() || r.is_time_wait()) return false;
  Tcb& t = tcbs[r.index()];
  const Seq seq = load32(e.l4.data() + 4);
  const bool open = t.state >= State::established && t.state != State::time_wait;
  if (!open || t.has(kDead) || !seq_ge(seq, t.snd_una) || !seq_lt(seq, t.snd_max)) return false;
  const std::uint32_t now_used = t.mss + header_overhead(t);
  const std::uint32_t mtu = e.next_hop_mtu != 0 ? e.next_hop_mtu : plateau_below(now_used);
  if (mtu >= now_used) return false;
  Extra& x = extra(t);
  x.path.told = mtu;
  x.path.told_for = seq;
  // RFC 5927 7.2: full segments were acknowledged, so this one has to time out first.
  if (acknowledged(t) < kProvedSegments * t.mss) take_told_mtu(t, x);
  return true;
}

void Stack::Impl::take_told_mtu(Tcb& t, Extra& x) {
  const std::uint32_t mtu = std::exchange(x.path.told, 0);
  if (mtu != 0) cut_mss(t, x, mtu);
}

// Segments are no longer than `mtu` allows from now on; what is in flight was too long, which is no
// congestion (RFC 1191 6.5).
void Stack::Impl::cut_mss(Tcb& t, Extra& x, std::uint32_t mtu) {
  const std::uint32_t overhead = header_overhead(t);
  const std::uint32_t least = kMinMss - (overhead - 40);
  const std::uint32_t mss = std::max(mtu > overhead ? mtu - overhead : 0, least);
  if (mss >= t.mss) return;
  ++c->path_mtu_cuts;
  if (x.path.high == 0) x.path.high = t.mss;
  x.path.probe = 0;
  x.path.raise_ms = ms + kRaiseAfterMs;
  t.mss = static_cast<std::uint16_t>(mss);
  t.cc.cwnd = std::max<std::uint32_t>(t.cc.cwnd, t.mss);
  t.flags |= kPathCut | kOutput;
  list_flight(t);
  if (t.sent_first != Scoreboard::kNone) {
    for (std::uint32_t i = t.sent_first; i != Scoreboard::kNone; i = board.next(i)) {
      board.mark_lost(i, x.board);
    }
    t.flags |= kBoard;
  } else if (t.outstanding() != 0) {
    t.snd_nxt = t.snd_una;
    t.flags |= kRttTainted;
  }
  if (&t != current) list(t);
}

// The timer fired for the same bytes again and again: perhaps nobody lets them pass (RFC 4821 7.7).
void Stack::Impl::suspect_path(Tcb& t) {
  if (has_extra(t) && extra(t).path.told != 0 && seq_ge(extra(t).path.told_for, t.snd_una)) {
    take_told_mtu(t, extra(t));
    return;
  }
  if (t.retransmits < kBlackHoleTimeouts) return;
  const unsigned step = t.retransmits - kBlackHoleTimeouts;
  if (step >= kBases.size() || t.mss + header_overhead(t) <= kBases[step]) return;
  if (t.outstanding() + header_overhead(t) <= kBases[step]) return;  // it was short enough
  cut_mss(t, extra(t), kBases[step]);
  // It may have been an outage: one segment finds out when the path carries anything again.
  extra(t).path.guessed = true;
  extra(t).path.raise_ms = ms;
}

// --- upwards again (RFC 8899 5.3) ---

// Before new data goes out: where it is time, the next segment is longer than others. False where
// new data waits until there is room for that.
bool Stack::Impl::try_longer(Tcb& t) {
  PathState& p = extra(t).path;
  if (p.probe != 0 || static_cast<std::int32_t>(ms - p.raise_ms) < 0) return true;
  if (t.has(kBoard | kRecovery) || t.snd_nxt != t.snd_max || t.retransmits != 0) return true;
  if (p.high < t.mss + kSearchStep) {
    t.flags &= ~kPathCut;
    p.high = 0;
    return true;
  }
  const bool whole = p.guessed || std::uint32_t{p.high} - t.mss <= 2 * kSearchStep;
  const std::uint32_t size = whole ? p.high : (t.mss + p.high + 1) / 2;
  const std::uint32_t offset = t.in_flight();
  const std::uint32_t window = std::min(t.cc.cwnd, t.snd_wnd);
  if (offset + size > t.queued || size > window || t.has(kNotReady)) return true;
  if (offset + size > window) return false;
  const Place from = place_of(t, offset);
  if (from.write->bytes - from.at < size) return true;
  const std::uint16_t mss = std::exchange(t.mss, static_cast<std::uint16_t>(size));
  const Seq begin = t.snd_max;
  const std::uint32_t sent = send_range(t, from, offset, size, false);
  t.mss = mss;
  if (sent <= mss) return true;  // its owner cuts shorter ones: nothing was learnt
  p.guessed = false;
  p.probe = static_cast<std::uint16_t>(sent);
  p.probe_from = begin;
  return true;
}

// After an ACK, or where something was `lost` that no list shows: what became of the longer
// segment? True where it was lost: that is no congestion (RFC 4821 7.6.2).
bool Stack::Impl::judge_longer(Tcb& t, Extra& x, bool lost) {
  PathState& p = x.path;
  if (p.probe == 0) return false;
  if (seq_ge(t.snd_una, p.probe_from + p.probe)) {
    t.mss = std::exchange(p.probe, 0);
    ++c->path_mtu_raises;
    return false;
  }
  list_flight(t);
  for (std::uint32_t i = t.sent_first; i != Scoreboard::kNone; i = board.next(i)) {
    if (!seq_gt(board[i].to, p.probe_from)) continue;
    if (!board[i].is(kRangeLost)) return false;
    break;
  }
  // Without a list only a loss that was found by other means can be the longer segment's.
  if (t.sent_first == Scoreboard::kNone && !lost) return false;
  p.high = static_cast<std::uint16_t>(p.probe - 1);
  p.probe = 0;
  return true;
}

}  // namespace stackrig::tcpip
