// SPDX-License-Identifier: Apache-2.0
// The contract between a TCP sender and the owner of the bytes to be sent.
//
// There is no socket buffer. A sender asks the owner of a write for the bytes at an offset, as
// segments that are ready to go; a retransmission is the same question asked again; the owner may
// answer that it is not ready (a disk), and is told when the bytes are acknowledged and no device
// refers to them any more. One call fetches many segments, so the call is per burst and not per
// packet.
//
// Source: thesis 3.2.2 (prepackaged frames), 4.2 (disk blocks); DLibOS section 4 (references).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "nmio/packet.h"

namespace stackrig::tcpip {

/// Bytes of headroom that the payload of a kFrame segment has before it in its chunk: Ethernet,
/// IPv4 and TCP with all options fit (14 + 20 + 60, rounded up).
inline constexpr std::uint32_t kHeaderRoom = 96;
/// Payload bytes that prepackaged frames are cut at: MTU 1500 less IPv4, TCP and the timestamp
/// option.
inline constexpr std::uint32_t kDefaultSegmentBytes = 1448;

struct Fragment {
  const std::byte* data = nullptr;
  std::uint32_t len = 0;
};

/// One segment's payload, as its owner hands it over.
struct Segment {
  enum class Kind : std::uint8_t {
    frame,  ///< `chunk` itself goes out: the core writes headers before `data`. The chunk is the
            ///< core's until the device has sent it, and then returns to its home (a set of
            ///< copies).
    copy,  ///< the core copies `data` into a chunk of the pool. Valid until the call after returns.
    gather,  ///< `fragments` are sent by reference and held until acknowledged and sent.
  };
  Kind kind = Kind::copy;
  bool sum_known = false;           ///< `payload_sum` is right: no byte of the payload need be read
  std::uint8_t fragments_used = 0;  ///< gather
  std::uint16_t payload_sum = 0;    ///< ones'-complement sum of the payload (wire::sum(), folded)
  std::uint32_t len = 0;            ///< payload bytes
  std::byte* data = nullptr;  ///< frame: in the chunk, at least kHeaderRoom in. copy: source bytes
  nmio::ChunkId chunk = nmio::kNoChunk;  ///< frame only
  std::array<Fragment, 4> fragments{};   ///< gather only
};

/// How many segments the core asks for at a time.
inline constexpr unsigned kFetchMax = 32;

struct Fetched {
  unsigned segments = 0;  ///< filled in; 0 with ready == false: ask again after tcp_output()
  bool ready = true;  ///< false: not ready yet. The core asks again after Stack::tcp_output(tcb),
                      ///< and where the connection's timer fires meanwhile
};

class Tcb;

/// Owner of the bytes of one or more writes. A write is named by the cookie it was written with.
class ByteOwner {
 public:
  virtual ~ByteOwner() = default;
  /// Bytes [offset, offset + limit) of the write `cookie`, as consecutive segments from `offset`
  /// on. No segment is longer than `max_segment` or reaches past `limit`. Fewer segments than asked
  /// is fine.
  virtual Fetched fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                        std::uint32_t max_segment, std::span<Segment> out) = 0;
  /// All bytes of the write below `offset` were acknowledged (called when it moves, at most once
  /// per incoming segment). Gather bytes may still lie in a transmit ring: see released().
  virtual void acked(std::uint64_t /*cookie*/, std::uint64_t /*offset*/) {}
  /// The write is done with: acknowledged whole or its connection gone. The owner forgets the
  /// cookie.
  virtual void released(std::uint64_t /*cookie*/) {}
};

}  // namespace stackrig::tcpip
