// SPDX-License-Identifier: Apache-2.0
// A queue of a simulated port: internal to the simulated network (sim.h).
#pragma once

#include <deque>
#include <span>
#include <vector>

#include "nmio/sim.h"

namespace stackrig::nmio {

class SimPort::SimQueue final : public Queue {
 public:
  SimQueue(SimPort& port, const SimPortConfig& config);

  unsigned receive(std::span<RxPacket> out) override;
  unsigned put(std::span<const TxPacket> in) override;
  void flush() override;
  unsigned reap() override;
  void wait(Time, Time) override {}  // virtual time passes elsewhere
  unsigned tx_room() override {
    return ring_ - static_cast<unsigned>(waiting_.size() + sent_.size());
  }

  /// A frame comes in from the network; false where there is no room for it.
  bool arrive(const std::vector<std::byte>& bytes, std::uint32_t hash);

 private:
  void send_packet(std::span<const TxPacket> parts);
  void send_frame(std::vector<std::byte> bytes, bool fill);
  void send_segments(const TxPacket& first, std::span<const std::byte> bytes);

  SimPort& port_;
  unsigned ring_;
  std::vector<TxPacket> waiting_;  ///< put, not flushed
  std::vector<ChunkId> sent_;      ///< flushed, not reaped
  std::deque<RxPacket> received_;
};

}  // namespace stackrig::nmio
