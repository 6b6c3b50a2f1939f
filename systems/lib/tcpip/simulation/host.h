// SPDX-License-Identifier: Apache-2.0
// One end of the simulated network: a stack on a port, and the application above it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nmio/sim.h"
#include "tcpip/simulation/plan.h"
#include "tcpip/simulation/stream.h"

namespace stackrig::tcpip::simulation {

inline constexpr std::uint16_t kServerPort = 80;

class Host;

/// One end of one connection.
struct Side {
  Side(Host& h, unsigned n, const ConnectionPlan& c, unsigned which, std::uint64_t seed);

  Host& host;
  unsigned number;  ///< of the connection
  SidePlan plan;
  std::uint64_t peer_bytes;   ///< that the other end is to send
  std::uint64_t peer_stream;  ///< their number
  std::unique_ptr<Stream> stream;
  Tcb* tcb = nullptr;
  bool opened = false;
  std::uint64_t written = 0, received = 0;
  bool remote_closed = false, closing = false, aborted = false;
  std::uint64_t watched = 0;  ///< progress at the last look of the application's own patience
  bool resume_pending = false, came_back = false;
  std::optional<Ended> ended;
  std::uint32_t seen_snd_max = 0, seen_cwnd = 0;  ///< at the last look (invariants.cc)
  bool seen_recovery = false;
  std::uint64_t seen_drops = 0;  ///< of the host's scoreboards
};

class Host {
 public:
  /// `which`: 0 the client, 1 the server.
  Host(nmio::SimNetwork& network, const Plan& plan, unsigned which);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // nmio::LoopApp
  void on_burst(std::span<const nmio::RxPacket> burst, Time now);
  void on_idle(Time now);
  [[nodiscard]] Time next_deadline() const;

  /// One turn of the loop; true where it did something.
  bool turn(Time now);
  [[nodiscard]] Time deadline() const;

  [[nodiscard]] Stack& stack() { return *stack_; }
  [[nodiscard]] nmio::PacketMemory& memory() { return queue_.memory(); }
  [[nodiscard]] std::vector<std::unique_ptr<Side>>& sides() { return sides_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] nmio::SimPort& port() { return port_; }
  [[nodiscard]] Time now() const { return now_; }
  /// The application has nothing more to do, or cannot.
  [[nodiscard]] bool done() const;
  /// Tells the server which connection a client's port stands for.
  void expect(std::uint16_t port, unsigned number) { by_port_[port] = number; }
  void on_connect(std::function<void(std::uint16_t port, unsigned number)> fn) {
    opens_ = std::move(fn);
  }
  void after(Time delay, std::function<void()> what);

 private:
  void listen();
  void open(Side& s, std::uint16_t port);
  void set_callbacks(Tcb& t);
  static Side& side_of(void* app, Tcb& t);
  bool on_accept(Tcb& t);
  void on_open(Side& s);
  void write_more(Side& s);
  void maybe_close(Side& s);
  std::size_t on_bytes(Side& s, std::span<const std::byte> bytes);
  void come_back_later(Side& s);
  void maybe_abort(Side& s);
  void lose_patience(Side& s);

  unsigned which_;
  std::string name_;
  nmio::SimPort& port_;
  nmio::Queue& queue_;
  nmio::TxBatch batch_{};
  Random random_;
  std::unique_ptr<Stack> stack_;
  struct Engine;  ///< the real loop (nmio/loop.h)
  std::unique_ptr<Engine> engine_;
  std::vector<std::unique_ptr<Side>> sides_;
  std::map<std::uint16_t, unsigned> by_port_;
  std::function<void(std::uint16_t, unsigned)> opens_;
  std::multimap<Time, std::function<void()>> timers_;
  Time now_ = 0;
};

}  // namespace stackrig::tcpip::simulation
