// SPDX-License-Identifier: Apache-2.0
// The sender's scoreboard (RFC 6675 3) with the times that RACK needs (RFC 8985 5.2): what of the
// flight went out when, what the peer has, what is taken for lost.
//
// A connection's flight [snd_una, snd_max) is a list of ranges in sequence order, each of bytes
// that went out at about the same time and share one fate; a range is as many segments as that.
// Ranges come from one pool for all connections. Nothing here frees a byte: only a cumulative ACK
// does, so a peer that goes back on what it reported (RFC 2018 8) does no harm. Where no range is
// to be had, information is left out, never made up: reports are ignored, or the list is dropped
// and the connection goes on by NewReno.
//
// Work: every operation walks the list once, and a list has at most kMostRanges.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "tcpip/extra.h"
#include "tcpip/lazy_pool.h"
#include "tcpip/seq.h"
#include "tcpip/tcb.h"
#include "wire/tcp_options.h"

namespace stackrig::tcpip {

// SentRange::state
inline constexpr std::uint8_t kRangeSacked = 1;  ///< the peer has reported it
inline constexpr std::uint8_t kRangeLost = 2;    ///< to be sent again
inline constexpr std::uint8_t kRangeAgain = 4;   ///< has been sent more than once

struct SentRange {
  Seq from;
  Seq to;
  std::uint32_t sent_us;  ///< when its first byte went out last
  std::uint32_t next;
  std::uint16_t spread_us;  ///< until its last byte did
  std::uint8_t state;

  [[nodiscard]] std::uint32_t bytes() const { return to - from; }
  [[nodiscard]] std::uint32_t last_us() const { return sent_us + spread_us; }
  [[nodiscard]] bool is(std::uint8_t bits) const { return (state & bits) != 0; }
};

/// What the blocks of an ACK say, sorted out.
struct Reports {
  unsigned count = 0;  ///< in `blocks`, in sequence order and apart from each other
  std::array<wire::SackBlock, wire::TcpOptions::kMaxSackBlocks> blocks;
  bool came_twice = false;
  wire::SackBlock twice;  ///< RFC 2883
};

class Scoreboard {
 public:
  static constexpr std::uint32_t kNone = LazyPool<SentRange>::kNone;
  /// Ranges that one connection may have; new data takes no more than half of them where it can be
  /// joined with what went before.
  static constexpr unsigned kMostRanges = 256;

  explicit Scoreboard(std::uint32_t ranges) : pool_(ranges) {}

  [[nodiscard]] SentRange& operator[](std::uint32_t i) { return pool_[i]; }
  [[nodiscard]] const LazyPool<SentRange>& pool() const { return pool_; }
  /// Ranges looked at since the beginning, by what is not the fast path: the work done.
  [[nodiscard]] std::uint64_t visits() const { return visits_; }
  void clear() { pool_.clear(); }

  /// New bytes [from, to) went out at `us`; what went out within `merge_us` before is one range
  /// with them. False where there is no range for them.
  bool append(Tcb& t, Seq from, Seq to, std::uint32_t us, std::uint32_t merge_us) {
    if (t.sent_last != kNone) {
      SentRange& last = pool_[t.sent_last];
      if (last.state == 0 && us - last.sent_us <= merge_us) {
        last.to = to;
        last.spread_us = static_cast<std::uint16_t>(us - last.sent_us);
        return true;
      }
    }
    return append_range(t, from, to, us);
  }

  /// A cumulative ACK of a flight of which nothing was reported, lost or sent again: when the last
  /// byte that it covers went out.
  std::uint32_t ack_plain(Tcb& t, Seq to) {
    for (;;) {
      SentRange& r = pool_[t.sent_first];
      const std::uint32_t sent = r.sent_us;
      if (seq_gt(r.to, to)) {
        r.from = to;
        return sent;
      }
      const bool all = r.to == to;
      pop(t);
      if (all || t.sent_first == kNone) return sent;
    }
  }

  /// A cumulative ACK. Calls delivered(const SentRange&) for each piece that was not reported
  /// before.
  template <class Fn>
  void ack(Tcb& t, Seq to, BoardSums& sums, Fn&& delivered) {
    while (t.sent_first != kNone) {
      SentRange& r = pool_[t.sent_first];
      if (!seq_lt(r.from, to)) return;
      ++visits_;
      SentRange piece = r;
      if (seq_gt(piece.to, to)) piece.to = to;
      if (r.is(kRangeSacked)) {
        sums.sacked -= piece.bytes();
      } else {
        if (r.is(kRangeLost)) sums.lost -= piece.bytes();
        delivered(piece);
      }
      if (piece.to != r.to) {
        r.from = piece.to;
        return;
      }
      pop(t);
    }
  }

  /// The peer reports `blocks`: apart from each other and in sequence order, all in the flight.
  /// Calls delivered(const SentRange&) for each piece that is news. One walk.
  template <class Fn>
  void sack(Tcb& t, std::span<const wire::SackBlock> blocks, BoardSums& sums, Fn&& delivered) {
    std::uint32_t before = kNone;
    std::uint32_t i = t.sent_first;
    for (const wire::SackBlock& b : blocks) {
      while (i != kNone && seq_le(pool_[i].to, b.left)) {
        ++visits_;
        before = i;
        i = pool_[i].next;
      }
      while (i != kNone && seq_lt(pool_[i].from, b.right)) {
        ++visits_;
        if (!pool_[i].is(kRangeSacked) && cut(t, before, i, b.left, b.right)) {
          SentRange& r = pool_[i];
          if (r.is(kRangeLost)) sums.lost -= r.bytes();
          sums.sacked += r.bytes();
          delivered(static_cast<const SentRange&>(r));
          r.state = (r.state & kRangeAgain) | kRangeSacked;
          i = join_sacked(t, before, i);
        }
        before = i;
        i = pool_[i].next;
      }
    }
  }

  /// A walk that sends lost ranges again: the next resent() begins after range `before` (kNone: at
  /// the list's beginning), which lies before what is sent.
  void start_after(std::uint32_t before) { start_ = before; }
  /// The last range that resent() has dealt with.
  [[nodiscard]] std::uint32_t cursor() const { return cursor_; }
  /// [from, to) went out again at `us`.
  void resent(Tcb& t, Seq from, Seq to, std::uint32_t us, std::uint32_t merge_us, BoardSums& sums);
  /// All of range `i` is lost.
  void mark_lost(std::uint32_t i, BoardSums& sums) {
    SentRange& r = pool_[i];
    if (r.is(kRangeSacked | kRangeLost)) return;
    r.state |= kRangeLost;
    sums.lost += r.bytes();
  }
  /// Nothing is known any more, and all is lost (RFC 2018 8: after a timeout).
  void lose_all(Tcb& t, BoardSums& sums);
  /// Nothing is lost after all.
  void lose_none(Tcb& t, BoardSums& sums);
  /// The list goes back to the pool.
  void drop(Tcb& t);

  /// For walks from outside; counts as work.
  [[nodiscard]] std::uint32_t next(std::uint32_t i) {
    ++visits_;
    return pool_[i].next;
  }

 private:
  void pop(Tcb& t) {
    const std::uint32_t i = t.sent_first;
    t.sent_first = pool_[i].next;
    if (t.sent_first == kNone) t.sent_last = kNone;
    --t.sent_count;
    pool_.give_back(i);
  }
  bool append_range(Tcb& t, Seq from, Seq to, std::uint32_t us);
  bool split(Tcb& t, std::uint32_t i, Seq at);
  bool cut(Tcb& t, std::uint32_t& before, std::uint32_t& i, Seq from, Seq to);
  std::uint32_t join_sacked(Tcb& t, std::uint32_t before, std::uint32_t i);
  void unlink(Tcb& t, std::uint32_t before, std::uint32_t i);

  LazyPool<SentRange> pool_;
  std::uint64_t visits_ = 0;
  std::uint32_t start_ = kNone;   ///< for the next resent() only
  std::uint32_t cursor_ = kNone;  ///< where the last one ended
};

}  // namespace stackrig::tcpip
