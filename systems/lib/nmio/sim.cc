// SPDX-License-Identifier: Apache-2.0
#include "nmio/sim.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <utility>

#include "nmio/rss.h"
#include "nmio/sim_queue.h"
#include "nmio/uri.h"

namespace stackrig::nmio {
namespace {

constexpr std::size_t kEthernet = 14;
constexpr std::uint64_t kWireOverhead = 24;  // preamble, FCS and gap, bytes

/// SplitMix64: small, good enough here, and the same on every platform.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  bool chance(double p) { return p > 0 && static_cast<double>(next() >> 11) * 0x1p-53 < p; }
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : next() % n; }

 private:
  std::uint64_t state_;
};

void flip_bit(std::vector<std::byte>& bytes, Random& random) {
  if (bytes.size() <= kEthernet) return;
  const std::uint64_t at = kEthernet + random.below(bytes.size() - kEthernet);
  bytes[at] ^= static_cast<std::byte>(1U << random.below(8));
}

// ECT becomes CE, and the header's checksum changes with it (RFC 1624). Words are as they lie.
void mark_congestion(std::vector<std::byte>& bytes) {
  constexpr std::size_t kEcnAt = kEthernet + 1;
  constexpr std::size_t kSumAt = kEthernet + 10;
  constexpr std::byte kCe{3};
  if (bytes.size() < kEthernet + 20 || bytes[12] != std::byte{8} || bytes[13] != std::byte{0})
    return;
  const std::byte before = bytes[kEcnAt] & kCe;
  if (before == std::byte{0} || before == kCe) return;
  bytes[kEcnAt] |= kCe;
  const auto sum =
      std::to_integer<unsigned>(bytes[kSumAt]) << 8 | std::to_integer<unsigned>(bytes[kSumAt + 1]);
  unsigned changed = (~sum & 0xffff) + (3U - std::to_integer<unsigned>(before));
  changed = ~(changed + (changed >> 16)) & 0xffff;
  bytes[kSumAt] = static_cast<std::byte>(changed >> 8);
  bytes[kSumAt + 1] = static_cast<std::byte>(changed);
}

}  // namespace

// --- the network -------------------------------------------------------------------------------

struct SimNetwork::Impl {
  /// A frame on its way: to the switch, or from it to the port `to`.
  struct Flight {
    static constexpr unsigned kToSwitch = ~0U;
    unsigned to = kToSwitch;
    unsigned from = 0;
    Time sent = 0;
    std::uint64_t number = 0;
    std::vector<std::byte> bytes;
  };
  struct RuleState {
    SimRule rule;
    unsigned seen = 0;
    unsigned hits = 0;
    bool removed = false;
  };

  explicit Impl(std::uint64_t seed) : random(seed) {}

  static SimFrame view(const Flight& f) { return {f.sent, f.from, f.number, f.bytes}; }

  void note(const Flight& f, SimFate fate) {
    ++fates[static_cast<std::size_t>(fate)];
    if (tap) tap(view(f), fate);
  }

  void schedule(Time at, Flight flight) {
    flights.emplace(std::pair{at, order++}, std::move(flight));
  }

  /// Acts by the rules; false where one drops the frame. `extra` and `copies` are what others ask
  /// for.
  bool apply_rules(Flight& f, Time& extra, unsigned& copies) {
    bool passes = true;
    for (RuleState& r : rules) {
      if (r.removed || r.hits == r.rule.count || !r.rule.match(view(f))) continue;
      if (r.seen++ < r.rule.skip) continue;
      ++r.hits;
      switch (r.rule.action) {
        case SimRule::Action::drop:
          passes = false;
          break;
        case SimRule::Action::duplicate:
          ++copies;
          break;
        case SimRule::Action::corrupt:
          flip_bit(f.bytes, random);
          break;
        case SimRule::Action::delay:
          extra += r.rule.by;
          break;
      }
    }
    return passes;
  }

  /// Sends a frame over a link at `now`; it goes on from its other end as `f` says. `free_at` and
  /// `last` are the link's state.
  void transmit(const SimLink& link, Time& free_at, Time& last, Time now, Time extra, Flight f) {
    Time at = now;
    if (link.rate != 0) {
      const Time busy_for = free_at > now ? free_at - now : 0;
      const auto waiting = static_cast<std::uint64_t>(static_cast<unsigned __int128>(busy_for) *
                                                      link.rate / (8 * kSecond));
      if (link.queue_bytes != 0 && waiting + f.bytes.size() > link.queue_bytes) {
        note(f, SimFate::queue_full);
        return;
      }
      free_at = now + busy_for + (f.bytes.size() + kWireOverhead) * 8 * kSecond / link.rate;
      at = free_at;
    }
    if (random.chance(link.loss)) {
      note(f, SimFate::lost);
      return;
    }
    if (random.chance(link.mark)) mark_congestion(f.bytes);
    if (random.chance(link.corrupt)) flip_bit(f.bytes, random);
    at += link.delay + (link.jitter != 0 ? random.below(link.jitter + 1) : 0) + extra;
    if (random.chance(link.reorder)) {
      at += link.reorder_by;
    } else if (extra == 0) {
      last = at = std::max(at, last);
    }
    if (random.chance(link.duplicate)) schedule(at, f);
    schedule(at, std::move(f));
  }

  void digest_word(std::uint64_t word) {
    digest = (digest ^ word) * 0x100000001b3;  // FNV-1a
    digest ^= digest >> 29;
  }

  Random random;
  std::vector<std::unique_ptr<SimPort>> ports;
  std::map<std::pair<Time, std::uint64_t>, Flight> flights;  ///< by arrival, then by sending order
  std::uint64_t order = 0;
  std::uint64_t frames = 0;
  std::vector<RuleState> rules;
  std::set<std::pair<unsigned, unsigned>> partitions;  ///< (from, to)
  std::function<void(const SimFrame&, SimFate)> tap;
  std::array<std::uint64_t, static_cast<std::size_t>(SimFate::delivered) + 1> fates{};
  std::uint64_t digest = 0xcbf29ce484222325;
};

SimNetwork::SimNetwork(std::uint64_t seed, Time start)
    : now_(start), impl_(std::make_unique<Impl>(seed)) {
}
SimNetwork::~SimNetwork() = default;

SimPort& SimNetwork::add_port(SimPortConfig config) {
  const auto index = static_cast<unsigned>(impl_->ports.size());
  if (config.name.empty()) config.name = "p" + std::to_string(index);
  if (config.mac == std::array<std::uint8_t, 6>{}) {
    config.mac = {2,
                  0,
                  0,
                  0,
                  static_cast<std::uint8_t>((index + 1) >> 8),
                  static_cast<std::uint8_t>(index + 1)};
  }
  if (config.queues == 0 || config.ring == 0) {
    throw SetupError("sim port " + config.name +
                     ": needs a queue and a ring of at least one descriptor");
  }
  impl_->ports.emplace_back(new SimPort(*this, index, std::move(config)));
  return *impl_->ports.back();
}

SimPort& SimNetwork::port(unsigned index) {
  return *impl_->ports.at(index);
}
unsigned SimNetwork::ports() const {
  return static_cast<unsigned>(impl_->ports.size());
}

void SimNetwork::send(SimPort& from, std::vector<std::byte> bytes) {
  Impl::Flight f{
      .from = from.index_, .sent = now_, .number = impl_->frames++, .bytes = std::move(bytes)};
  impl_->note(f, SimFate::sent);
  Time extra = 0;
  unsigned copies = 1;
  if (!impl_->apply_rules(f, extra, copies)) {
    impl_->note(f, SimFate::rule_dropped);
    return;
  }
  for (unsigned i = 0; i < copies; ++i) {
    impl_->transmit(from.config_.out, from.out_free_at_, from.out_last_, now_, extra, f);
  }
}

/// At the switch: to the port with the destination MAC, or to all others.
void SimNetwork::forward(Time at, const std::vector<std::byte>& bytes, unsigned from, Time sent,
                         std::uint64_t number) {
  const bool multicast = (bytes[0] & std::byte{1}) != std::byte{0};
  bool known = false;
  for (const auto& port : impl_->ports) {
    if (port->index_ == from) continue;
    const auto& mac = port->config_.mac;
    const bool its = std::equal(mac.begin(), mac.end(), bytes.begin(),
                                [](std::uint8_t a, std::byte b) { return std::byte{a} == b; });
    if (!multicast && !its) continue;
    known = true;
    Impl::Flight f{
        .to = port->index_, .from = from, .sent = sent, .number = number, .bytes = bytes};
    if (impl_->partitions.contains({from, port->index_})) {
      impl_->note(f, SimFate::partitioned);
    } else {
      impl_->transmit(port->config_.in, port->in_free_at_, port->in_last_, at, 0, std::move(f));
    }
  }
  if (!known) {
    impl_->note({.from = from, .sent = sent, .number = number, .bytes = bytes},
                SimFate::no_such_port);
  }
}

void SimNetwork::deliver(unsigned to, const std::vector<std::byte>& bytes, unsigned from, Time sent,
                         std::uint64_t number) {
  SimPort& port = *impl_->ports[to];
  const std::uint32_t hash = port.config_.queues > 1 ? rss_hash_frame(bytes) : 0;
  const bool taken = port.queues_[rss_queue(hash, port.config_.queues)]->arrive(bytes, hash);
  impl_->note({.to = to, .from = from, .sent = sent, .number = number, .bytes = bytes},
              taken ? SimFate::delivered : SimFate::no_ring_space);
  if (!taken) return;
  impl_->digest_word(now_);
  impl_->digest_word(to);
  for (const std::byte b : bytes) impl_->digest_word(std::to_integer<std::uint64_t>(b));
}

Time SimNetwork::next_event() const {
  return impl_->flights.empty() ? kNever : impl_->flights.begin()->first.first;
}

bool SimNetwork::step() {
  if (impl_->flights.empty()) return false;
  run_until(next_event());
  return true;
}

void SimNetwork::run_until(Time time) {
  while (next_event() <= time) {
    auto node = impl_->flights.extract(impl_->flights.begin());
    now_ = std::max(now_, node.key().first);
    const Impl::Flight& f = node.mapped();
    if (f.to == Impl::Flight::kToSwitch) {
      forward(now_, f.bytes, f.from, f.sent, f.number);
    } else {
      deliver(f.to, f.bytes, f.from, f.sent, f.number);
    }
  }
  now_ = std::max(now_, time);
}

SimNetwork::RuleId SimNetwork::add_rule(SimRule rule) {
  impl_->rules.push_back({.rule = std::move(rule)});
  return static_cast<RuleId>(impl_->rules.size() - 1);
}
void SimNetwork::remove_rule(RuleId id) {
  impl_->rules.at(id).removed = true;
}
unsigned SimNetwork::rule_hits(RuleId id) const {
  return impl_->rules.at(id).hits;
}

void SimNetwork::partition(const SimPort& a, const SimPort& b, bool on) {
  partition_one_way(a, b, on);
  partition_one_way(b, a, on);
}
void SimNetwork::partition_one_way(const SimPort& from, const SimPort& to, bool on) {
  const std::pair pair{from.index_, to.index_};
  if (on) {
    impl_->partitions.insert(pair);
  } else {
    impl_->partitions.erase(pair);
  }
}

void SimNetwork::set_tap(std::function<void(const SimFrame&, SimFate)> tap) {
  impl_->tap = std::move(tap);
}
std::uint64_t SimNetwork::count(SimFate fate) const {
  return impl_->fates.at(static_cast<std::size_t>(fate));
}
std::uint64_t SimNetwork::digest() const {
  return impl_->digest;
}

// --- running applications ----------------------------------------------------------------------

void SimRunner::settle() {
  constexpr unsigned kLivelock = 1'000'000;
  for (unsigned round = 0; round < kLivelock; ++round) {
    bool worked = false;
    for (Host& host : hosts_) worked |= host.turn(network_.now());
    network_.run_until(network_.now());  // links without delay
    if (!worked) return;
  }
  throw std::logic_error(
      "simulation: an application works for ever at one moment of virtual time: its "
      "next_deadline() does not move on");
}

bool SimRunner::advance(Time limit) {
  Time next = network_.next_event();
  for (Host& host : hosts_) next = std::min(next, host.deadline());
  if (next > limit) return false;
  network_.run_until(next);
  settle();
  return true;
}

void SimRunner::run_until(Time time) {
  settle();
  while (advance(time)) {
  }
  network_.run_until(time);
}

bool SimRunner::run_until_done(const std::function<bool()>& done, Time limit) {
  settle();
  while (!done()) {
    if (!advance(limit)) return false;
  }
  return true;
}

std::unique_ptr<Port> sim_open(const PortUri& uri) {
  throw SetupError(
      "port '" + uri.text +
      "': a simulated port is no device; a test makes one with SimNetwork::add_port()");
}

}  // namespace stackrig::nmio
