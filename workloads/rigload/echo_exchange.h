// SPDX-License-Identifier: Apache-2.0
// Buffers that an echo server sends back (Slick 3.2.2), and the comparison of every byte of them.
//
// What is sent differs from one round trip to the next and from one connection to its neighbours,
// so that an answer to another question is seen: each request is one of kWindows windows, a byte
// apart, of one random text. All are made before the run.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "rigload/load_client.h"

namespace stackrig::rigload {

struct EchoConfig {
  std::uint32_t size = 32;     ///< bytes of a buffer
  std::uint32_t pipeline = 1;  ///< buffers sent at once, and awaited together
  std::uint64_t seed = 1;
};

class EchoExchange final : public Exchange {
 public:
  static constexpr std::uint32_t kWindows = 61;

  EchoExchange(const EchoConfig& config, std::uint32_t slots);

  void opened(SlotId slot) override { slots_[slot].announced = false; }
  const Prepared& begin(SlotId slot) override;
  Progress receive(SlotId slot, std::span<const std::byte> bytes) override;
  ErrorKind cut_short(SlotId slot) override;
  void drop(SlotId /*slot*/) override {}

 private:
  struct Slot {
    std::uint32_t window = 0;
    std::uint32_t received = 0;  ///< of the answer
    bool announced = false;      ///< the connection has sent its size
  };

  EchoConfig config_;
  std::uint32_t bytes_;               ///< of a request without the size, and of its answer
  std::vector<std::byte> text_;       ///< the windows
  std::vector<std::byte> beginning_;  ///< the size, then window 0
  std::array<Prepared, kWindows> requests_;
  Prepared first_request_;
  std::vector<Slot> slots_;
};

}  // namespace stackrig::rigload
