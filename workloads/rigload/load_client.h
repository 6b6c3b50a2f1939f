// SPDX-License-Identifier: Apache-2.0
// The load of one thread: which connection sends when, what counts as what. Knows no protocol
// (Exchange) and no device (StreamTransport), and takes the time as an argument.
//
// A slot is one of the N concurrent connections:
//
//   free -> connecting -> ready -> waiting -> finishing -> free     a connection per request
//                           ^---------'                             persistent connections
//
// Closed loop: a slot's next request is due at the moment its last one is done with. Open loop:
// requests become due by Arrivals, whatever the slots do; one that finds no slot waits in DueQueue
// with its due time. Latency is counted from the due time, so a slow server cannot hide behind a
// client that waits for it ("coordinated omission").
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rigload/arrivals.h"
#include "rigload/client_state.h"
#include "rigload/stream_transport.h"

namespace stackrig::rigload {

/// What came of the bytes that an exchange was given.
struct Progress {
  enum class State : std::uint8_t {
    more,      ///< the answer goes on
    finished,  ///< the answer is whole
    broken,    ///< it cannot be made sense of any more: the connection must go
  };
  State state = State::more;
  bool server_closes = false;      ///< with finished: no further request on this connection
  std::optional<ErrorKind> error;  ///< with finished or broken: the answer was wrong
  std::uint32_t requests = 1;      ///< with finished: so many were sent as one, and are answered
  std::uint64_t body_bytes = 0;    ///< payload among the bytes given
};

/// One protocol's requests and answers, for all slots of a thread.
class Exchange {
 public:
  virtual ~Exchange() = default;
  /// The slot has a new connection.
  virtual void opened(SlotId /*slot*/) {}
  /// Chooses the slot's next request.
  virtual const Prepared& begin(SlotId slot) = 0;
  virtual Progress receive(SlotId slot, std::span<const std::byte> bytes) = 0;
  /// The server closed before the answer was whole: which error that is.
  virtual ErrorKind cut_short(SlotId slot) = 0;
  /// The slot's request is given up.
  virtual void drop(SlotId slot) = 0;
};

struct LoadConfig {
  std::uint32_t connections = 1;  ///< slots of this thread
  std::uint32_t reach = 1;  ///< of them, opened before the start to see that the server is there
  std::uint32_t hold = 0;   ///< further ones, opened before the start and left idle
  bool keepalive = false;
  std::optional<Arrivals::Config> arrivals;  ///< none: closed loop
  std::size_t queue_bound = 65536;           ///< requests that may wait for a slot, open loop
  Time warmup = 0, duration = nmio::kSecond;
  Time timeout = 5 * nmio::kSecond;  ///< of a connect, of an answer, of the FIN behind it
  std::vector<std::string> targets = {
      "server"};  ///< for messages: slot i goes to the (i modulo their number)-th
};

class LoadClient final : public ClientState, public StreamEvents {
 public:
  /// All references outlive the client. `stats` is zeroed.
  LoadClient(const LoadConfig& config, Exchange& exchange, StreamTransport& transport,
             UsageMeter& meter, RunControl& control, RunStats& stats);

  /// Call before the events of a turn: what happens at `now` counts in the right phase.
  void tick(Time now) {
    if (now >= phase_ends()) [[unlikely]]
      advance_phase(now);
  }
  /// Call after the events of a turn, and each turn: opens, sends, gives up.
  void turn(Time now);
  /// When turn() has something to do though no packet came.
  [[nodiscard]] Time next_deadline() const;
  void on_connected(SlotId slot, Time now) override;
  void on_bytes(SlotId slot, std::span<const std::byte> bytes, Time now) override;
  void on_remote_closed(SlotId slot, Time now) override;
  void on_lost(SlotId slot, Lost how, Time now) override;

 private:
  enum class Stage : std::uint8_t {
    reaching,  ///< the first connections and those to hold are being opened
    gated,     ///< connected; the other threads are not yet, or the start is still to come
    running,   ///< warmup and measure
    draining,
    done,
  };
  enum class SlotState : std::uint8_t {
    free,    ///< no connection
    paused,  ///< no connection could be opened; not at once again
    connecting,
    ready,      ///< connected, no request
    waiting,    ///< for the answer, or its rest
    finishing,  ///< for the server's FIN
    held,       ///< connected and left alone (LoadConfig::hold)
  };
  static constexpr unsigned kSlotStates = 7;
  struct Slot {
    Time due = 0;       ///< of its request; in a closed loop also of the next one
    Time deadline = 0;  ///< of what it waits for
    std::uint32_t ready_index = 0;
    SlotState state = SlotState::free;
    bool has_request = false;
  };
  struct Pause {
    SlotId slot;
    Time until;
  };

  [[nodiscard]] bool closed_loop() const { return !arrivals_; }
  [[nodiscard]] bool is_held(SlotId id) const { return id >= config_.connections; }
  [[nodiscard]] bool may_send() const { return closed_loop() || !due_queue_.empty(); }
  [[nodiscard]] std::uint32_t in(SlotState s) const { return in_state_[static_cast<unsigned>(s)]; }

  // The run, from the first connection to the last (load_client.cc).
  void reach(Time now);
  void wait_at_gate(Time now);
  void start(Time at);
  void advance_phase(Time now);
  void begin_drain();
  void finish(Time now);
  void fail(Time now, const std::string& why);
  [[nodiscard]] std::string target_of(SlotId id) const;
  void take_arrivals(Time until, unsigned at_most);
  void resume_paused(Time now);
  void hand_out_requests(Time now);
  void open_connections(Time now);
  void sweep_timeouts(Time now);
  void expire(SlotId id, Time now);

  // One slot (load_client_slots.cc).
  bool open(SlotId id, Time now);
  void send_request(SlotId id, Time now);
  void answer_done(SlotId id, const Progress& progress, Time now);
  void next_on_this_connection(SlotId id, Time now);
  void give_up(SlotId id, ErrorKind kind, Time now);
  void failed(SlotId id, ErrorKind kind, Time now);
  void censor(SlotId id, Time now);
  void connect_failed(SlotId id, ErrorKind kind, Time now);
  void release(SlotId id, Time now);
  void make_ready(SlotId id);
  void set_state(SlotId id, SlotState to);
  void wait_for(SlotId id, SlotState state, Time now);

  LoadConfig config_;
  Exchange& exchange_;
  StreamTransport& transport_;

  Stage stage_ = Stage::reaching;
  std::optional<Arrivals> arrivals_;
  DueQueue due_queue_;

  std::vector<Slot> slots_;
  std::array<std::uint32_t, kSlotStates> in_state_{};
  std::vector<SlotId> free_;   ///< to be opened, last in first out
  std::vector<SlotId> ready_;  ///< in state ready, in no order
  std::deque<Pause> paused_;   ///< all pauses are of equal length: first in, first out

  Time last_turn_ = 0;
  Time next_sweep_ = 0;
  std::uint32_t sweep_at_ = 0;  ///< first slot of the next sweep
  std::uint32_t reach_opened_ = 0, hold_opened_ = 0;
  bool blocked_ = false;  ///< the transport had no room for another connection in this turn
};

}  // namespace stackrig::rigload
