// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share: one stack's state, and the functions on it, by file.
//
// The packet's way: ingress.cc finds its connection; listen.cc, opening.cc, synchronised.cc and
// time_wait.cc are what each state makes of it; ack.cc, sack_in.cc, rack.cc, recovery.cc and
// loss.cc act on its acknowledgement, ecn.cc on its marks; reassembly.cc takes its bytes to the
// application; egress.cc sends what may be sent, emit.cc and header.cc make segments of it;
// sack_out.cc and control.cc are what is said without data; timers.cc is what happens when nothing
// comes, keepalive.cc when nothing comes for long; path_mtu.cc is how long a segment may be.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ip/interface.h"
#include "tcpip/held.h"
#include "tcpip/isn.h"
#include "tcpip/known_paths.h"
#include "tcpip/limits.h"
#include "tcpip/listeners.h"
#include "tcpip/scoreboard.h"
#include "tcpip/segment_in.h"
#include "tcpip/stack.h"
#include "tcpip/syn_cookie.h"
#include "tcpip/table.h"
#include "tcpip/tcb.h"
#include "tcpip/time_wait.h"
#include "timer/wheel.h"
#include "wire/checksum.h"

namespace stackrig::tcpip {

using nmio::ChunkId;
using nmio::kNoChunk;

struct Stack::Impl {
  Impl(const Config& c, nmio::PacketMemory& m, nmio::TxBatch& o);
  ~Impl();

  // --- stack.cc ---
  void init(Time now);
  void set_time(Time now);

  // --- connections.cc: control blocks, and the list of work ---
  Tcb* allocate();
  [[gnu::cold]] void make_room();
  void free_slot(Tcb& t);
  void enter_table(Tcb& t);
  /// What the flow's packets are for: a control block, an entry in TIME_WAIT, or nothing.
  [[nodiscard]] Ref lookup(const FlowKey& key, std::uint32_t hash) {
    return table.find(hash, [&](Ref r) {
      return r.is_time_wait() ? time_wait[r.index()].key == key : tcbs[r.index()].key() == key;
    });
  }
  /// The connection is over: out of the table, everything given back, the application told.
  void end(Tcb& t, Ended why);
  /// Nothing more is said on the wire: it ends normally, once the reader has taken what it left.
  void end_when_read(Tcb& t);
  void count_established(Tcb& t);
  void leave_backlog(Tcb& t);
  /// Work that waits: output, acknowledgements, slots to free. First come, first served.
  void list(Tcb& t);
  void drain();
  bool work(Tcb& t);
  Result connect(Tcb& t, wire::Endpoint remote, Time now);
  bool pick_port(Tcb& t, wire::Endpoint remote);
  [[nodiscard]] bool may_reopen(const TimeWaitEntry& old) const;
  Result write(Tcb& t, ByteOwner& content, std::uint64_t cookie, std::uint64_t bytes);
  Result close(Tcb& t);
  Write& write_at(Tcb& t, unsigned i) {
    const unsigned at = (t.write_head + i) % kMaxWrites;
    return at < Tcb::kInlineWrites ? t.writes[at] : more_write(t, at);
  }
  Write& more_write(Tcb& t, unsigned at);
  void touched(Tcb& t);
  void listener_gone(Tcb& t);

  // --- ingress.cc ---
  void input(std::span<const nmio::RxPacket> burst);
  void receive(const nmio::RxPacket& p, std::uint32_t hash, bool hashed);
  bool parse(const nmio::RxPacket& p, const ip::Datagram& d, SegmentIn& s);
  void process(SegmentIn& s);
  void to_tcb(Tcb& t, SegmentIn& s);
  void finish(Tcb& t);

  // --- listen.cc: no connection yet ---
  void on_no_connection(SegmentIn& s);
  void on_listen(Tcb& listener, SegmentIn& s, const TimeWaitEntry* old);
  void answer_with_cookie(const SegmentIn& s, const Agreed& a);
  bool accept_cookie(Tcb& listener, SegmentIn& s);
  Agreed agree(const SegmentIn& s) const;
  void adopt(Tcb& t, const Tcb& listener);
  void open_passive(Tcb& t, const Tcb& listener, const SegmentIn& s, const Agreed& a);
  bool tell_accepted(Tcb& t);

  // --- opening.cc: SYN_SENT, SYN_RECEIVED ---
  void on_syn_sent(Tcb& t, SegmentIn& s);
  void on_syn_received(Tcb& t, SegmentIn& s);
  bool is_cookie_for(Tcb& t, const SegmentIn& s);
  void established(Tcb& t, SegmentIn& s);
  void apply(Tcb& t, const Agreed& a);
  bool send_syn(Tcb& t);

  // --- synchronised.cc ---
  bool fast_path(Tcb& t, SegmentIn& s);
  void on_synchronised(Tcb& t, SegmentIn& s);
  void process_synchronised(Tcb& t, SegmentIn& s);
  bool acceptable(Tcb& t, SegmentIn& s);
  bool paws_fails(Tcb& t, const SegmentIn& s) const;
  void trim(Tcb& t, SegmentIn& s);
  void after_ack(Tcb& t, SegmentIn& s);
  void take_segment(Tcb& t, SegmentIn& s);
  void on_fin(Tcb& t);
  void fin_acked(Tcb& t);
  void remember_timestamp(Tcb& t, const SegmentIn& s);

  // --- ack.cc ---
  [[gnu::noinline]] bool on_ack(Tcb& t, const SegmentIn& s);
  void on_new_ack(Tcb& t, const SegmentIn& s);
  void update_window(Tcb& t, const SegmentIn& s);
  [[nodiscard]] bool window_was_used(const Tcb& t, std::uint32_t in_flight) const {
    const std::uint32_t cwnd = t.cc.cwnd;
    if ((cwnd < t.cc.ssthresh ? 2 * in_flight : in_flight + t.mss) >= cwnd) return true;
    return has_extra(t) && window_was_used_lately(t);
  }
  [[gnu::noinline]] [[nodiscard]] bool window_was_used_lately(const Tcb& t) const;
  void grow_window(Tcb& t, std::uint32_t bytes, std::uint32_t rtt_us, std::uint32_t in_flight);
  void take_acked(Tcb& t, std::uint32_t all);
  void take_acked_inline(Tcb& t, std::uint32_t all);
  void validate_window(Tcb& t, std::uint32_t in_flight);
  static std::uint32_t use_period_ms(const Tcb& t);
  [[nodiscard]] std::uint32_t in_flight_lately(const Tcb& t, const WindowUse& u) const;
  void note_use(Tcb& t, WindowUse& u, std::uint32_t in_flight) const;
  void measure(Tcb& t, const SegmentIn& s);
  void release_acked(Tcb& t, std::uint32_t bytes);

  // --- sack_in.cc: what the peer reports, and the scoreboard ---
  static Reports reports_of(const Tcb& t, const SegmentIn& s);
  [[gnu::noinline]] void on_ack_with_board(Tcb& t, const SegmentIn& s);
  void on_came_twice(Tcb& t, Extra& x, const wire::SackBlock& twice);
  void measure_board(Tcb& t, Seq ack, std::uint32_t sample);
  void leave_board(Tcb& t, Extra& x);
  [[gnu::cold]] void drop_board(Tcb& t);
  void list_flight(Tcb& t);
  [[gnu::noinline]] bool has_board(Tcb& t);
  static bool is_listed(const Tcb& t) {
    return t.has(kFlightOne) || t.sent_first != Scoreboard::kNone;
  }
  [[nodiscard]] bool has_extra(const Tcb& t) const { return t.extra != LazyPool<Extra>::kNone; }
  Extra& extra(Tcb& t) {
    if (!has_extra(t)) give_extra(t);
    return extras[t.extra];
  }
  [[gnu::cold]] void give_extra(Tcb& t);
  void give_back_sender(Tcb& t);
  /// Before the first segment of a connection goes out, where any path is known. Never longer than
  /// without: whoever shares the address could make others wait.
  [[gnu::noinline]] void wait_as_known(Tcb& t) {
    const std::uint32_t rto = paths.rto_us(remote(t).address, ms);
    if (rto != 0) t.rtt.start(std::min(rto, initial_rto_us));
  }
  /// Bytes in the network: what is in flight less what arrived or is taken for lost.
  [[nodiscard]] std::uint32_t pipe(const Tcb& t) const {
    if (!has_extra(t)) return t.outstanding();
    const BoardSums& b = extras[t.extra].board;
    return t.outstanding() - b.sacked - b.lost;
  }
  /// What goes out within a 64th of a round trip is one range of the scoreboard.
  [[nodiscard]] static std::uint32_t merge_us(const Tcb& t) {
    return std::min<std::uint32_t>((t.rtt.srtt8 >> 9) + 8, 0xffff);
  }

  // --- rack.cc: what is lost (RFC 8985) ---
  void rack_delivered(const Tcb& t, Extra& x, const SentRange& piece, const SegmentIn& s);
  [[nodiscard]] std::uint32_t reordering_window_us(const Tcb& t, const Extra& x) const;
  static void widen_reordering_window(const Tcb& t, Extra& x);
  std::uint32_t detect_loss(Tcb& t, Extra& x);
  void act_on_losses(Tcb& t, Extra& x, std::uint32_t delivered, bool advanced);
  void on_reorder_timer(Tcb& t);
  [[nodiscard]] std::uint32_t probe_wait_us(const Tcb& t) const;
  void on_probe_timer(Tcb& t);
  void send_probe(Tcb& t);
  void send_last_again(Tcb& t);
  void on_probe_acked(Tcb& t, Extra& x, const SegmentIn& s, bool advanced, bool came_twice);

  // --- recovery.cc: getting over it (RFC 6675, 6937) ---
  bool send_lost(Tcb& t);
  bool send_again(Tcb& t, std::uint32_t offset, std::uint32_t bytes);
  [[nodiscard]] std::uint32_t may_send_again(const Tcb& t, const SentRange& r) const;
  bool send_bare_fin(Tcb& t, Seq seq);
  void enter_recovery(Tcb& t, Extra& x, std::uint32_t delivered);
  void reduce_proportionally(Tcb& t, Extra& x, std::uint32_t delivered, bool safe);
  void leave_recovery(Tcb& t, Extra& x);
  static void begin_undo(Tcb& t, Extra& x);
  void note_for_undo(Extra& x, const Tcb& t, Seq from, Seq to) const;
  [[nodiscard]] static bool original_arrived(const Tcb& t, const UndoState& u, const SegmentIn& s);
  static bool all_came_twice(UndoState& u, const wire::SackBlock& twice);
  void undo(Tcb& t, Extra& x);

  // --- sack_out.cc: what we report ---
  void note_held(Tcb& t, Seq from, Seq to);
  [[nodiscard]] bool acks_quickly(Tcb& t);
  void note_not_held(Tcb& t, Seq from, Seq to);
  void note_came_twice(Tcb& t, Seq from, Seq to);
  std::uint32_t write_sack(Tcb& t, std::byte* at);

  // --- loss.cc: without a scoreboard, and the timer ---
  void on_duplicate_ack(Tcb& t);
  void on_ack_in_recovery(Tcb& t, Seq ack, std::uint32_t bytes);
  void on_retransmit_timeout(Tcb& t);
  void on_board_timeout(Tcb& t);
  void congested(Tcb& t);
  [[nodiscard]] std::uint32_t trusted(const Tcb& t) const;
  void retransmit_one(Tcb& t);

  // --- reassembly.cc ---
  void receive_data(Tcb& t, SegmentIn& s);
  bool hold(Tcb& t, SegmentIn& s);
  bool append_to(Hold& h, Seq seq, const std::byte* data, std::uint32_t len, bool fin);
  void advance_over_held(Tcb& t);
  void move_over_held(Tcb& t);
  void offer_held(Tcb& t);
  void maybe_tell_remote_closed(Tcb& t);
  void drop_first_held(Tcb& t);
  void drop_last_held(Tcb& t);
  bool drop_last_beyond_gap(Tcb& t);
  void drop_all_held(Tcb& t);
  std::size_t offer(Tcb& t, std::span<const std::byte> bytes);
  void resume(Tcb& t);

  // --- ecn.cc ---
  [[nodiscard]] bool asks_for_ecn(const SegmentIn& s) const;
  [[nodiscard]] static bool agrees_to_ecn(const Tcb& t, const SegmentIn& s);
  std::uint8_t ecn_of_syn(Tcb& t, bool ack);
  static std::uint8_t mark_ecn(Tcb& t, std::byte* p, std::uint32_t len, Seq seq,
                               std::uint8_t flags);
  [[gnu::cold]] void on_ecn(Tcb& t, const SegmentIn& s);
  void on_ece(Tcb& t, const SegmentIn& s);

  // --- path_mtu.cc ---
  static std::uint32_t header_overhead(const Tcb& t);
  static void on_icmp_error(void* context, const ip::IcmpError& e);
  bool on_unreachable(const ip::IcmpError& e);
  void take_told_mtu(Tcb& t, Extra& x);
  void cut_mss(Tcb& t, Extra& x, std::uint32_t mtu);
  void suspect_path(Tcb& t);
  bool try_longer(Tcb& t);
  bool judge_longer(Tcb& t, Extra& x, bool lost = false);

  // --- keepalive.cc ---
  void set_keepalive(Tcb& t, const KeepAlive& k);
  void set_user_timeout(Tcb& t, Time timeout);
  void watch_peer(Tcb& t);
  void start_keepalive(Tcb& t);
  [[gnu::cold]] void watch_on(Tcb& t);
  void on_keepalive_timer(Tcb& t);
  void limit_timer(Tcb& t);
  bool user_timed_out(Tcb& t);
  void on_user_timeout_option(Tcb& t, std::uint16_t option);
  [[nodiscard]] std::uint16_t user_timeout_option() const;

  // --- egress.cc ---
  void output(Tcb& t);
  [[gnu::noinline]] bool output_first(Tcb& t);
  [[nodiscard]] bool may_wait(const Tcb& t) const;
  bool worth_sending(const Tcb& t, std::uint32_t limit, std::uint64_t rest_of_write) const;
  [[nodiscard]] std::uint32_t send_window(const Tcb& t, std::uint32_t offset) const;
  void on_idle(Tcb& t);
  [[gnu::noinline]] void note_window_full(Tcb& t);
  void blocked(Tcb& t);
  /// Sends [snd_una + offset, + limit) of the stream, as far as there is room; returns bytes sent.
  struct Place {
    const Write* write;
    std::uint64_t at;  ///< offset in it
  };
  Place place_of(Tcb& t, std::uint32_t offset);
  std::uint32_t send_range(Tcb& t, const Place& from, std::uint32_t offset, std::uint32_t limit,
                           bool may_fin);
  void send_fin(Tcb& t);
  void note_sent(Tcb& t, Seq from, std::uint32_t bytes, bool fin);
  void note_sent_inline(Tcb& t, Seq from, std::uint32_t bytes, bool fin);
  void start_round_trip(Tcb& t, Seq to) const;
  void note_sent_first(Tcb& t, Seq from, Seq to);
  [[gnu::noinline]] void note_in_list(Tcb& t, Seq from, Seq to);
  [[gnu::cold]] void note_sent_again(Tcb& t, Seq from, Seq to);

  // --- emit.cc ---
  unsigned emit(Tcb& t, std::span<Segment> segments, Seq seq, std::uint8_t last_flags,
                std::uint32_t& bytes);
  unsigned emit_large(Tcb& t, std::span<Segment> segments, Seq seq, std::uint8_t last_flags,
                      std::uint32_t& bytes);
  bool emit_one(Tcb& t, const Segment& g, Seq seq, std::uint8_t flags);
  bool emit_gather(Tcb& t, const Segment& g, Seq seq, std::uint8_t flags);
  bool emit_copy(Tcb& t, const Segment& g, Seq seq, std::uint8_t flags);
  void put_pieces(const Segment& g);
  unsigned descriptors(const Segment& g) const;
  void give_back_frames(std::span<const Segment> segments);

  // --- header.cc ---
  std::byte* header(Tcb& t, std::byte* payload, std::uint32_t len, std::uint8_t flags, Seq seq,
                    wire::PartialSum payload_sum);
  std::uint16_t advertise(Tcb& t);
  bool send_ack(Tcb& t);
  bool send_bare(Tcb& t, Seq seq, std::uint8_t flags, bool say_held = false);
  [[gnu::cold]] std::byte* header_with(Tcb& t, std::byte* at, std::uint32_t options,
                                       std::uint8_t flags, Seq seq);
  void acked_by(Tcb& t);

  // --- control.cc ---
  bool send_control(const Control& c);
  void send_reset_for(const SegmentIn& s);
  void send_reset(Tcb& t);
  void challenge(Tcb& t);
  bool challenge_allowed();
  void fill_header(Tcb& t, const FlowKey& key, const wire::MacAddress& to);
  std::uint16_t syn_window() const;

  // --- time_wait.cc ---
  void enter_time_wait(Tcb& t);
  void on_time_wait(std::uint32_t index, SegmentIn& s);

  // --- timers.cc ---
  void run_timers(Time now);
  void on_timer(Tcb& t);
  void on_slow_timer(Tcb& t);
  void on_slow_timer_of_kind(Tcb& t);
  void on_persist(Tcb& t);
  bool tried_enough(Tcb& t);
  void start_timer(Tcb& t, TimerKind kind, Time at);
  void stop_timer(Tcb& t) { t.timer_kind = TimerKind::none; }
  void arm(Tcb& t, Time at);
  void start_retransmit_timer(Tcb& t);
  void schedule_ack(Tcb& t);
  Time next_deadline() const;
  static void on_resolved(void* context, wire::Ipv4Address next_hop, const wire::MacAddress* mac);

  // --- state: what every packet needs first ---
  nmio::PacketMemory& memory;
  nmio::TxBatch& out;
  Counters* c;
  Time now = 0;
  std::uint32_t ms = 0;  ///< the timestamp clock, and what is remembered in milliseconds
  std::uint32_t us = 0;  ///< round trips
  std::uint32_t min_rto_us = 0;
  std::uint32_t initial_rto_us = 0;
  std::uint32_t min_rto_ms = 0;
  bool watches_peers = false;  ///< keep-alive or a user timeout holds for all connections
  std::uint32_t probe_ack_delay_us = 0;
  std::uint32_t rtt_sample_us = 0;  ///< of the ACK that is being processed; 0: none
  bool any_twice = false;           ///< `twice` is to be reported with the next ACK
  wire::SackBlock twice{};
  Tcb* current = nullptr;  ///< whose packet is being processed
  std::uint32_t work_first = kNoSlot;
  std::uint32_t work_last = kNoSlot;
  std::uint32_t work_count = 0;
  std::uint32_t free_first = kNoSlot;
  std::uint32_t free_slots = 0;
  std::uint32_t spare_slots = 0;  ///< so many are kept free where somebody can give way
  std::uint32_t silent_hand = 0;  ///< make_room() looks here next
  std::unique_ptr<Tcb[]> tcbs;
  ConnectionTable table;
  std::uint64_t hash_key[2];
  std::uint16_t tx_flags = 0;  ///< kChecksum where the device does it
  bool tso = false;
  bool scatter = false;

  Config config;
  ip::Interface ip;
  timer::Wheel wheel;
  TimeWaitRing time_wait;
  HoldPool holds;
  Scoreboard board;
  KnownPaths paths;
  LazyPool<Extra> extras;  ///< as many as connections: there is always one
  Listeners listeners;
  SynCookies cookies;
  Time cookies_until = 0;  ///< cookies sent before may come back until then
  std::unique_ptr<Write[]>
      more_writes;  ///< beyond those in the TCB, kMaxWrites - kInlineWrites each
  std::uint32_t half_open = 0;
  std::uint32_t max_half_open = 0;
  std::uint32_t max_held_each = 0;
  std::uint8_t window_scale = 0;  ///< that we offer
  /// A bit per slot: whoever waited and is gone takes no room.
  std::vector<std::uint64_t> waiting_for_arp;
  std::uint64_t challenge_second = 0;
  unsigned challenge_left = 0;
  std::uint64_t random_state = 0;
  std::uint32_t port_counter = 0;
  std::array<Segment, kFetchMax> fetched;
  Counters own_counters{};
};

}  // namespace stackrig::tcpip
