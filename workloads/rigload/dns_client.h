// SPDX-License-Identifier: Apache-2.0
// The DNS load of one thread: which query goes out when, what counts as what. Knows no device and
// no headers below DNS, and takes the time as an argument.
//
//   client.tick(now);                        // what happens at `now` counts in the right phase
//   client.answer(flow, payload, now);       // for each datagram that came in
//   client.turn(now);                        // phases, timeouts
//   n = client.take(out, now);               // queries to be sent now, as many as there is room
//   for
//
// A slot is a query under way. Its number and how often it was used make the DNS id, so that an
// answer finds its slot without a search and one that comes after the timeout finds that the id has
// changed. Slots go to the flows (pairs of source address and port) in turn and are used again in
// the order in which they became free, so an id comes again as late as can be.
//
// Closed loop: a slot's next query is due when its last one is done with. Open loop: queries become
// due by Arrivals, whatever the slots do. Latency is counted from the due time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rigload/arrivals.h"
#include "rigload/client_state.h"
#include "rigload/dns_digest.h"
#include "rigload/dns_queries.h"
#include "rigload/random.h"

namespace stackrig::rigload {

/// Which query is next.
enum class DnsOrder : std::uint8_t {
  random,  ///< any of them, by the seed
  file,    ///< one after the other, again and again: what dnsperf does
};

struct DnsConfig {
  std::uint32_t outstanding = 1;             ///< queries under way at once
  std::uint32_t flows = 1;                   ///< a power of two, at most `outstanding`
  std::uint32_t reach = 1;                   ///< flows that must get an answer before the start
  std::optional<Arrivals::Config> arrivals;  ///< none: closed loop
  std::size_t queue_bound = 65536;           ///< queries that may wait for a slot, open loop
  Time warmup = 0, duration = nmio::kSecond;
  Time timeout = nmio::kSecond;
  std::uint32_t check_every = 0;  ///< every N-th answer's content is looked at; 0: none
  std::uint64_t seed = 1;
  DnsOrder order = DnsOrder::random;
  unsigned thread = 0;   ///< this one of
  unsigned threads = 1;  ///< so many, which deal the queries out in turn where there is an order
  std::vector<std::string> targets = {"server"};  ///< for messages: flow i goes to the i-th in turn
};

/// The most that config.outstanding may be for so many flows: an id has 16 bits, of which some tell
/// the uses of a slot apart.
inline constexpr std::uint32_t kSlotsPerFlow = 4096;

/// A query to be sent.
struct DnsOutgoing {
  const DnsQuery* query;
  std::uint32_t flow;
  std::uint16_t id;
};

class DnsClient final : public ClientState {
 public:
  /// All references outlive the client. `stats` is zeroed.
  DnsClient(const DnsConfig& config, const DnsQueries& queries, UsageMeter& meter,
            RunControl& control, RunStats& stats);

  void tick(Time now) {
    if (now >= phase_ends()) [[unlikely]]
      advance_phase(now);
  }
  /// A datagram from the server that `flow` asks.
  void answer(std::uint32_t flow, std::span<const std::uint8_t> message, Time now);
  void turn(Time now);
  /// Fills `out` and returns how many; they count as sent at `now`.
  unsigned take(std::span<DnsOutgoing> out, Time now);
  /// The server's host says that nobody listens there.
  void refused(Time now);
  /// When turn() or take() has something to do though no packet came.
  [[nodiscard]] Time next_deadline() const;

 private:
  enum class Stage : std::uint8_t { reaching, gated, running, draining, done };
  struct Slot {
    Time due = 0;            ///< of its query; in a closed loop also of the next one
    std::uint32_t sent = 0;  ///< ticks of kTick
    std::uint32_t query = 0;
    std::uint16_t id = 0;
    bool under_way = false;
  };

  void advance_phase(Time now);
  void begin_drain();
  void finish(Time now);
  void fail(Time now, const std::string& why);
  void reached(Time now);
  void take_queries(Time until, unsigned at_most);
  unsigned take_probe(std::span<DnsOutgoing> out, Time now);
  void sweep_timeouts(Time now);
  void complete(std::uint32_t number, std::span<const std::uint8_t> message, Time now);
  [[nodiscard]] std::optional<ErrorKind> wrong(const Slot& slot,
                                               std::span<const std::uint8_t> message);
  [[nodiscard]] bool content_is_due(const Slot& slot);
  [[nodiscard]] std::uint32_t next_query();
  void issue(std::uint32_t number, DnsOutgoing& out, Time now);
  void release(std::uint32_t number, Time now);
  [[nodiscard]] std::uint32_t free_count() const {
    return static_cast<std::uint32_t>(slots_.size()) - under_way_;
  }

  DnsConfig config_;
  const DnsQueries& queries_;
  Random random_;
  std::uint32_t next_in_file_, file_step_;  ///< of DnsOrder::file
  std::optional<Arrivals> arrivals_;
  DueQueue due_queue_;
  DnsDigest digest_;

  Stage stage_ = Stage::reaching;
  unsigned flow_shift_;  ///< a slot's number: place in the flow << flow_shift_ | flow
  unsigned id_bits_;     ///< of an id, that tell the place in the flow
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;  ///< a ring: first in, first out
  std::uint32_t free_head_ = 0;
  std::uint32_t under_way_ = 0;

  std::uint32_t until_check_ = 1;
  std::vector<bool> unseen_;        ///< queries whose first answer is still to be looked at
  std::uint32_t unseen_count_ = 0;  ///< in unseen_

  std::uint32_t reached_ = 0;
  Time reach_until_ = 0, next_probe_ = 0;
  Time last_turn_ = 0, next_sweep_ = 0;
  std::uint32_t sweep_at_ = 0;
};

}  // namespace stackrig::rigload
