// SPDX-License-Identifier: Apache-2.0
// What a NIC does to frames on their way out, in software: fills in checksums and cuts large TCP
// segments (TSO). The soft NIC and the simulated network use it. IPv4 only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace stackrig::nmio {

/// Ones'-complement sum of `bytes`, not folded, added to `sum`. Bytes count from an even place.
std::uint64_t checksum_add(std::uint64_t sum, std::span<const std::byte> bytes);
/// The 16-bit value to store (in memory order) for a sum of checksum_add().
std::uint16_t checksum_finish(std::uint64_t sum);

/// Where the headers of an IPv4 TCP or UDP frame are.
struct L4Place {
  std::uint32_t l4 = 0;        ///< bytes from the frame's start
  std::uint32_t end = 0;       ///< end of the IP packet: what follows is Ethernet padding
  std::uint32_t checksum = 0;  ///< bytes from the frame's start to the checksum field
  bool tcp = false;
};

/// Finds the L4 header of an unfragmented IPv4 TCP or UDP frame; false where it is none or is cut
/// short.
bool find_l4(std::span<const std::byte> frame, L4Place& out);

/// Computes the checksum of the whole frame's L4 part, from nothing, and stores it.
void fill_checksum(std::span<std::byte> frame, const L4Place& place);
/// True where the L4 checksum that the frame carries is right (UDP: also where it has none).
bool checksum_is_good(std::span<const std::byte> frame, const L4Place& place);

/// Cuts one large frame (TxPacket::kSegment) into frames of at most `segment_size` payload bytes.
class Segmenter {
 public:
  /// `headers`: all headers of the large frame. False where they are not IPv4 TCP as said, or the
  /// sizes cannot be: a device drops such a packet.
  bool start(std::span<const std::byte> headers, std::uint32_t l4_offset, std::uint32_t payload_len,
             std::uint32_t segment_size);

  [[nodiscard]] bool done() const { return offset_ >= payload_len_; }
  /// Payload bytes of the frame that next() makes.
  [[nodiscard]] std::uint32_t payload_len() const;
  [[nodiscard]] std::uint32_t payload_offset() const { return offset_; }
  /// Writes the next frame's headers (headers.size() bytes) to `out`: IP length, id and checksum,
  /// TCP sequence number, FIN and PSH on the last only, CWR on the first only. The TCP checksum
  /// field gets the pseudo header's sum.
  void next(std::byte* out);

 private:
  std::span<const std::byte> headers_;
  std::uint32_t l4_offset_ = 0;
  std::uint32_t payload_len_ = 0;
  std::uint32_t segment_size_ = 0;
  std::uint32_t offset_ = 0;
  std::uint16_t ip_id_ = 0;
  std::uint32_t seq_ = 0;
};

}  // namespace stackrig::nmio
