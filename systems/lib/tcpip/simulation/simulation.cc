// SPDX-License-Identifier: Apache-2.0
#include "tcpip/simulation/simulation.h"

#include <algorithm>
#include <cstdio>
#include <exception>

#include "tcpip/simulation/capture.h"
#include "tcpip/simulation/host.h"
#include "tcpip/simulation/invariants.h"
#include "tcpip/simulation/wire_watch.h"

namespace stackrig::tcpip::simulation {
namespace {

/// Turns that hosts may take at one moment of virtual time; more is a busy loop.
constexpr unsigned kTurnsAtOnce = 20'000;
/// By then every connection must have ended: cuts last 2000 s at most, then a dozen back-offs of up
/// to 60 s, on either end, and what waits for ports.
constexpr Time kBound = 20'000 * nmio::kSecond;
/// TIME_WAIT and left-over timers run out.
constexpr Time kAftermath = 200 * nmio::kSecond;

class Run {
 public:
  Run(const Plan& plan, const Show& show)
      : plan_(plan),
        network_(plan.seed),
        client_(network_, plan, 0),
        server_(network_, plan, 1),
        began_(network_.now()),
        capture_(show.line, show.pcap, began_) {
    client_.on_connect(
        [this](std::uint16_t port, unsigned number) { server_.expect(port, number); });
    network_.set_tap([this](const nmio::SimFrame& f, nmio::SimFate fate) {
      if (capture_.any()) capture_.note(f, fate, network_.now());
      if (fate == nmio::SimFate::sent) watch_.sent(f);
      if (fate == nmio::SimFate::delivered) watch_.delivered(f);
    });
    for (const Cut& c : plan.cuts) {
      switches_.push_back({began_ + c.from, &c, true});
      switches_.push_back({began_ + c.until, &c, false});
    }
    std::sort(switches_.begin(), switches_.end(),
              [](const Switch& a, const Switch& b) { return a.at < b.at; });
  }

  void go(Outcome& o) {
    settle();
    while (!over()) {
      if (network_.now() > began_ + kBound) throw Broken("a connection does not come to an end");
      if (!advance(nmio::kNever)) throw Broken("a connection waits for nothing");
    }
    o.took = network_.now() - began_;
    const Time end = network_.now() + kAftermath;
    while (advance(end)) {
    }
    network_.run_until(end);
    settle();
    for (Host* h : {&client_, &server_}) check_end(*h, plan_);
  }

  void count(Outcome& o) {
    for (Host* h : {&client_, &server_}) {
      for (const auto& s : h->sides()) {
        ++(s->ended == Ended::normally ? o.normally : o.otherwise);
        o.bytes += s->received;
      }
      o.retransmits += h->stack().counters().retransmits;
    }
    o.segments = watch_.segments();
  }
  [[nodiscard]] Time elapsed() const { return network_.now() - began_; }

 private:
  struct Switch {
    Time at;
    const Cut* cut;
    bool on;
  };

  [[nodiscard]] bool over() const { return client_.done() && server_.done(); }

  void settle() {
    for (unsigned turns = 0; turns < kTurnsAtOnce; ++turns) {
      bool worked = false;
      for (Host* h : {&client_, &server_}) {
        const bool did = h->turn(network_.now());
        if (did) check_step(*h);
        worked |= did;
      }
      network_.run_until(network_.now());
      if (!worked) return;
    }
    throw Broken("a busy loop: the stacks work for ever at one moment of virtual time");
  }

  // To the next frame, timer or cut, at most to `limit`; false where there is none.
  bool advance(Time limit) {
    Time next = std::min({network_.next_event(), client_.deadline(), server_.deadline()});
    if (!switches_.empty()) next = std::min(next, switches_.front().at);
    if (next > limit || next == nmio::kNever) return false;
    // A deadline that has passed is one at this moment.
    if (next <= network_.now() && ++at_once_ > kTurnsAtOnce) {
      throw Broken("a busy loop: a deadline that does not move on");
    }
    if (next > network_.now()) at_once_ = 0;
    network_.run_until(next);
    while (!switches_.empty() && switches_.front().at <= network_.now()) {
      const Switch s = switches_.front();
      switches_.erase(switches_.begin());
      if (s.cut->up) network_.partition_one_way(client_.port(), server_.port(), s.on);
      if (s.cut->down) network_.partition_one_way(server_.port(), client_.port(), s.on);
    }
    settle();
    return true;
  }

  const Plan& plan_;
  nmio::SimNetwork network_;
  Host client_, server_;
  Time began_;
  Capture capture_;
  WireWatch watch_;
  std::vector<Switch> switches_;
  unsigned at_once_ = 0;
};

}  // namespace

Outcome simulate(const Plan& plan, const Show& show) {
  Outcome o;
  Run run(plan, show);
  try {
    run.go(o);
  } catch (const std::exception& e) {
    char when[32];
    std::snprintf(when, sizeof when, " (at %.6f s)", static_cast<double>(run.elapsed()) / 1e9);
    o.good = false;
    o.problem = e.what() + std::string(when);
  }
  run.count(o);
  return o;
}

}  // namespace stackrig::tcpip::simulation
