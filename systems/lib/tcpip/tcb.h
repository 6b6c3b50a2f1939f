// SPDX-License-Identifier: Apache-2.0
// The control block of a connection: six cache lines, grouped by who touches them when.
//
//   line 0  every packet, in and out: the pre-filled header (which is the key too) and its sums
//   line 1  every packet: sequence numbers, windows, flags
//   line 2  every new ACK and every data segment sent: congestion window, round trips, timer
//   line 3  delivery to the application
//   line 4  what is to be sent
//   line 5  set-up, holding received data, book-keeping: not touched by a packet that comes in
//   order
//
// A slot is recycled last in, first out. Its timer node may stay in the wheel from one connection
// to the next: the wheel's time is only when to look at the deadlines here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tcpip/congestion.h"
#include "tcpip/flow_key.h"
#include "tcpip/rtt.h"
#include "tcpip/seq.h"
#include "tcpip/stack.h"
#include "timer/wheel.h"

namespace stackrig::tcpip {

inline constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};

// Where things lie in the pre-filled header (and in every frame that we send).
inline constexpr unsigned kIpAt = 14;
inline constexpr unsigned kTcpAt = 34;
inline constexpr unsigned kSourceAddressAt = 26;
inline constexpr unsigned kPlainHeader = 54;  ///< Ethernet, IPv4, TCP
inline constexpr unsigned kTimestampHeader = kPlainHeader + 12;

/// One tcp_write() that is not acknowledged whole yet.
struct Write {
  ByteOwner* owner;
  std::uint64_t cookie;
  std::uint64_t bytes;
};

/// What the slow timer is armed for. They exclude each other.
enum class TimerKind : std::uint8_t {
  none,
  keepalive,   ///< nothing is in flight, and the peer may be gone (kKeepAlive)
  retransmit,  ///< SYN, data or FIN are unacknowledged
  persist,     ///< the peer's window is closed (or too small) and nothing is in flight
  fin_wait_2,  ///< our FIN is acknowledged, the peer's has not come
  probe,       ///< data is in flight and may have lost its tail (RFC 8985 7)
  reorder,     ///< something is overdue, but may only have been overtaken (RFC 8985 6.2)
};

// Tcb::flags. Those that the fast path asks for lie in the low half.
inline constexpr std::uint64_t kTimestampsOn = 1U << 0;  ///< RFC 7323 agreed on
inline constexpr std::uint64_t kFinQueued = 1U << 1;     ///< tcp_close() was called
inline constexpr std::uint64_t kFinReceived = 1U << 2;   ///< the peer's FIN is in rcv_nxt
inline constexpr std::uint64_t kRemoteClosedTold = 1U << 3;
inline constexpr std::uint64_t kAckNow = 1U << 4;       ///< at the end of the burst
inline constexpr std::uint64_t kAckSoon = 1U << 5;      ///< may be delayed
inline constexpr std::uint64_t kOutput = 1U << 6;       ///< output() has something to look at
inline constexpr std::uint64_t kControl = 1U << 7;      ///< SYN or SYN-ACK is to be sent
inline constexpr std::uint64_t kListed = 1U << 8;       ///< on the work list (or waiting for ARP)
inline constexpr std::uint64_t kDead = 1U << 9;         ///< slot goes back when taken off the list
inline constexpr std::uint64_t kRecovery = 1U << 10;    ///< fast recovery, until `recover`
inline constexpr std::uint64_t kRttRunning = 1U << 11;  ///< rtt_seq, rtt_sent_us are valid
inline constexpr std::uint64_t kRttTainted = 1U << 12;  ///< something was sent twice since (Karn)
inline constexpr std::uint64_t kHolding = 1U << 13;     ///< received chunks are held
inline constexpr std::uint64_t kPassive = 1U << 14;     ///< opened by a listener
inline constexpr std::uint64_t kToldApp = 1U << 15;     ///< the application knows this Tcb
inline constexpr std::uint64_t kSynRetransmitted = 1U << 16;
/// The owner has no bytes: tcp_output() tells.
inline constexpr std::uint64_t kNotReady = 1U << 17;
inline constexpr std::uint64_t kInTable = 1U << 18;
inline constexpr std::uint64_t kHalfOpen = 1U << 19;  ///< counts against the backlog
inline constexpr std::uint64_t kOffering = 1U << 20;  ///< in the receive callback
/// Send less than an MSS: the timer said so.
inline constexpr std::uint64_t kForceSmall = 1U << 21;
inline constexpr std::uint64_t kAckSoonArmed = 1U << 22;  ///< delack_at is valid
inline constexpr std::uint64_t kFinSent = 1U << 23;       ///< snd_max has covered the FIN
inline constexpr std::uint64_t kLossSeen = 1U << 24;      ///< `recover` is valid
inline constexpr std::uint64_t kCounted = 1U << 25;       ///< in connections_now
inline constexpr std::uint64_t kScalingOn = 1U << 26;     ///< window scaling agreed on
/// A partial ACK: send what is at snd_una.
inline constexpr std::uint64_t kRetransmitOne = 1U << 27;
inline constexpr std::uint64_t kWaitsForArp = 1U << 28;  ///< its bit in waiting_for_arp is set
/// In order, held bytes before it go first.
inline constexpr std::uint64_t kFinToDeliver = 1U << 29;
inline constexpr std::uint64_t kSackOn = 1U << 30;  ///< RFC 2018 agreed on
/// The scoreboard says more than when things went out: something is reported, lost, sent again.
inline constexpr std::uint64_t kBoard = 1U << 31;
/// The owner has no bytes of what is lost: tcp_output() tells.
inline constexpr std::uint64_t kLostNotReady = std::uint64_t{1} << 32;
inline constexpr std::uint64_t kEcnOn = std::uint64_t{1} << 33;     ///< RFC 3168 agreed on
inline constexpr std::uint64_t kEcnAsked = std::uint64_t{1} << 34;  ///< in the SYN that is out
inline constexpr std::uint64_t kEcnEcho = std::uint64_t{1} << 35;   ///< a mark came: ECE until CWR
inline constexpr std::uint64_t kCwrDue = std::uint64_t{1} << 36;    ///< the window was reduced
/// Segments are shorter than was agreed on: Extra::path.
inline constexpr std::uint64_t kPathCut = std::uint64_t{1} << 37;
inline constexpr std::uint64_t kKeepAlive = std::uint64_t{1} << 38;    ///< Extra::keepalive
inline constexpr std::uint64_t kUserTimeout = std::uint64_t{1} << 39;  ///< Extra::user_timeout
/// All of the flight went out at rtt_sent_us, and nothing was reported of it: it needs no list.
inline constexpr std::uint64_t kFlightOne = std::uint64_t{1} << 40;
/// There was more to send than the congestion window allowed, until Extra::use.full_until.
inline constexpr std::uint64_t kWindowFull = std::uint64_t{1} << 41;

class alignas(64) Tcb {
 public:
  static constexpr unsigned kInlineWrites = 2;

  // line 0
  std::array<std::byte, kPlainHeader> header;
  std::uint8_t header_bytes;  ///< kPlainHeader or kTimestampHeader
  State state = State::closed;
  std::uint16_t
      pseudo_sum;  ///< of the pseudo header but the length: what a device that fills in wants
  std::uint16_t tcp_sum;  ///< of all in the TCP header (and pseudo header) that never changes
  std::uint16_t ip_sum;   ///< of all in the IPv4 header but total length and checksum
  std::uint16_t mss;      ///< payload bytes of a full segment, options taken off

  // line 1
  Seq rcv_nxt;
  Seq rcv_adv;  ///< right edge of the window that the peer was told
  Seq snd_una;
  Seq snd_nxt;            ///< next to be sent; below snd_max after a timeout
  Seq snd_max;            ///< highest sent, plus one
  std::uint32_t snd_wnd;  ///< bytes, scaled
  Seq snd_wl1;
  Seq snd_wl2;
  std::uint64_t queued;  ///< bytes written and not acknowledged
  std::uint64_t flags = 0;
  std::uint32_t ts_recent;
  std::uint32_t ts_offset;  ///< our timestamps: clock (ms) + this
  Seq last_ack_sent;
  std::uint8_t snd_wscale;
  std::uint8_t rcv_wscale;
  std::uint8_t dup_acks;
  std::uint8_t backoff;  ///< of the slow timer

  // line 2
  Congestion cc;
  RttEstimator rtt;
  Seq rtt_seq;  ///< an ACK of this is a round trip
  std::uint32_t rtt_sent_us;
  std::uint32_t sent_first;  ///< scoreboard.h: the flight, where SACK is agreed on
  std::uint32_t sent_last;
  timer::Node node;

  // line 3
  void* app;
  RecvFn on_recv;
  nmio::Time timer_at;  ///< deadline of `timer_kind`
  union {
    AcceptFn on_accept;      ///< a listener's
    ConnectFn on_connected;  ///< a connection's
  };
  SentFn on_sent;
  RemoteClosedFn on_remote_closed;
  ClosedFn on_closed;
  std::uint64_t user;

  // line 4
  std::array<Write, kInlineWrites> writes;
  std::uint64_t head_offset;  ///< bytes of the first write that are acknowledged
  std::uint8_t write_head;
  std::uint8_t write_count;
  TimerKind timer_kind = TimerKind::none;
  std::uint8_t retransmits;  ///< of what is unacknowledged; probes that nobody answered
  std::uint32_t hash;

  // line 5
  nmio::Time delack_at;      ///< with kAckSoonArmed
  std::uint32_t work_next;   ///< work list, or free list
  std::uint32_t held_first;  ///< received chunks that are held, by sequence number
  std::uint32_t held_last;
  Seq rcv_read;  ///< next byte for the application; rcv_nxt where none is held for it
  Seq irs;
  Seq iss;
  std::uint32_t max_snd_wnd;   ///< largest that the peer has offered
  std::uint32_t heard_ms;      ///< when an acceptable segment came last, our clock
  std::uint32_t rcv_window;    ///< bytes that this connection may offer
  Seq recover;                 ///< snd_max when the loss was found (RFC 6582)
  std::uint32_t last_sent_ms;  ///< when data went out last
  std::uint32_t slot = kNoSlot;
  std::uint32_t extra;  ///< extra.h; LazyPool::kNone: none
  std::uint16_t held_count;
  std::uint16_t sent_count;  ///< ranges from sent_first on

  [[nodiscard]] bool has(std::uint64_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] FlowKey key() const {
    return FlowKey::sent(header.data() + kSourceAddressAt, header.data() + kTcpAt);
  }
  [[nodiscard]] std::uint32_t in_flight() const { return snd_nxt - snd_una; }
  [[nodiscard]] std::uint32_t outstanding() const { return snd_max - snd_una; }
  /// Bytes that the application has not taken yet.
  [[nodiscard]] std::uint32_t unread() const {
    return rcv_nxt - rcv_read - (has(kFinReceived) ? 1 : 0);
  }
};
static_assert(sizeof(Tcb) == 384, "six cache lines: see the head of this file");

}  // namespace stackrig::tcpip
