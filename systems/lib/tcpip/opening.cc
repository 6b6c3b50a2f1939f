// SPDX-License-Identifier: Apache-2.0
// SYN_SENT and SYN_RECEIVED (RFC 9293 3.10.7.3, 3.10.7.4).
#include <algorithm>

#include "tcpip/impl.h"

namespace stackrig::tcpip {

// What the two SYNs agreed on. Timestamps and scaling count only where both ends offered them.
void Stack::Impl::apply(Tcb& t, const Agreed& a) {
  const std::uint32_t ours = config.mtu - 40;
  const std::uint32_t options = a.timestamps ? wire::kTimestampsAligned : 0;
  t.mss = static_cast<std::uint16_t>(std::min<std::uint32_t>(a.mss, ours) - options);
  if (a.timestamps) {
    t.flags |= kTimestampsOn;
    t.ts_recent = a.ts_value;
    t.heard_ms = ms;
  } else {
    t.flags &= ~kTimestampsOn;
  }
  const bool scaled = a.peer_scale != kNoWindowScale;
  if (a.sack) t.flags |= kSackOn;
  if (a.ecn) t.flags |= kEcnOn;
  if (a.user_timeout != 0) on_user_timeout_option(t, a.user_timeout);
  t.snd_wscale = scaled ? a.peer_scale : 0;
  t.rcv_wscale = scaled ? window_scale : 0;
  if (scaled) t.flags |= kScalingOn;
  if (!scaled) t.rcv_window = std::min(t.rcv_window, 65535U);
}

// The SYN of SYN_SENT, the SYN-ACK of SYN_RECEIVED. False: it could not go; try again.
bool Stack::Impl::send_syn(Tcb& t) {
  t.flags &= ~kControl;
  if (t.state != State::syn_sent && t.state != State::syn_received) return true;
  wire::MacAddress to = wire::EthernetHeader::at(t.header.data()).destination.get();
  if (!t.has(kPassive)) {
    const ip::Resolved r = ip.resolve(remote(t).address, now, to);
    if (r != ip::Resolved::yes) {
      // Told when the neighbour answers; and the retransmission timer runs.
      waiting_for_arp[t.slot / 64] |= std::uint64_t{1} << (t.slot % 64);
      t.flags |= kWaitsForArp;
      return true;
    }
    fill_header(t, t.key(), to);
  }
  const bool ack = t.state == State::syn_received;
  Control k{.key = t.key(), .to = to, .seq = t.iss};
  k.flags = ack ? wire::kTcpSyn | wire::kTcpAck : wire::kTcpSyn;
  k.flags |= ecn_of_syn(t, ack);
  k.ack = ack ? t.rcv_nxt : 0;
  k.window = syn_window();
  k.mss = static_cast<std::uint16_t>(config.mtu - 40);
  if (config.user_timeout_option) k.user_timeout = user_timeout_option();
  k.sack_permitted = ack ? t.has(kSackOn) : config.sack;
  k.timestamps = ack ? t.has(kTimestampsOn) : config.timestamps;
  k.ts_value = ms + t.ts_offset;
  k.ts_echo = ack && k.timestamps ? t.ts_recent : 0;
  const bool scale = ack ? t.has(kScalingOn) : config.window_scaling;
  k.window_scale = scale ? window_scale : kNoWindowScale;
  if (!send_control(k)) {
    t.flags |= kControl;
    return false;
  }
  if (ack) {
    t.rcv_adv = t.rcv_nxt + k.window;
    t.last_ack_sent = t.rcv_nxt;
    acked_by(t);
  }
  if (!t.has(kRttRunning | kSynRetransmitted)) {
    t.flags |= kRttRunning;
    t.rtt_seq = t.iss + 1;
    t.rtt_sent_us = us;
  }
  return true;
}

void Stack::Impl::on_syn_sent(Tcb& t, SegmentIn& s) {
  const bool acks_syn = s.has(wire::kTcpAck) && s.ack == t.iss + 1;
  if (s.has(wire::kTcpAck) && !acks_syn) {
    ++c->bad_ack;
    send_reset_for(s);
    return;
  }
  if (s.has(wire::kTcpRst)) {
    ++c->rst_in;
    if (acks_syn) end(t, Ended::refused);
    return;
  }
  if (!s.has(wire::kTcpSyn)) return;
  t.irs = s.seq;
  t.rcv_nxt = t.rcv_read = t.rcv_adv = s.seq + 1;
  t.last_ack_sent = t.rcv_nxt;
  Agreed a = agree(s);
  if (acks_syn) a.ecn = agrees_to_ecn(t, s);
  apply(t, a);
  fill_header(t, t.key(), wire::EthernetHeader::at(t.header.data()).destination.get());
  // Data in a SYN is not taken: the peer sends it again. What follows is the state after the SYN.
  s.seq += 1;
  s.len = 0;
  s.flags &= static_cast<std::uint8_t>(~(wire::kTcpSyn | wire::kTcpFin));
  if (acks_syn) {
    ip.confirm(remote(t).address, now);
    established(t, s);
    if (!t.has(kDead)) t.flags |= kAckNow;
    return;
  }
  // Simultaneous open: our SYN goes again, with an ACK.
  t.state = State::syn_received;
  t.snd_wnd = t.max_snd_wnd = s.window;
  t.snd_wl1 = s.seq;
  t.flags |= kControl;
  start_retransmit_timer(t);
}

void Stack::Impl::on_syn_received(Tcb& t, SegmentIn& s) {
  if (s.has(wire::kTcpSyn) && !s.has(wire::kTcpRst) && s.seq == t.irs) {
    // The SYN again: our SYN-ACK was lost, or crossed it. With an ACK: the other half of a
    // simultaneous open.
    if (!s.has(wire::kTcpAck)) {
      t.flags |= kControl;
      return;
    }
    s.seq += 1;
    s.len = 0;
    s.flags &= static_cast<std::uint8_t>(~(wire::kTcpSyn | wire::kTcpFin));
  }
  if (!acceptable(t, s)) return;
  if (s.has(wire::kTcpRst)) {
    ++c->rst_in;
    if (s.seq != t.rcv_nxt) {
      challenge(t);
    } else {
      end(t, t.has(kPassive) ? Ended::reset_by_peer : Ended::refused);
    }
    return;
  }
  if (s.has(wire::kTcpSyn)) {
    challenge(t);
    return;
  }
  if (!s.has(wire::kTcpAck)) return;
  if (s.ack != t.iss + 1 && !is_cookie_for(t, s)) {
    ++c->bad_ack;
    send_reset_for(s);
    return;
  }
  trim(t, s);
  remember_timestamp(t, s);
  established(t, s);
  if (t.has(kDead)) return;
  take_segment(t, s);
}

// The peer's first SYN was answered with a cookie, its second one found room in the backlog, and
// now it acknowledges the cookie: that is what the connection's numbers are from now on.
bool Stack::Impl::is_cookie_for(Tcb& t, const SegmentIn& s) {
  if (!t.has(kPassive) || now >= cookies_until) return false;
  if (!cookies.check(s.key, t.irs, s.ack - 1, now)) return false;
  ++c->syn_cookies_good;
  t.iss = s.ack - 1;
  return true;
}

// Our SYN is acknowledged. Calls the application.
void Stack::Impl::established(Tcb& t, SegmentIn& s) {
  leave_backlog(t);
  stop_timer(t);
  const bool syn_lost = t.backoff != 0;  // one more try after a path's known time proves nothing
  t.backoff = t.retransmits = 0;
  measure(t, s);
  t.snd_una = t.snd_nxt = t.snd_max = t.rtt_seq = t.iss + 1;
  t.recover = t.iss;
  congestion::start(t.cc, t.mss, syn_lost ? 1 : config.initial_window_segments);
  if (syn_lost && t.rtt.srtt8 == 0) {
    // RFC 6298 (5.7): a SYN that timed out leaves a cautious timer behind.
    t.rtt.rttvar4 = std::max(t.rtt.rttvar4, 3'000'000U);
  }
  t.flags &= ~(kRttRunning | kRttTainted);
  // The window of a SYN is not scaled; that of the ACK of ours is.
  t.snd_wnd = std::uint32_t{s.window} << (s.packet_was_syn ? 0 : t.snd_wscale);
  t.max_snd_wnd = std::max(t.snd_wnd, 1U);
  t.snd_wl1 = s.seq;
  t.snd_wl2 = s.ack;
  t.last_sent_ms = ms;
  t.state = t.has(kFinQueued) ? State::fin_wait_1 : State::established;
  t.heard_ms = ms;
  if (watches_peers || t.has(kKeepAlive | kUserTimeout)) watch_peer(t);
  if (t.queued != 0 || t.has(kFinQueued)) t.flags |= kOutput;
  if (t.has(kPassive)) {
    tell_accepted(t);
  } else {
    count_established(t);
    if (t.on_connected != nullptr) t.on_connected(t.app, t);
  }
}

}  // namespace stackrig::tcpip
