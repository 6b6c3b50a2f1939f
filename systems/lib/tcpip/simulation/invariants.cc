// SPDX-License-Identifier: Apache-2.0
#include "tcpip/simulation/invariants.h"

#include <algorithm>

#include "tcpip/tcb.h"

namespace stackrig::tcpip::simulation {
namespace {

class Checker {
 public:
  Checker(Host& host, Side& side) : host_(host), side_(side), t_(*side.tcb) {}

  void run() {
    numbers();
    flight();
    receiving();
    timers();
    side_.seen_snd_max = t_.snd_max;
    side_.seen_cwnd = t_.cc.cwnd;
    side_.seen_drops = host_.stack().counters().boards_dropped;
    side_.seen_recovery = t_.has(kRecovery | kBoard);
  }

 private:
  void must(bool good, const char* what) const {
    if (good) return;
    throw Broken(host_.name() + ", connection " + std::to_string(side_.number) + ": " + what);
  }
  [[nodiscard]] bool opening() const {
    return t_.state == State::syn_sent || t_.state == State::syn_received;
  }

  void numbers() const {
    must(seq_le(t_.snd_una, t_.snd_nxt), "snd_nxt lies before snd_una");
    must(seq_le(t_.snd_nxt, t_.snd_max), "snd_nxt lies beyond snd_max");
    must(opening() || t_.outstanding() <= t_.queued + 1, "more is out than was written");
    must(t_.queued <= side_.written, "more is queued than was written");
    must(t_.mss >= 100 || opening(), "an MSS that is all header");
  }

  // New data went out in this step: no more than the congestion window allows, but for two segments
  // (RFC 3042), a FIN, and a probe. Recovery has rules of its own.
  void flight() const {
    if (opening() || t_.has(kRecovery | kBoard) || side_.seen_recovery || side_.seen_cwnd == 0 ||
        side_.seen_drops != host_.stack().counters().boards_dropped) {
      return;
    }
    must(t_.cc.cwnd >= std::min<std::uint32_t>(t_.mss, 1) && t_.cc.cwnd <= (1U << 30) + 65536,
         "a congestion window that cannot be");
    if (!seq_gt(t_.snd_max, side_.seen_snd_max)) return;
    const std::uint64_t cwnd = std::max(t_.cc.cwnd, side_.seen_cwnd);
    must(t_.in_flight() <= cwnd + 2U * t_.mss + 1, "more is in flight than cwnd allows");
  }

  void receiving() const {
    if (t_.state == State::syn_sent || t_.state == State::time_wait) return;
    must(seq_le(t_.rcv_read, t_.rcv_nxt), "the application read what did not come");
    must(seq_le(t_.rcv_nxt, t_.rcv_adv + 1), "more was taken than the window held");
    must(t_.unread() <= t_.rcv_window, "more is unread than the window is large");
    must(seq_le(t_.last_ack_sent, t_.rcv_nxt), "more was acknowledged than came");
    must((t_.held_count == 0) == (t_.held_first == ~0U), "the list of held chunks and its count");
  }

  // No timer is lost: something will happen for whatever is not done yet.
  void timers() const {
    if (t_.state == State::time_wait) return;
    const bool listed = t_.has(kListed);
    if (t_.timer_kind != TimerKind::none) {
      must(t_.node.armed(), "a timer that nobody looks at");
      must(t_.node.deadline() <= t_.timer_at, "a timer that is looked at too late");
      must(t_.timer_at <= host_.now() + 200 * nmio::kSecond, "a timer in the far future");
    }
    if (t_.outstanding() != 0 || opening()) {
      must(t_.timer_kind != TimerKind::none, "something is out and no timer runs");
    }
    const bool more = t_.queued > t_.in_flight();
    if (!opening() && more && t_.outstanding() == 0 && !t_.has(kNotReady)) {
      must(listed || t_.timer_kind != TimerKind::none, "data wait and nothing will send them");
    }
    if (t_.has(kAckNow)) must(listed, "an acknowledgement is due and nothing will send it");
    if (t_.has(kAckSoon) && !listed) {
      must(t_.has(kAckSoonArmed) && t_.node.armed() && t_.node.deadline() <= t_.delack_at,
           "an acknowledgement is due and no timer runs");
    }
    if (t_.state == State::fin_wait_2) {
      must(t_.timer_kind != TimerKind::none, "FIN_WAIT_2 without an end");
    }
  }

  Host& host_;
  Side& side_;
  Tcb& t_;
};

void must_at_end(const Host& host, bool good, const std::string& what) {
  if (!good) throw Broken(host.name() + ", at the end: " + what);
}

}  // namespace

void check_step(Host& host) {
  for (auto& s : host.sides()) {
    if (s->tcb != nullptr) Checker(host, *s).run();
  }
}

void check_end(Host& host, const Plan& plan) {
  for (const auto& s : host.sides()) {
    const std::string name = "connection " + std::to_string(s->number) + " ";
    must_at_end(host, s->tcb == nullptr, name + "has no end");
    must_at_end(host, s->stream->all_released(), name + "keeps bytes of its owner");
    if (s->ended == Ended::normally) {
      must_at_end(host, s->received == s->peer_bytes && s->written == s->plan.bytes,
                  name + "ended normally without all its bytes");
    }
    if (plan.calm) {
      must_at_end(host, s->ended == Ended::normally,
                  name + "did not end normally in a calm network");
    }
  }
  const Counters& c = host.stack().counters();
  must_at_end(host, c.connections_now == 0, "connections_now is not 0");
  must_at_end(host, c.half_open_now == 0, "half_open_now is not 0");
  must_at_end(host, c.time_wait_now == 0, "time_wait_now is not 0");
  must_at_end(host, c.held_chunks_now == 0, "held_chunks_now is not 0");
  const auto free = host.memory().free_count();
  const auto total = host.memory().total_count();
  must_at_end(host, free == total, std::to_string(total - free) + " packet buffers are lost");
}

}  // namespace stackrig::tcpip::simulation
