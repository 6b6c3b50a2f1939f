// SPDX-License-Identifier: Apache-2.0
// A simulated network in virtual time, for tests: bit-for-bit repeatable from one seed.
//
//   SimNetwork net(seed);
//   SimPort& a = net.add_port({.name = "a", .out = {.delay = kMillisecond, .loss = 0.01}});
//   SimPort& b = net.add_port({.name = "b"});
//   net.drop_first([](const SimFrame& f) { return is_fin(f.bytes); });
//   ... a.queue(0).put(batch); a.queue(0).flush();  net.run_until(net.now() + kSecond); ...
//
// or, with an App (loop.h) on each port, timers and all:
//
//   SimRunner runner(net);  runner.attach(a.queue(0), batch_a, app_a);  ...
//   runner.run_for(kSecond);
//
// One switch joins all ports: a frame goes to the port that has its destination MAC, to every other
// port where it is multicast, nowhere where no port has it (counted). A frame passes, in this
// order: the sender's offloads (checksum, TSO), rules, the sender's link (`out`), partition, the
// receiver's link (`in`), the receiver's ring (tail drop, rx_dropped).
//
// Thread: one for the whole network.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nmio/loop.h"
#include "nmio/packet.h"
#include "nmio/port.h"

namespace stackrig::nmio {

struct PortUri;

/// One direction of a link and what goes wrong on it. Probabilities are per frame.
struct SimLink {
  Time delay = 5 * kMicrosecond;  ///< one way
  Time jitter = 0;                ///< up to so much more, at random; keeps the order of frames
  std::uint64_t rate = 0;  ///< bits per second, 24 bytes per frame for Ethernet's own; 0: no limit
  std::uint64_t queue_bytes =
      0;  ///< of frames that wait for the rate, beyond which they drop; 0: no limit
  double loss = 0;
  double duplicate = 0;
  double corrupt = 0;  ///< one bit flipped, anywhere behind the Ethernet header
  double mark = 0;     ///< congestion experienced, on what is ECN-capable IPv4 (RFC 3168)
  double reorder = 0;  ///< held back by reorder_by, so that later frames overtake it
  Time reorder_by = kMillisecond;
};

struct SimPortConfig {
  std::string name;                   ///< for messages; "p0", "p1", ... where empty
  std::array<std::uint8_t, 6> mac{};  ///< all zero: 02:00:00:00:00:<index + 1>
  std::uint32_t mtu = 1500;
  unsigned queues = 1;          ///< above 1: RSS by the Toeplitz hash, as the soft NIC
  unsigned ring = 1024;         ///< descriptors per ring
  std::uint32_t chunks = 2048;  ///< per queue
  std::uint32_t chunk_size = 2048;
  bool tx_checksum = false, rx_checksum = false, segment = false,
       scatter_gather = false;  ///< offloads
  SimLink out;                  ///< port to switch
  SimLink in;                   ///< switch to port
};

/// A frame on the wire, as rules and taps see it.
struct SimFrame {
  Time sent;             ///< when it left the sending port
  unsigned from;         ///< index of the sending port
  std::uint64_t number;  ///< counts all frames of the network, from 0
  std::span<const std::byte> bytes;
};

/// What became of a frame that a tap sees.
enum class SimFate : std::uint8_t {
  sent,
  rule_dropped,
  partitioned,
  lost,
  queue_full,
  no_such_port,
  no_ring_space,
  delivered
};

/// Does something to chosen frames: of those that match, lets `skip` pass, then acts on `count`.
struct SimRule {
  enum class Action : std::uint8_t { drop, duplicate, corrupt, delay };
  std::function<bool(const SimFrame&)> match;
  unsigned count = 1;
  unsigned skip = 0;
  Action action = Action::drop;
  Time by = kMillisecond;  ///< with Action::delay
};

class SimNetwork;

class SimPort : public Port {
 public:
  ~SimPort() override;
  [[nodiscard]] unsigned queues() const override;
  [[nodiscard]] Queue& queue(unsigned index) override;
  [[nodiscard]] std::span<const std::uint8_t, 6> mac() const override;
  [[nodiscard]] std::uint32_t mtu() const override;
  [[nodiscard]] std::string describe() const override;

  [[nodiscard]] unsigned index() const { return index_; }
  /// The links may be changed at any time; frames on their way are not affected.
  [[nodiscard]] SimLink& out() { return config_.out; }
  [[nodiscard]] SimLink& in() { return config_.in; }

 private:
  friend class SimNetwork;
  class SimQueue;
  SimPort(SimNetwork& network, unsigned index, SimPortConfig config);

  SimNetwork& network_;
  unsigned index_;
  SimPortConfig config_;
  std::vector<std::unique_ptr<SimQueue>> queues_;
  Time out_free_at_ = 0;  ///< when the link has sent what waits for its rate
  Time in_free_at_ = 0;
  Time out_last_ = 0;  ///< latest arrival so far: jitter keeps the order
  Time in_last_ = 0;
};

class SimNetwork {
 public:
  /// `start`: virtual time at the beginning. Not 0, so that code that takes 0 for "never" shows.
  explicit SimNetwork(std::uint64_t seed, Time start = kSecond);
  ~SimNetwork();
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  /// The network owns the port. Throws SetupError for a configuration that cannot be.
  SimPort& add_port(SimPortConfig config = {});
  [[nodiscard]] SimPort& port(unsigned index);
  [[nodiscard]] unsigned ports() const;

  [[nodiscard]] Time now() const { return now_; }
  /// When the next frame arrives somewhere; kNever where none is under way.
  [[nodiscard]] Time next_event() const;
  /// Goes to the next event and delivers what is due then; false where nothing is under way.
  bool step();
  /// Delivers all that is due up to `time`, in order, and sets the clock to it. Never goes back.
  void run_until(Time time);

  // --- faults ----------------------------------------------------------------------------------
  using RuleId = unsigned;
  RuleId add_rule(SimRule rule);
  /// Drops the first `count` frames that match.
  RuleId drop_first(std::function<bool(const SimFrame&)> match, unsigned count = 1) {
    return add_rule({.match = std::move(match), .count = count});
  }
  void remove_rule(RuleId id);
  [[nodiscard]] unsigned rule_hits(RuleId id) const;  ///< frames that it acted on
  /// Nothing passes between a and b, in either direction, until healed.
  void partition(const SimPort& a, const SimPort& b, bool on = true);
  /// Nothing passes from `from` to `to`.
  void partition_one_way(const SimPort& from, const SimPort& to, bool on = true);

  // --- looking ---------------------------------------------------------------------------------
  /// Called for every frame at each step of its way: when sent, and when dropped or delivered.
  void set_tap(std::function<void(const SimFrame&, SimFate)> tap);
  [[nodiscard]] std::uint64_t count(SimFate fate) const;
  /// A hash over the time, place and bytes of every delivery: equal runs have equal digests.
  [[nodiscard]] std::uint64_t digest() const;

 private:
  friend class SimPort;
  struct Impl;
  void send(SimPort& from, std::vector<std::byte> bytes);
  void forward(Time at, const std::vector<std::byte>& bytes, unsigned from, Time sent,
               std::uint64_t number);
  void deliver(unsigned to, const std::vector<std::byte>& bytes, unsigned from, Time sent,
               std::uint64_t number);

  Time now_;
  std::unique_ptr<Impl> impl_;
};

/// Runs applications on queues of a SimNetwork in virtual time: each is given turns of the real
/// loop (loop.h) until nothing moves, then time goes on to the next frame or timer.
class SimRunner {
 public:
  explicit SimRunner(SimNetwork& network) : network_(network) {}

  /// `queue`, `batch` and `app` outlive the runner.
  template <LoopApp App>
  void attach(Queue& queue, TxBatch& batch, App& app, LoopConfig config = {}) {
    auto counters = std::make_unique<LoopCounters>();
    auto loop = std::make_shared<Loop<App>>(queue, batch, app, config, *counters);
    hosts_.push_back({[loop](Time now) { return loop->turn(now); },
                      [loop] { return loop->next_deadline(); }, std::move(counters)});
  }

  /// Until the virtual time; returns early, with the clock at `time` all the same, when nothing is
  /// left to happen.
  void run_until(Time time);
  void run_for(Time duration) { run_until(network_.now() + duration); }
  /// Until `done()`, looked at at every event; false where `limit` (virtual time) came first.
  bool run_until_done(const std::function<bool()>& done, Time limit);

 private:
  struct Host {
    std::function<bool(Time)> turn;
    std::function<Time()> deadline;
    std::unique_ptr<LoopCounters> counters;
  };
  void settle();
  /// Goes to the next frame or timer up to `limit`; false where there is none.
  bool advance(Time limit);

  SimNetwork& network_;
  std::vector<Host> hosts_;
};

/// `sim:` in a URI: refused, with the way to make a port in a test.
std::unique_ptr<Port> sim_open(const PortUri& uri);

}  // namespace stackrig::nmio
