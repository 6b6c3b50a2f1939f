// SPDX-License-Identifier: Apache-2.0
// Passes ARP replies on between the queues of one port.
//
// A NIC brings every ARP frame to one queue, since RSS spreads IP only; but each queue has a stack
// with a neighbour table of its own, and a client's stacks all have to find their server. So the
// queue that gets a reply hands a copy to its siblings. A few frames per run: a lock does no harm.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "nmio/packet.h"
#include "nmio/packet_memory.h"

namespace stackrig::rigload {

class ArpRelay {
 public:
  explicit ArpRelay(unsigned queues) {
    for (unsigned i = 0; i < queues; ++i) boxes_.push_back(std::make_unique<Box>());
  }

  /// Leaves the replies of a burst for all queues but `from`, the caller's.
  void pass_on(unsigned from, std::span<const nmio::RxPacket> burst) {
    for (const nmio::RxPacket& packet : burst) {
      if (!is_reply(packet)) continue;
      for (unsigned to = 0; to < boxes_.size(); ++to) {
        if (to != from) leave(*boxes_[to], packet);
      }
    }
  }

  /// What was left for queue `to`, the caller's, as packets in chunks of its memory; they are the
  /// caller's.
  std::vector<nmio::RxPacket> take(unsigned to, nmio::PacketMemory& memory) {
    std::vector<nmio::RxPacket> packets;
    Box& box = *boxes_[to];
    if (!box.any.load(std::memory_order_acquire)) return packets;
    const std::lock_guard lock(box.mutex);
    box.any.store(false, std::memory_order_relaxed);
    for (const Frame& frame : box.frames) {
      const nmio::ChunkId chunk = memory.take();
      if (chunk == nmio::kNoChunk) break;  // the stack asks again
      std::byte* data = memory.data(chunk) + kHeadroom;
      std::memcpy(data, frame.data(), frame.size());
      packets.push_back(
          {.data = data, .len = kFrameBytes, .chunk = chunk, .rss_hash = 0, .flags = 0});
    }
    box.frames.clear();
    return packets;
  }

 private:
  static constexpr std::uint32_t kFrameBytes = 42;  ///< Ethernet header and ARP for IPv4 (RFC 826)
  static constexpr std::uint32_t kHeadroom = 128;
  static constexpr std::size_t kMostWaiting = 64;
  using Frame = std::array<std::byte, kFrameBytes>;
  struct Box {
    std::atomic<bool> any{false};
    std::mutex mutex;
    std::vector<Frame> frames;
  };

  static bool is_reply(const nmio::RxPacket& packet) {
    static constexpr unsigned kEtherType = 12, kOperation = 20;
    const auto word = [&](unsigned at) {
      return std::to_integer<unsigned>(packet.data[at]) << 8 |
             std::to_integer<unsigned>(packet.data[at + 1]);
    };
    return packet.len >= kFrameBytes && word(kEtherType) == 0x0806 && word(kOperation) == 2;
  }

  static void leave(Box& box, const nmio::RxPacket& packet) {
    const std::lock_guard lock(box.mutex);
    if (box.frames.size() == kMostWaiting) return;
    std::memcpy(box.frames.emplace_back().data(), packet.data, kFrameBytes);
    box.any.store(true, std::memory_order_release);
  }

  std::vector<std::unique_ptr<Box>> boxes_;
};

}  // namespace stackrig::rigload
