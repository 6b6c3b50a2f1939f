// SPDX-License-Identifier: Apache-2.0
// What a connection needs beside its control block once something went wrong, or its window grew: a
// record from a pool, taken at need and kept until the connection ends. A connection that sends a
// few segments and loses none never has one.
#pragma once

#include <array>
#include <cstdint>

#include "tcpip/cubic.h"
#include "tcpip/hystart.h"
#include "tcpip/seq.h"
#include "tcpip/stack.h"
#include "wire/tcp_options.h"

namespace stackrig::tcpip {

/// Bytes of the flight that count as out of the network, kept in step by the scoreboard.
struct BoardSums {
  std::uint32_t sacked;  ///< the peer has them, beyond a gap
  std::uint32_t lost;    ///< taken for lost, and not sent again yet
};

/// RFC 8985 5.3 and 6.
struct RackState {
  std::uint32_t sent_us;  ///< RACK.xmit_ts: of the latest sent segment that was delivered
  Seq end;                ///< RACK.end_seq: where that segment ends
  std::uint32_t rtt_us;   ///< RACK.rtt
  Seq fack;               ///< highest end of what was delivered
  Seq dsack_round;        ///< with kDsackRound
  bool any;               ///< the four first are valid
  bool reordering_seen;
  bool in_dsack_round;
  std::uint8_t reo_mult;     ///< of a quarter of the least round trip
  std::uint8_t reo_persist;  ///< recoveries until it is 1 again
};

/// A tail loss probe under way (RFC 8985 7.1).
struct ProbeState {
  Seq end;  ///< TLP.end_seq
  bool out;
  bool again;  ///< it carried old bytes
};

/// Proportional rate reduction (RFC 6937).
struct PrrState {
  std::uint32_t flight;     ///< RecoverFS
  std::uint32_t delivered;  ///< since recovery began
  std::uint32_t out;
};

/// What to go back to where the loss was none: the sender was wrong (RFC 3522, 4015; 2883, 3708).
struct UndoState {
  std::uint32_t cwnd;
  std::uint32_t ssthresh;
  CubicState cubic;
  Seq from;                    ///< snd_una when it began
  Seq end;                     ///< the first retransmission ends here
  std::uint32_t ts;            ///< our timestamp of the first retransmission
  std::uint32_t resent_bytes;  ///< not reported as duplicates yet
  bool valid;
  bool resent;  ///< `end`, `ts` are valid
};

/// How far the congestion window is in use (RFC 7661). Bytes, and ms of our clock.
struct WindowUse {
  std::uint32_t most;         ///< in flight, in this period
  std::uint32_t most_before;  ///< and in the period before
  std::uint32_t since_ms;     ///< when this period began
  std::uint32_t full_ms;      ///< when an ACK found the window in use last
  Seq full_until;  ///< with kWindowFull: all before it was sent until the window was full
};

/// The path's MTU, where it is less than both ends' (path_mtu.cc).
struct PathState {
  std::uint32_t told;      ///< by a router, and not believed yet; 0: nothing
  Seq told_for;            ///< the segment that it was told for
  Seq probe_from;          ///< with `probe`
  std::uint32_t raise_ms;  ///< when longer segments may be tried, our clock
  std::uint16_t high;      ///< payload bytes that may pass at most; 0: nothing was cut
  std::uint16_t probe;     ///< payload bytes of a longer segment under way; 0: none
  bool guessed;            ///< nobody told: the old length is tried again at once
};

struct Extra {
  std::uint32_t next;  ///< the pool's

  BoardSums board;
  RackState rack;
  ProbeState probe;
  PrrState prr;
  UndoState undo;
  CubicState cubic;
  HyStart hystart;
  WindowUse use;

  PathState path;
  KeepAlive keepalive;      ///< with kKeepAlive
  nmio::Time user_timeout;  ///< with kUserTimeout
  nmio::Time since;         ///< the peer has acknowledged nothing since, though it might
  Seq ecn_recover;          ///< what marks say until then, they said before
  bool ecn_reduced;

  // the receiver's
  std::array<wire::SackBlock, wire::TcpOptions::kMaxSackBlocks>
      held;  ///< latest first (RFC 2018 4)
  std::uint8_t held_count;
  std::uint8_t quick_acks;  ///< so many segments are acknowledged at once
};

}  // namespace stackrig::tcpip
