// SPDX-License-Identifier: Apache-2.0
#include "tcpip/scoreboard.h"

#include <utility>

namespace stackrig::tcpip {

bool Scoreboard::append_range(Tcb& t, Seq from, Seq to, std::uint32_t us) {
  SentRange* last = t.sent_last == kNone ? nullptr : &pool_[t.sent_last];
  const bool extends = last != nullptr && !last->is(kRangeSacked | kRangeLost);
  std::uint32_t i = kNone;
  if (t.sent_count < (extends ? kMostRanges / 2 : kMostRanges)) i = pool_.take();
  if (i == kNone) {
    // Times become coarser: those before count as sent with these, so nothing is lost too early.
    if (!extends) return false;
    last->to = to;
    last->sent_us = us;
    last->spread_us = 0;
    return true;
  }
  pool_[i] = {from, to, us, kNone, 0, 0};
  (last == nullptr ? t.sent_first : last->next) = i;
  t.sent_last = i;
  ++t.sent_count;
  return true;
}

// Range i ends at `at`, a new one takes the rest. False where there is none.
bool Scoreboard::split(Tcb& t, std::uint32_t i, Seq at) {
  if (t.sent_count >= kMostRanges) return false;
  const std::uint32_t rest = pool_.take();
  if (rest == kNone) return false;
  pool_[rest] = pool_[i];
  pool_[rest].from = at;
  pool_[i].to = at;
  pool_[i].next = rest;
  if (t.sent_last == i) t.sent_last = rest;
  ++t.sent_count;
  return true;
}

// Leaves in `i` a range that is no more than what it and [from, to) share; `before` is the one
// before.
bool Scoreboard::cut(Tcb& t, std::uint32_t& before, std::uint32_t& i, Seq from, Seq to) {
  if (seq_gt(pool_[i].to, to) && !split(t, i, to)) return false;
  if (seq_lt(pool_[i].from, from)) {
    if (!split(t, i, from)) return false;
    before = i;
    i = pool_[i].next;
  }
  return true;
}

// Reported neighbours are one range: when they went out is of no interest any more.
std::uint32_t Scoreboard::join_sacked(Tcb& t, std::uint32_t before, std::uint32_t i) {
  const std::uint32_t after = pool_[i].next;
  if (after != kNone && pool_[after].is(kRangeSacked)) {
    pool_[i].to = pool_[after].to;
    unlink(t, i, after);
  }
  if (before != kNone && pool_[before].is(kRangeSacked)) {
    pool_[before].to = pool_[i].to;
    unlink(t, before, i);
    return before;
  }
  return i;
}

void Scoreboard::unlink(Tcb& t, std::uint32_t before, std::uint32_t i) {
  (before == kNone ? t.sent_first : pool_[before].next) = pool_[i].next;
  if (t.sent_last == i) t.sent_last = before;
  --t.sent_count;
  pool_.give_back(i);
}

void Scoreboard::resent(Tcb& t, Seq from, Seq to, std::uint32_t us, std::uint32_t merge_us,
                        BoardSums& sums) {
  std::uint32_t before = std::exchange(start_, kNone);
  std::uint32_t i = before == kNone ? t.sent_first : pool_[before].next;
  for (; i != kNone && seq_le(pool_[i].to, from); i = next(i)) before = i;
  while (i != kNone && seq_lt(pool_[i].from, to)) {
    if (!pool_[i].is(kRangeSacked)) {
      // Where it cannot be cut, all of it counts as sent again: what was not is found lost once
      // more.
      cut(t, before, i, from, to);
      SentRange& r = pool_[i];
      if (r.is(kRangeLost)) sums.lost -= r.bytes();
      r.state = kRangeAgain;
      r.sent_us = us;
      r.spread_us = 0;
      SentRange* run = before == kNone ? nullptr : &pool_[before];
      if (run != nullptr && run->state == kRangeAgain && us - run->sent_us <= merge_us) {
        run->to = r.to;
        run->spread_us = static_cast<std::uint16_t>(us - run->sent_us);
        unlink(t, before, i);
        i = before;
      }
    }
    before = i;
    i = next(i);
  }
  cursor_ = before;
}

void Scoreboard::lose_all(Tcb& t, BoardSums& sums) {
  if (t.sent_first == kNone) return;
  SentRange& first = pool_[t.sent_first];
  first.to = pool_[t.sent_last].to;
  first.state = kRangeLost | kRangeAgain;
  while (first.next != kNone) unlink(t, t.sent_first, first.next);
  sums = {0, first.bytes()};
}

void Scoreboard::lose_none(Tcb& t, BoardSums& sums) {
  for (std::uint32_t i = t.sent_first; i != kNone; i = next(i)) {
    pool_[i].state &= static_cast<std::uint8_t>(~kRangeLost);
  }
  sums.lost = 0;
}

void Scoreboard::drop(Tcb& t) {
  start_ = cursor_ = kNone;
  while (t.sent_first != kNone) pop(t);
}

}  // namespace stackrig::tcpip
