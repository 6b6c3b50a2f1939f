// SPDX-License-Identifier: Apache-2.0
#include "tcpip/simulation/wire_watch.h"

#include <algorithm>

#include "tcpip/simulation/stream.h"

namespace stackrig::tcpip::simulation {
namespace {

bool is_tcp(std::span<const std::byte> b) {
  return b.size() >= 54 && b[12] == std::byte{8} && b[13] == std::byte{0} && b[23] == std::byte{6};
}

std::uint32_t span_of(const wire::TcpFrame& f) {
  return static_cast<std::uint32_t>(f.payload.size()) +
         ((f.tcp.flags & wire::kTcpSyn) != 0 ? 1 : 0) +
         ((f.tcp.flags & wire::kTcpFin) != 0 ? 1 : 0);
}

bool has(const wire::TcpFrame& f, std::uint8_t flag) {
  return (f.tcp.flags & flag) != 0;
}

}  // namespace

// A SYN with a new number begins an incarnation; what the other end had belongs to the last one.
// False for a SYN-ACK that begins none: a server may answer a SYN by a cookie and, when it comes
// again, from its backlog, and the client has taken the cookie's number already.
bool WireWatch::on_syn(Connection& c, unsigned from, const wire::TcpFrame& f) {
  Way& w = c.way[from];
  if (w.begun && w.isn == f.tcp.sequence) return true;
  const Way& other = c.way[1 - from];
  if (from == 1 && w.begun && f.tcp.acknowledgement == other.isn + 1 && other.acked_any &&
      other.acked_to - w.isn <= w.sent_to - w.isn) {
    return false;
  }
  if (from == 0) c = {};
  Way& fresh = c.way[from];
  fresh = {};
  fresh.begun = true;
  fresh.isn = f.tcp.sequence;
  fresh.sent_to = f.tcp.sequence;
  fresh.scale_offered = f.tcp.options.window_scale.has_value();
  fresh.scale = f.tcp.options.window_scale.value_or(0);
  return true;
}

void WireWatch::check_numbers(const Connection& c, unsigned from, const wire::TcpFrame& f) {
  const Way& w = c.way[from];
  const Way& other = c.way[1 - from];
  const std::uint32_t span = span_of(f);
  const Seq end = f.tcp.sequence + span;
  if (seq_gt(f.tcp.sequence, w.sent_to)) throw Broken("a segment leaves a hole behind it");
  const bool is_new = span != 0 && seq_gt(end, w.sent_to) && !has(f, wire::kTcpSyn);
  // One byte or a FIN beyond the window is a probe (RFC 9293 3.8.6.1).
  if (is_new && w.may_send_any && seq_gt(end, w.may_send_to) && span != 1) {
    throw Broken("data beyond the window that the peer has offered");
  }
  if (!has(f, wire::kTcpAck) || !other.begun) return;
  if (seq_gt(f.tcp.acknowledgement, other.sent_to)) {
    throw Broken("an acknowledgement of what was never sent");
  }
  if (w.acked_any && seq_lt(f.tcp.acknowledgement, w.acked_to)) {
    throw Broken("an acknowledgement goes back");
  }
}

void WireWatch::check_sack(const Connection& c, unsigned from, const wire::TcpFrame& f) {
  const Way& other = c.way[1 - from];
  const auto& o = f.tcp.options;
  for (unsigned i = 0; i < o.sack_blocks; ++i) {
    const auto& b = o.sack[i];
    if (!seq_lt(b.left, b.right)) throw Broken("a SACK block that is empty");
    if (seq_gt(b.right, other.sent_to)) throw Broken("a SACK block of what was never sent");
    // The first may be a DSACK (RFC 2883), all others lie beyond the acknowledgement (RFC 2018).
    if (i != 0 && seq_le(b.left, f.tcp.acknowledgement)) {
      throw Broken("a SACK block of what is acknowledged");
    }
  }
}

void WireWatch::sent(const nmio::SimFrame& frame) {
  if (!is_tcp(frame.bytes)) return;
  const auto f = wire::TcpFrame::parse(frame.bytes);
  if (!f) throw Broken("a segment with a wrong length or checksum was sent");
  ++segments_;
  const unsigned from = frame.from;
  const std::uint16_t port = from == 0 ? f->tcp.source_port : f->tcp.destination_port;
  Connection& c = connections_[port];
  if (has(*f, wire::kTcpSyn) && !on_syn(c, from, *f)) return;
  Way& w = c.way[from];
  // A RST may answer a segment of an older incarnation, with its numbers; so may TIME_WAIT's ACKs.
  if (has(*f, wire::kTcpRst) || !w.begun) return;
  if (f->tcp.sequence - w.isn > (1U << 30)) return;
  check_numbers(c, from, *f);
  check_sack(c, from, *f);
  w.sent_to = seq_max(w.sent_to, f->tcp.sequence + span_of(*f));
  if (!has(*f, wire::kTcpAck)) return;
  w.acked_to = w.acked_any ? seq_max(w.acked_to, f->tcp.acknowledgement) : f->tcp.acknowledgement;
  w.acked_any = true;
  const bool syn = has(*f, wire::kTcpSyn);
  const unsigned scale = !syn && c.scaled() ? w.scale : 0;
  const Seq edge = f->tcp.acknowledgement + (std::uint32_t{f->tcp.window} << scale);
  // Rounded down by the scale, an edge may lie a little before the last one (RFC 7323 2.4).
  if (w.edge_any && seq_lt(edge + (1U << scale) - 1, w.edge)) {
    throw Broken("the right edge of an offered window moves back");
  }
  w.edge = w.edge_any ? seq_max(w.edge, edge) : edge;
  w.edge_any = true;
}

void WireWatch::delivered(const nmio::SimFrame& frame) {
  if (!is_tcp(frame.bytes)) return;
  const auto f = wire::TcpFrame::parse(frame.bytes);
  if (!f || !has(*f, wire::kTcpAck) || has(*f, wire::kTcpRst)) return;
  const unsigned to = 1 - frame.from;
  const std::uint16_t port = to == 1 ? f->tcp.source_port : f->tcp.destination_port;
  Connection& c = connections_[port];
  Way& w = c.way[to];
  const Way& from = c.way[frame.from];
  if (!w.begun || f->tcp.acknowledgement - w.isn > (1U << 30)) return;
  const unsigned scale = !has(*f, wire::kTcpSyn) && c.scaled() ? from.scale : 0;
  const Seq edge = f->tcp.acknowledgement + (std::uint32_t{f->tcp.window} << scale);
  w.may_send_to = w.may_send_any ? seq_max(w.may_send_to, edge) : edge;
  w.may_send_any = true;
}

}  // namespace stackrig::tcpip::simulation
