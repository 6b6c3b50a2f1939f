// SPDX-License-Identifier: Apache-2.0
// What passes between a device and a protocol: received packets, packets to send, and batches of
// them.
//
// Thread: everything here belongs to the thread that owns the queue. Nothing is shared or locked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace stackrig::nmio {

/// Monotonic time in nanoseconds. Protocol code gets it as an argument and never reads a clock.
using Time = std::uint64_t;
inline constexpr Time kMicrosecond = 1'000;
inline constexpr Time kMillisecond = 1'000'000;
inline constexpr Time kSecond = 1'000'000'000;
inline constexpr Time kNever = ~Time{0};

/// Index of a chunk (a fixed-size buffer that holds one packet) in its PacketMemory.
using ChunkId = std::uint32_t;
inline constexpr ChunkId kNoChunk = ~ChunkId{0};

/// A received packet. The receiver owns `chunk` and gives it back with PacketMemory::give_back().
struct RxPacket {
  enum Flag : std::uint16_t {
    kChecksumGood = 1,  ///< the device checked the L4 checksum; software need not
  };
  std::byte* data;    ///< first byte of the Ethernet header
  std::uint32_t len;  ///< bytes from the Ethernet header on, without FCS
  ChunkId chunk;
  std::uint32_t rss_hash;  ///< 0 where the device computes none
  std::uint16_t flags;
};

/// One descriptor to send. A packet is one descriptor, or several of which all but the last have
/// kMore. put() takes the chunk; it returns to its home once the device has sent it (see
/// PacketMemory).
struct TxPacket {
  enum Flag : std::uint16_t {
    kMore = 1,      ///< the packet goes on in the next descriptor (scatter-gather)
    kChecksum = 2,  ///< fill in the L4 checksum: the field holds the pseudo-header sum
    kSegment = 4,   ///< TSO: cut into segments of `segment_size` payload bytes; implies kChecksum
  };
  const std::byte* data;
  std::uint32_t len;
  ChunkId chunk;
  std::uint16_t flags;
  std::uint16_t segment_size;  ///< payload bytes per segment with kSegment
  std::uint8_t l4_offset;      ///< bytes from the frame's start to the L4 header (first descriptor)
  std::uint8_t header_len;     ///< bytes of all headers, with kSegment (first descriptor)
};

/// Descriptors that protocol code wants sent, on their way to Queue::put(). `room` is what the
/// device can take: the transmit ring is the only output queue there is (thesis 3.2.4).
struct TxBatch {
  static constexpr unsigned kCapacity = 512;
  std::array<TxPacket, kCapacity> packets;
  unsigned count = 0;
  unsigned room = 0;  ///< descriptors that may still be added; set by the loop, at most kCapacity

  [[nodiscard]] bool has_room(unsigned n = 1) const { return room >= n; }
  void push(const TxPacket& p) {
    packets[count++] = p;
    --room;
  }
  [[nodiscard]] std::span<const TxPacket> span() const { return {packets.data(), count}; }
};

}  // namespace stackrig::nmio
