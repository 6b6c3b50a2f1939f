// SPDX-License-Identifier: Apache-2.0
// Explicit congestion notification (RFC 3168): agreed on in the SYNs; new data goes out able to be
// marked; a mark is echoed until the sender says that it has slowed down, which it does once per
// round trip.
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

constexpr std::uint8_t kEct0 = 0x02;
constexpr std::uint8_t kCe = 0x03;

}  // namespace

// 6.1.1: a SYN asks with both bits, a SYN-ACK agrees with one. What is sent back in a SYN-ACK by a
// host that only reflects flags is no agreement.
bool Stack::Impl::asks_for_ecn(const SegmentIn& s) const {
  return config.ecn != Ecn::off && s.has(wire::kTcpEce) && s.has(wire::kTcpCwr);
}

bool Stack::Impl::agrees_to_ecn(const Tcb& t, const SegmentIn& s) {
  return t.has(kEcnAsked) && s.has(wire::kTcpEce) && !s.has(wire::kTcpCwr);
}

// A SYN that was lost goes again without asking: there are devices that drop it for that (6.1.1.1).
std::uint8_t Stack::Impl::ecn_of_syn(Tcb& t, bool ack) {
  if (ack) return t.has(kEcnOn) ? wire::kTcpEce : 0;
  if (config.ecn != Ecn::request || t.backoff != 0) {
    t.flags &= ~kEcnAsked;
    return 0;
  }
  t.flags |= kEcnAsked;
  return wire::kTcpEce | wire::kTcpCwr;
}

// Marks an outgoing frame whose header is being written at `p`; returns the TCP flags to go with
// it. Data that goes out for the first time, and no probe, may be marked (6.1.4, 6.1.5, 6.1.6).
std::uint8_t Stack::Impl::mark_ecn(Tcb& t, std::byte* p, std::uint32_t len, Seq seq,
                                   std::uint8_t flags) {
  if (t.has(kEcnEcho)) flags |= wire::kTcpEce;
  const bool data = len != 0 && (flags & wire::kTcpSyn) == 0 && seq_ge(seq, t.snd_max);
  if (!data || t.timer_kind == TimerKind::persist) return flags;
  wire::Ipv4Header::at(p + kIpAt).tos = kEct0;
  if (t.has(kCwrDue)) {
    flags |= wire::kTcpCwr;
    t.flags &= ~kCwrDue;
  }
  return flags;
}

// An acceptable segment of a connection that agreed on it.
void Stack::Impl::on_ecn(Tcb& t, const SegmentIn& s) {
  if (s.has(wire::kTcpCwr)) t.flags &= ~kEcnEcho;
  const std::uint8_t tos = wire::Ipv4Header::at(s.packet->data + kIpAt).tos;
  if (s.len != 0 && (tos & kCe) == kCe) {
    ++c->ce_in;
    t.flags |= kEcnEcho;
  }
  if (has_extra(t) && seq_gt(s.ack, extra(t).ecn_recover)) extra(t).ecn_reduced = false;
  if (s.has(wire::kTcpEce) && seq_ge(s.ack, t.snd_una) && seq_le(s.ack, t.snd_max)) on_ece(t, s);
}

// 6.1.2: as if a segment were lost, but none was; and once for all that was in flight then.
void Stack::Impl::on_ece(Tcb& t, const SegmentIn& s) {
  if (t.outstanding() == 0 || t.has(kRecovery)) return;
  if (t.has(kLossSeen) && seq_lt(t.snd_una, t.recover)) return;
  Extra& x = extra(t);
  if (x.ecn_reduced && seq_le(s.ack, x.ecn_recover)) return;
  ++c->ecn_reductions;
  x.ecn_reduced = true;
  x.ecn_recover = t.snd_max;
  congested(t);
  t.cc.cwnd = std::min(t.cc.cwnd, t.cc.ssthresh);
  t.flags |= kCwrDue;
}

}  // namespace stackrig::tcpip
