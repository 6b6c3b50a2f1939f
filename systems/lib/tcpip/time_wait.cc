// SPDX-License-Identifier: Apache-2.0
// TIME_WAIT: entered, answered, and left early for a new connection that cannot be mistaken for the
// old one (RFC 9293 3.6.1, RFC 6191, RFC 1337).
#include "tcpip/time_wait.h"

#include "tcpip/impl.h"

namespace stackrig::tcpip {

// The control block goes; an entry takes its place in the table.
void Stack::Impl::enter_time_wait(Tcb& t) {
  // Of the peer's FIN, unless that was acknowledged before (CLOSING). Where it cannot go, the FIN
  // comes again and the entry answers.
  if (t.has(kAckNow)) send_ack(t);
  bool recycled;
  const std::uint32_t place = time_wait.push(table, recycled);
  if (recycled) ++c->time_wait_recycled;
  TimeWaitEntry& e = time_wait[place];
  e.key = t.key();
  e.hash = t.hash;
  e.alive = true;
  e.timestamps = t.has(kTimestampsOn);
  e.window = static_cast<std::uint16_t>(std::min(65535U, (t.rcv_adv - t.rcv_nxt) >> t.rcv_wscale));
  e.snd_nxt = t.snd_nxt;
  e.rcv_nxt = t.rcv_nxt;
  e.ts_recent = t.ts_recent;
  e.ts_offset = t.ts_offset;
  e.expires = now + config.time_wait;
  table.replace(t.hash, Ref::tcb(t.slot), Ref::time_wait(place));
  t.flags &= ~kInTable;
  c->time_wait_now = time_wait.alive();
  end_when_read(t);
}

void Stack::Impl::on_time_wait(std::uint32_t index, SegmentIn& s) {
  TimeWaitEntry& e = time_wait[index];
  if (s.has(wire::kTcpRst)) {
    ++c->rst_in;  // RFC 1337: a reset must not end TIME_WAIT
    return;
  }
  if (s.has(wire::kTcpSyn) && !s.has(wire::kTcpAck)) {
    const bool newer_time = e.timestamps && s.has_timestamps && seq_gt(s.ts_value, e.ts_recent);
    const bool older_time = e.timestamps && s.has_timestamps && seq_lt(s.ts_value, e.ts_recent);
    if (newer_time || (!older_time && seq_gt(s.seq, e.rcv_nxt))) {
      const TimeWaitEntry old = e;
      const std::uint32_t l = listeners.find(s.key.local());
      if (l == Listeners::kNone) {
        ++c->no_listener;
        send_reset_for(s);
        return;
      }
      table.erase(e.hash, Ref::time_wait(index));
      time_wait.kill(index);
      c->time_wait_now = time_wait.alive();
      ++c->time_wait_reused;
      on_listen(tcbs[l], s, &old);
      return;
    }
  }
  // A FIN again, or anything that takes sequence space: our last ACK again. A bare ACK is the end
  // of something and needs none.
  if (s.span() == 0) return;
  const bool again = s.fin() && s.end() == e.rcv_nxt;
  if (!again && !challenge_allowed()) return;
  send_control({.key = e.key,
                .to = wire::EthernetHeader::at(s.packet->data).source.get(),
                .seq = e.snd_nxt,
                .ack = e.rcv_nxt,
                .flags = wire::kTcpAck,
                .window = e.window,
                .timestamps = e.timestamps,
                .ts_value = ms + e.ts_offset,
                .ts_echo = e.ts_recent});
  ++c->acks_out;
  if (!again) return;
  // The wait begins anew: a new entry at the ring's head takes this one's place.
  TimeWaitEntry renewed = e;
  renewed.expires = now + config.time_wait;
  if (s.has_timestamps && e.timestamps && seq_gt(s.ts_value, e.ts_recent))
    renewed.ts_recent = s.ts_value;
  table.erase(e.hash, Ref::time_wait(index));
  time_wait.kill(index);
  bool recycled;
  const std::uint32_t place = time_wait.push(table, recycled);
  if (recycled) ++c->time_wait_recycled;
  time_wait[place] = renewed;
  table.insert(renewed.hash, Ref::time_wait(place));
  c->time_wait_now = time_wait.alive();
}

}  // namespace stackrig::tcpip
