// SPDX-License-Identifier: Apache-2.0
// The TCP/IP core: one instance per queue, a function of (packets, now).
//
// It reads no clock and touches no device: packets come in through input(), what is to be sent goes
// into a TxBatch, time is an argument. It allocates nothing per segment and takes no lock. The same
// code runs under every system; what differs is who owns the bytes to be sent (owner.h).
//
//   Stack stack(config, memory, &batch);
//   Tcb* l = stack.tcp_new();  stack.tcp_bind(*l, address, 80);  stack.tcp_listen(*l);
//   stack.tcp_accept(*l, on_accept);  stack.tcp_recv(*l, on_recv);  ...   // inherited by
//   connections loop: stack.input(burst, now); stack.run_timers(now); stack.poll_output(now);
//
// The functions carry the names of the thesis' Table 3.1. Thread: one. Errors: Result, never
// exceptions, after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "nmio/packet.h"
#include "nmio/packet_memory.h"
#include "nmio/port.h"
#include "tcpip/congestion.h"
#include "tcpip/owner.h"
#include "wire/address.h"

namespace stackrig::ip {
class Interface;
}

namespace stackrig::tcpip {

using nmio::Time;

enum class State : std::uint8_t {
  closed,
  listen,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,
};

enum class Result : std::uint8_t {
  ok,
  no_memory,      ///< no connection slot or packet buffer left
  in_use,         ///< the address and port are taken
  no_write_slot,  ///< as many writes as a connection may have are pending; wait for `sent`
  wrong_state,
};

/// Why a connection ended.
enum class Ended : std::uint8_t { normally, reset_by_peer, timed_out, refused, aborted };

/// Explicit congestion notification (RFC 3168): never, where the peer asks, or asked for as well.
enum class Ecn : std::uint8_t { off, accept, request };

/// Asking a silent peer whether it lives (RFC 1122 4.2.3.6); it is given up after idle + probes x
/// interval.
struct KeepAlive {
  Time idle;  ///< of silence before the first question; 0: never
  Time interval;
  std::uint32_t probes;
};

struct Config {
  wire::Ipv4Cidr address;           ///< the interface's address
  std::uint32_t address_count = 1;  ///< so many consecutive addresses from it on are ours (clients)
  wire::Ipv4Address gateway;        ///< unspecified: on-link only
  wire::MacAddress mac;
  std::uint32_t mtu = 1500;
  nmio::Offload offload;                 ///< of the queue
  std::uint32_t max_connections = 4096;  ///< TCBs, allocated at construction
  std::uint32_t max_time_wait = 65536;   ///< compact TIME_WAIT entries; the oldest goes when full
  std::uint32_t max_backlog = 1024;      ///< half-open connections; beyond it SYN cookies answer
  std::uint32_t receive_window = 65535;  ///< bytes offered to the peer; scaled above 65535
  std::uint32_t max_held_chunks =
      2048;  ///< received chunks kept for reassembly or a slow reader, in all
  /// Pieces of flights that scoreboards tell apart, in all (scoreboard.h); 0: two per connection
  /// and 16384. A connection that finds none goes on without SACK.
  std::uint32_t max_sent_ranges = 0;
  CongestionControl congestion_control = CongestionControl::cubic;
  std::uint32_t initial_window_segments = 10;  ///< RFC 6928
  bool timestamps = true;                      ///< RFC 7323
  bool window_scaling = true;                  ///< RFC 7323
  bool sack = true;                            ///< RFC 2018, and with it RACK-TLP (RFC 8985)
  Ecn ecn = Ecn::accept;
  Time delayed_ack = 40 * nmio::kMillisecond;  ///< RFC 9293 3.8.6.3 (at most 500 ms); 0: none
  Time min_rto = 200 * nmio::kMillisecond;
  /// How long peers are taken to delay an ACK: what a tail loss probe for a single segment waits
  /// beyond two round trips (RFC 8985 7.2, WCDelAckT).
  Time peer_ack_delay = 50 * nmio::kMillisecond;
  Time initial_rto = nmio::kSecond;     ///< RFC 6298, to a peer that is not known (known_paths.h)
  Time time_wait = 60 * nmio::kSecond;  ///< 2 MSL
  Time fin_wait_2_timeout = 60 * nmio::kSecond;
  KeepAlive keepalive = {0, 75 * nmio::kSecond, 9};  ///< of every connection; RFC 1122: off
  /// Data unacknowledged for so long ends a connection (RFC 9293 3.9.1); 0: max_retransmits alone.
  Time user_timeout = 0;
  bool user_timeout_option = false;  ///< RFC 5482: advertised, and taken from peers
  unsigned max_retransmits = 12;
  unsigned max_syn_retransmits = 5;
  bool nagle =
      false;  ///< RFC 9293 3.7.4; off: a response that ends in a short segment does not wait
  unsigned challenge_acks_per_second =
      1000;                          ///< RFC 5961 7; the limit of each second is drawn anew
  std::uint64_t secret[2] = {0, 0};  ///< keys ISNs, cookies, hashes; from getrandom() in programs
};

/// What one stack has seen. Plain 64-bit counters, one writer; lies in a telemetry page where there
/// is one. counter_table() describes it.
struct Counters {
  std::uint64_t segs_in, segs_out, bytes_in, bytes_out, data_segs_out, acks_out;
  std::uint64_t connections_accepted, connections_opened, connections_closed, connections_now;
  std::uint64_t retransmits, fast_retransmits, rto_fired, dup_acks_in, out_of_order_in;
  std::uint64_t rst_in, rst_out, challenge_acks, paws_dropped, outside_window;
  std::uint64_t bad_checksum, bad_header, no_listener, backlog_full, syn_cookies_sent,
      syn_cookies_good, syn_cookies_bad;
  std::uint64_t bad_flags;    ///< combinations that nobody sends: SYN and FIN, none at all
  std::uint64_t bad_options;  ///< the list of options was cut short; the segment itself was taken
  std::uint64_t bad_ack;      ///< acknowledges what was never sent, or too long ago
  std::uint64_t no_slot;      ///< a connection that found no control block
  std::uint64_t gave_way;     ///< accepted, said nothing, and made room for another
  std::uint64_t half_open_now, timed_out, refused, challenge_limited;
  std::uint64_t time_wait_now, time_wait_reused, time_wait_recycled;
  std::uint64_t no_chunk, no_tx_room, held_chunks_now, held_dropped, zero_window_probes,
      delayed_acks;
  std::uint64_t tail_probes, undone, dsacks_in, boards_dropped, ce_in, ecn_reductions,
      path_mtu_cuts, path_mtu_raises, icmp_ignored, keepalive_probes, board_visits, held_visits;
};
struct CounterInfo {
  const char* name;  ///< "tcp.segs_in"
  const char* unit;  ///< "segments"
  std::uint64_t Counters::*field;
};
std::span<const CounterInfo> counter_table();

class Tcb;  ///< tcb.h: public accessors below are enough for applications

/// Callbacks, set on a listener (inherited by its connections) or on a connection. `app` is the
/// pointer given with them. A Tcb& is valid until its closed callback has returned.
using AcceptFn = bool (*)(void* app, Tcb& tcb);  ///< handshake done; false refuses with RST
using ConnectFn = void (*)(void* app, Tcb& tcb);
/// New in-order bytes; returns how many were taken. What is left is offered again with the next
/// bytes, or after tcp_resume(): a reader that leaves bytes behind is told again, and the window
/// that the peer sees shrinks by them. Bytes that were left and those that follow come in one span
/// while both fit one packet buffer; a reader that waits for more than that takes the bytes and
/// joins them itself. The bytes are valid during the call only. Without a callback bytes are taken
/// and dropped. A connection that both ends have closed stays, in State::time_wait, until its
/// reader has taken all (tcp_resume()) or aborts.
using RecvFn = std::size_t (*)(void* app, Tcb& tcb, std::span<const std::byte> bytes);
using SentFn = void (*)(void* app, Tcb& tcb,
                        std::uint64_t cookie);  ///< that write is acknowledged whole
using RemoteClosedFn = void (*)(void* app,
                                Tcb& tcb);  ///< FIN in order, after all bytes were offered
using ClosedFn = void (*)(void* app, Tcb& tcb, Ended why);

class Stack {
 public:
  /// `memory` is the queue's, `out` the batch that the caller hands to the queue; both outlive the
  /// stack. Throws std::invalid_argument for a configuration that cannot be.
  Stack(const Config& config, nmio::PacketMemory& memory, nmio::TxBatch& out);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  // --- Table 3.1 -------------------------------------------------------------------------------
  /// (Re)starts the TCP layer: drops every connection without a word, zeroes timers. The
  /// constructor calls it.
  void tcpip_init(Time now);
  Tcb* tcp_new();  ///< nullptr where there is no slot left
  Result tcp_bind(Tcb& tcb, wire::Ipv4Address ip, std::uint16_t port);
  Result tcp_listen(Tcb& tcb);
  void tcp_accept(Tcb& tcb, AcceptFn fn);
  void tcp_recv(Tcb& tcb, RecvFn fn);
  void tcp_sent(Tcb& tcb, SentFn fn);
  /// Queues `bytes` bytes of `content`, whose bytes [0, bytes) are the next of the stream. They are
  /// sent as the windows allow: from a callback, when the packet that caused it is done with; else
  /// at the next poll_output(). So what one callback writes, and a tcp_close() after it, leave in
  /// as few segments as they fit. Result::no_write_slot: try again after `sent`.
  Result tcp_write(Tcb& tcb, ByteOwner& content, std::uint64_t cookie, std::uint64_t bytes,
                   Time now);
  /// FIN after everything written, like shutdown(SHUT_WR); receiving goes on.
  Result tcp_close(Tcb& tcb, Time now);

  // --- beyond the table ------------------------------------------------------------------------
  void tcp_app(Tcb& tcb,
               void* app);  ///< first argument of the callbacks; a listener's is inherited
  void tcp_connected(Tcb& tcb, ConnectFn fn);
  void tcp_remote_closed(Tcb& tcb, RemoteClosedFn fn);
  void tcp_closed(Tcb& tcb, ClosedFn fn);
  /// Opens a bound tcb towards `remote`; the next hop is resolved by ARP.
  Result tcp_connect(Tcb& tcb, wire::Endpoint remote, Time now);
  /// Both hold from now on, in place of the configuration's; an idle or a timeout of 0: off.
  void tcp_keepalive(Tcb& tcb, const KeepAlive& keepalive, Time now);
  void tcp_user_timeout(Tcb& tcb, Time timeout, Time now);
  void tcp_abort(Tcb& tcb, Time now);   ///< RST, and gone
  void tcp_resume(Tcb& tcb, Time now);  ///< offers bytes that the reader left behind again
  void tcp_output(Tcb& tcb, Time now);  ///< a write that was not ready may be now

  // --- what the loop calls ---------------------------------------------------------------------
  /// Takes every packet of the burst; their chunks are the stack's. ARP and ICMP are answered here.
  void input(std::span<const nmio::RxPacket> burst, Time now);
  void run_timers(Time now);                 ///< fires all that is due
  [[nodiscard]] Time next_deadline() const;  ///< kNever where no timer is armed
  /// Sends for connections that had to wait for ring space or a buffer, and delayed ACKs of the
  /// burst.
  void poll_output(Time now);

  void place_counters(Counters* where);
  [[nodiscard]] const Counters& counters() const;
  [[nodiscard]] nmio::PacketMemory& memory() const;
  /// The IPv4 interface below: its counters (ARP, ICMP, not for us), announce().
  [[nodiscard]] ip::Interface& interface() const;
  /// Bytes of memory per connection slot, tables included.
  [[nodiscard]] std::size_t bytes_per_connection() const;

  struct Impl;  ///< the files of this folder share it

 private:
  std::unique_ptr<Impl> impl_;
};

// Accessors for applications.
[[nodiscard]] State state(const Tcb& tcb);
[[nodiscard]] wire::Endpoint local(const Tcb& tcb);
[[nodiscard]] wire::Endpoint remote(const Tcb& tcb);
/// A word that belongs to the application; 0 in a new connection, inherited from nothing.
[[nodiscard]] std::uint64_t& user(Tcb& tcb);
[[nodiscard]] bool fin_queued(const Tcb& tcb);  ///< tcp_close() was called
[[nodiscard]] unsigned pending_writes(const Tcb& tcb);
/// How far the peer has acknowledged, in bytes modulo 2^32: it moves as long as a peer still reads.
[[nodiscard]] std::uint32_t acknowledged(const Tcb& tcb);
inline constexpr unsigned kMaxWrites = 8;  ///< writes that a connection may have pending

}  // namespace stackrig::tcpip
