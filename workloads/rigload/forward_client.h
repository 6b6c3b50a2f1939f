// SPDX-License-Identifier: Apache-2.0
// A forwarder's load from its first connection to its last (Slick 3.3.1): connects the forwarder to
// the sinks over Thrift, sends, checks what arrives, ends, has the backends closed. Knows no device
// (ForwardTransport), and takes the time as an argument.
//
//   set up -> gated -> running -> draining -> closing -> done
//
// The slots: 0 is the connection for connect and close, then come the senders', then the sinks'.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "rigload/client_state.h"
#include "rigload/forward_messages.h"
#include "rigload/forward_sink.h"
#include "rigload/forward_transport.h"

namespace stackrig::rigload {

/// Over all phases.
struct ForwardTotals {
  std::uint64_t sent = 0, arrived = 0;  ///< messages
};

struct ForwardConfig {
  ForwardShape shape;
  std::uint64_t messages = 0;  ///< so many in all, and no warm-up; 0: as long as `duration`
  Time warmup = 0, duration = nmio::kSecond;
  Time timeout = 5 * nmio::kSecond;  ///< of each step of the set-up, and of silence at the sinks
  std::string target = "server";     ///< for what is said about it
  ForwardTotals* totals = nullptr;   ///< filled in at the end; may be absent
};

class ForwardClient final : public ClientState, public ForwardEvents {
 public:
  static constexpr SlotId kControl = 0;
  static SlotId sender_slot(std::uint32_t sender) { return 1 + sender; }
  static SlotId sink_slot(const ForwardShape& shape, std::uint32_t sink) {
    return 1 + shape.senders + sink;
  }
  static std::uint32_t slots(const ForwardShape& shape) { return 1 + shape.senders + shape.sinks; }

  /// All references outlive the client. `stats` is zeroed.
  ForwardClient(const ForwardConfig& config, ForwardTransport& transport, UsageMeter& meter,
                RunControl& control, RunStats& stats);

  /// As LoadClient's.
  void tick(Time now) {
    if (now >= phase_ends()) [[unlikely]]
      advance_phase(now);
  }
  void turn(Time now);
  [[nodiscard]] Time next_deadline() const;

  void on_connected(SlotId slot, Time now) override;
  void on_bytes(SlotId slot, std::span<const std::byte> bytes, Time now) override;
  void on_remote_closed(SlotId slot, Time now) override;
  void on_lost(SlotId slot, Lost how, Time now) override;
  void on_written(SlotId slot, Time now) override;

  /// Over all phases.
  [[nodiscard]] std::uint64_t sent() const;
  [[nodiscard]] std::uint64_t arrived() const;

 private:
  enum class Stage : std::uint8_t { set_up, gated, running, draining, closing, done };
  enum class Open : std::uint8_t { no, opening, open, half_closed, ended };

  [[nodiscard]] const ForwardShape& shape() const { return config_.shape; }
  [[nodiscard]] bool is_sender(SlotId slot) const {
    return slot != kControl && slot <= shape().senders;
  }
  [[nodiscard]] bool is_sink(SlotId slot) const { return slot > shape().senders; }

  // Before the start and after the end (forward_control.cc).
  void open_control(Time now);
  void ask(const thrift::Bytes& call, Time now);
  void ask_to_connect(Time now);
  void take_reply(std::span<const std::byte> bytes, Time now);
  void connect_replied(std::int32_t error, Time now);
  void open_senders(Time now);
  void see_whether_all_are_there(Time now);
  void close_backends(Time now);
  void see_whether_all_have_ended(Time now);
  [[nodiscard]] std::string awaited() const;

  // The load (forward_client.cc).
  void start(Time at);
  void advance_phase(Time now);
  void send_more(SlotId slot, Time now);
  void end_sender(SlotId slot, Time now);
  void begin_drain(Time now);
  void drain(Time now);
  void count_lost();
  void fail(Time now, const std::string& why);
  void finish(Time now);

  ForwardConfig config_;
  ForwardTransport& transport_;
  ForwardMessages messages_;
  std::vector<ForwardSender> senders_;
  std::vector<ForwardSink> sinks_;
  std::vector<Open> slots_;
  Stage stage_ = Stage::set_up;
  Time deadline_ = nmio::kNever;  ///< of the step of set-up or closing
  Time last_turn_ = 0;
  Time last_arrival_ = 0;
  std::uint32_t connected_sinks_ = 0;  ///< by the forwarder's word
  std::int32_t sequence_ = 0;          ///< of calls
  std::deque<thrift::Bytes> calls_;    ///< being written
  std::deque<Prepared> prepared_;      ///< of calls_
  std::vector<std::byte> reply_;       ///< what has come of it
  bool closed_ = false;                ///< close was answered
};

}  // namespace stackrig::rigload
