// SPDX-License-Identifier: Apache-2.0
// A forwarder's load on kernel sockets: edge-triggered epoll, large reads and writes, and a pause
// between turns, so that each finds many messages: this side has the same machine to run on as the
// forwarder, and must cost far less than it.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <deque>
#include <vector>

#include "rigload/forward_client.h"
#include "rigload/lane.h"
#include "rigload/thread_meter.h"
#include "sockets/sockets.h"

namespace stackrig::rigload {

class ForwardSocketLane final : public SocketLane, private ForwardTransport, private UsageMeter {
 public:
  struct Config {
    KernelTransport::Target target;
    wire::Endpoint first_sink;  ///< sinks listen from this port on; 0: wherever there is room
    bool spin = false;          ///< no pauses
  };

  /// Throws runtime::UsageError for an address that is not here, std::runtime_error (no file
  /// descriptors, ...).
  ForwardSocketLane(const Config& config, const ForwardConfig& forward, RunControl& control,
                    RunStats& stats);
  ~ForwardSocketLane() override = default;

  [[nodiscard]] ForwardClient& client() override { return client_; }
  void run() override;

 private:
  struct Socket {
    sockets::Fd fd;
    sockets::Fd listener;  ///< sinks only
    bool connected = false;
    bool closes = false;  ///< FIN when all is written
    std::deque<const Prepared*> writes;
    std::uint32_t written = 0;  ///< bytes of the first one
  };
  /// What an event names: a slot, and whether it is its listener.
  static constexpr std::uint64_t kListener = std::uint64_t{1} << 32;
  static constexpr int kEvents = 256;
  static constexpr std::size_t kReadBytes = 256 * 1024;
  static constexpr unsigned kWritesPerTurn = 8;  ///< of a sender: sinks have their turn too

  bool open(SlotId slot, Time now) override;
  [[nodiscard]] wire::Endpoint listening(SlotId slot) const override;
  void write(SlotId slot, const Prepared& bytes, Time now) override;
  void half_close(SlotId slot, Time now) override;
  void drop(SlotId slot, Time now) override;
  Usage usage() override { return meter_.usage(); }

  void listen_all(const ForwardShape& shape);
  void watch(int fd, std::uint32_t what, std::uint64_t as);
  int poll(Time now);
  void pause_until(Time then) const;
  void handle(const epoll_event& event, Time now);
  void accept(SlotId slot, Time now);
  bool finish_connect(SlotId slot, Time now);
  void write_rest(SlotId slot, Time now);
  void read_all(SlotId slot, std::uint32_t event_bits, Time now);
  void lose(SlotId slot, int error, Time now);

  Config config_;
  ThreadMeter meter_;
  sockets::Fd epoll_;
  std::vector<Socket> sockets_;
  std::vector<std::byte> buffer_;
  std::array<epoll_event, kEvents> events_{};
  std::vector<SlotId> to_write_;  ///< have been given something
  std::uint64_t moved_ = 0;       ///< bytes in this turn
  ForwardClient client_;
};

}  // namespace stackrig::rigload
