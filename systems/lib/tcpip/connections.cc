// SPDX-License-Identifier: Apache-2.0
// Control blocks: taken, opened, written to, closed, ended; and the list of those that something is
// to be done for.
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

constexpr unsigned kTriesInVain = 32;
constexpr unsigned kLookedAt = 32;          ///< for one that is silent: a bounded piece of work
constexpr std::uint32_t kSilentForMs = 20;  ///< a request that comes with its ACK is never silent

}  // namespace

Tcb* Stack::Impl::allocate() {
  if (free_first == kNoSlot) {
    ++c->no_slot;
    return nullptr;
  }
  Tcb& t = tcbs[free_first];
  free_first = t.work_next;
  --free_slots;
  if (free_first != kNoSlot) __builtin_prefetch(&tcbs[free_first]);
  const std::uint32_t slot = t.slot;
  // Everything but the timer node (which may lie in the wheel) begins at zero.
  static_assert(offsetof(Tcb, rcv_nxt) == 64 && offsetof(Tcb, cc) == 128 &&
                offsetof(Tcb, app) == 192);
  std::memset(static_cast<void*>(&t), 0, offsetof(Tcb, node));
  std::memset(static_cast<void*>(&t.app), 0, sizeof(Tcb) - offsetof(Tcb, app));
  t.slot = slot;
  t.held_first = t.held_last = kNoHold;
  t.sent_first = t.sent_last = Scoreboard::kNone;
  t.extra = LazyPool<Extra>::kNone;
  t.work_next = kNoSlot;
  t.rcv_window = config.receive_window;
  t.rtt.start(initial_rto_us);
  return &t;
}

// A client opens a connection to say something. One that was accepted and has said nothing since
// gives way when there is little room for others, so that connections which cost their client
// nothing but an ACK cannot shut others out. The hand goes round, so that those go that are silent
// longest.
void Stack::Impl::make_room() {
  for (unsigned i = 0; i < kLookedAt; ++i) {
    Tcb& t = tcbs[silent_hand];
    silent_hand = silent_hand + 1 == config.max_connections ? 0 : silent_hand + 1;
    const bool silent = !t.has(kDead) && t.has(kPassive) && t.state == State::established &&
                        t.rcv_nxt == t.irs + 1 && t.write_count == 0 &&
                        ms - t.heard_ms >= kSilentForMs;
    if (!silent) continue;
    ++c->gave_way;
    send_reset(t);
    end(t, Ended::aborted);
    return;
  }
}

// There is one for every connection.
void Stack::Impl::give_extra(Tcb& t) {
  t.extra = extras.take();
  Extra& x = extras[t.extra];
  x = {};
}

void Stack::Impl::give_back_sender(Tcb& t) {
  if (t.sent_first != Scoreboard::kNone) board.drop(t);
  if (!has_extra(t)) return;
  // Only those that sent much or lost something teach: others need no lesson, and no time for it.
  if (t.rtt.srtt8 != 0) paths.learn(remote(t).address, t.rtt.rto_us(min_rto_us), ms);
  extras.give_back(t.extra);
  t.extra = LazyPool<Extra>::kNone;
}

void Stack::Impl::free_slot(Tcb& t) {
  t.flags = kDead;
  t.work_next = free_first;
  free_first = t.slot;
  ++free_slots;
}

void Stack::Impl::enter_table(Tcb& t) {
  t.hash = hash_flow(t.key(), hash_key);
  table.insert(t.hash, Ref::tcb(t.slot));
  t.flags |= kInTable;
}

void Stack::Impl::leave_backlog(Tcb& t) {
  if (!t.has(kHalfOpen)) return;
  t.flags &= ~kHalfOpen;
  c->half_open_now = --half_open;
}

void Stack::Impl::count_established(Tcb& t) {
  ++(t.has(kPassive) ? c->connections_accepted : c->connections_opened);
  ++c->connections_now;
  t.flags |= kCounted;
}

void Stack::Impl::end(Tcb& t, Ended why) {
  if (t.has(kDead)) return;
  t.flags |= kDead;
  leave_backlog(t);
  if (t.has(kInTable)) table.erase(t.hash, Ref::tcb(t.slot));
  t.state = State::closed;
  stop_timer(t);
  if (t.has(kCounted)) {
    --c->connections_now;
    ++c->connections_closed;
  }
  if (why == Ended::timed_out) ++c->timed_out;
  if (why == Ended::refused) ++c->refused;
  const unsigned pending = t.write_count;
  for (unsigned i = 0; i < pending; ++i) {
    const Write w = write_at(t, i);
    w.owner->released(w.cookie);
  }
  t.write_count = 0;
  t.queued = 0;
  if (t.has(kHolding)) drop_all_held(t);
  give_back_sender(t);
  if (t.has(kToldApp) && t.on_closed != nullptr) t.on_closed(t.app, t, why);
  list(t);
}

// Bytes that were acknowledged must not vanish because the wire was faster than the reader.
void Stack::Impl::end_when_read(Tcb& t) {
  if (!t.has(kHolding)) {
    end(t, Ended::normally);
    return;
  }
  if (t.has(kInTable)) table.erase(t.hash, Ref::tcb(t.slot));
  t.flags &= ~(kInTable | kOutput | kControl | kAckNow | kAckSoon | kAckSoonArmed);
  t.state = State::time_wait;  // resume() ends it
  stop_timer(t);
}

void Stack::Impl::list(Tcb& t) {
  if (t.has(kListed)) return;
  t.flags |= kListed;
  t.work_next = kNoSlot;
  if (work_last == kNoSlot) {
    work_first = t.slot;
  } else {
    tcbs[work_last].work_next = t.slot;
  }
  work_last = t.slot;
  ++work_count;
}

// Looks once at everything that is on the list now; what cannot be done goes to its end. Where
// nothing can be done (no buffers) a few tries are enough: the work of a turn is bounded.
void Stack::Impl::drain() {
  unsigned in_vain = 0;
  for (std::uint32_t n = work_count; n != 0; --n) {
    Tcb& t = tcbs[work_first];
    const bool stuck = !t.has(kDead) && !out.has_room();
    if (stuck) break;  // the ring is full: all others wait too, in their order
    work_first = t.work_next;
    if (work_first == kNoSlot) {
      work_last = kNoSlot;
    } else {
      __builtin_prefetch(&tcbs[work_first]);
    }
    --work_count;
    t.flags &= ~kListed;
    if (t.has(kDead)) {
      free_slot(t);
    } else if (!work(t) && !t.has(kDead)) {
      list(t);
      if (++in_vain == kTriesInVain) break;
    }
  }
}

// False where something is left that could not be sent.
bool Stack::Impl::work(Tcb& t) {
  if (t.has(kControl) && !send_syn(t)) return false;
  if (t.has(kOutput)) output(t);
  if (t.has(kDead)) return true;
  if (t.has(kAckNow) ||
      (t.has(kAckSoon) &&
       (config.delayed_ack == 0 || t.rcv_nxt - t.last_ack_sent >= 2U * t.mss || acks_quickly(t)))) {
    return send_ack(t) && !t.has(kOutput);
  }
  if (t.has(kAckSoon)) schedule_ack(t);
  return !t.has(kOutput);
}

// Outside of a packet's processing, what was asked for waits for poll_output().
void Stack::Impl::touched(Tcb& t) {
  t.flags |= kOutput;
  if (&t != current) list(t);
}

Write& Stack::Impl::more_write(Tcb& t, unsigned at) {
  return more_writes[std::size_t{t.slot} * (kMaxWrites - Tcb::kInlineWrites) + at -
                     Tcb::kInlineWrites];
}

Result Stack::Impl::write(Tcb& t, ByteOwner& content, std::uint64_t cookie, std::uint64_t bytes) {
  constexpr unsigned kOpen = 1U << static_cast<unsigned>(State::established) |
                             1U << static_cast<unsigned>(State::close_wait) |
                             1U << static_cast<unsigned>(State::syn_sent) |
                             1U << static_cast<unsigned>(State::syn_received);
  if ((kOpen >> static_cast<unsigned>(t.state) & 1) == 0 || t.has(kDead | kFinQueued)) {
    return Result::wrong_state;
  }
  if (bytes == 0) {
    content.released(cookie);
    return Result::ok;
  }
  if (t.write_count == kMaxWrites) return Result::no_write_slot;
  if (t.write_count == 0) {
    t.write_head = 0;  // stay in the control block where one write at a time is all there is
    t.head_offset = 0;
  }
  write_at(t, t.write_count) = {&content, cookie, bytes};
  ++t.write_count;
  t.queued += bytes;
  touched(t);
  return Result::ok;
}

Result Stack::Impl::close(Tcb& t) {
  switch (t.state) {
    case State::closed:
    case State::syn_sent:
      if (t.has(kDead)) return Result::wrong_state;
      end(t, Ended::aborted);
      return Result::ok;
    case State::listen:
      listener_gone(t);
      return Result::ok;
    case State::established:
      t.state = State::fin_wait_1;
      break;
    case State::close_wait:
      t.state = State::last_ack;
      break;
    case State::syn_received:
      break;  // goes to FIN_WAIT_1 when it is established
    default:
      return Result::wrong_state;
  }
  if (t.has(kFinQueued)) return Result::wrong_state;
  t.flags |= kFinQueued;
  touched(t);
  return Result::ok;
}

void Stack::Impl::listener_gone(Tcb& t) {
  listeners.remove(t.slot);
  end(t, Ended::normally);
}

// RFC 6191 seen from the other side: our timestamps have moved on, so the peer can tell the two
// connections apart. A second is what Linux waits too.
bool Stack::Impl::may_reopen(const TimeWaitEntry& old) const {
  return old.timestamps && now + config.time_wait >= old.expires + nmio::kSecond;
}

// RFC 6056 algorithm 3: the ports of one destination are taken in turn, from a secret place on.
bool Stack::Impl::pick_port(Tcb& t, wire::Endpoint remote) {
  constexpr std::uint32_t kFirst = 10000;
  constexpr std::uint32_t kCount = 65536 - kFirst;
  constexpr std::uint32_t kInTurn = 64;  // then here and there: a long run of them may be taken
  constexpr std::uint32_t kTries = 1024;
  const FlowKey to = FlowKey::of({local(t).address, 0}, remote);
  const std::uint32_t offset = flow_secrets(to, hash_key).isn;
  for (std::uint32_t tries = 0; tries < kTries; ++tries) {
    std::uint32_t n = offset + port_counter++;
    if (tries >= kInTurn) n = (n * 2654435769U) >> 8;  // Knuth's multiplicative hash
    const wire::Endpoint from{local(t).address, static_cast<std::uint16_t>(kFirst + n % kCount)};
    const FlowKey key = FlowKey::of(from, remote);
    const Ref taken = lookup(key, hash_flow(key, hash_key));
    const bool free =
        taken.none() || (taken.is_time_wait() && may_reopen(time_wait[taken.index()]));
    if (!free) continue;
    fill_header(t, key, {});
    return true;
  }
  return false;
}

Result Stack::Impl::connect(Tcb& t, wire::Endpoint remote, Time at) {
  set_time(at);
  if (t.state != State::closed || t.has(kDead)) return Result::wrong_state;
  wire::Endpoint from = local(t);
  if (from.address.is_unspecified()) from.address = config.address.address;
  fill_header(t, FlowKey::of(from, remote), {});
  if (from.port == 0 && !pick_port(t, remote)) return Result::in_use;
  const FlowKey key = t.key();
  const std::uint32_t hash = hash_flow(key, hash_key);
  const FlowSecrets secrets = flow_secrets(key, config.secret);
  t.iss = initial_sequence(secrets, now);
  t.ts_offset = secrets.timestamp;
  const Ref taken = lookup(key, hash);
  if (!taken.none()) {
    if (!taken.is_time_wait()) return Result::in_use;
    const TimeWaitEntry& old = time_wait[taken.index()];
    if (!may_reopen(old)) return Result::in_use;
    t.iss = seq_max(t.iss, old.snd_nxt + 65536);
    table.erase(old.hash, taken);
    time_wait.kill(taken.index());
    ++c->time_wait_reused;
    c->time_wait_now = time_wait.alive();
  }
  enter_table(t);
  t.state = State::syn_sent;
  t.snd_una = t.iss;
  t.snd_nxt = t.snd_max = t.iss + 1;
  t.mss = kDefaultMss;
  t.flags |= kControl;
  if (paths.any()) wait_as_known(t);
  if (!send_syn(t)) list(t);
  start_retransmit_timer(t);
  return Result::ok;
}

}  // namespace stackrig::tcpip
