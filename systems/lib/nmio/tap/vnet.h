// SPDX-License-Identifier: Apache-2.0
// virtio-net headers (virtio 1.2, 5.1.6): what stands before each frame of a TAP device with
// IFF_VNET_HDR and says which offloads it was left to. To and from the flags of nmio's packets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "nmio/packet.h"

namespace stackrig::nmio::tap {

/// As it lies in memory, host byte order (a TAP device's default). The kernel's own header does not
/// compile as C++.
struct VnetHeader {
  enum Flag : std::uint8_t {
    kNeedsChecksum = 1,  ///< csum_start and csum_offset say where it belongs
    kDataValid = 2,      ///< somebody has checked it
  };
  enum Segments : std::uint8_t { kNone = 0, kTcpIpv4 = 1, kUdp = 3, kTcpIpv6 = 4, kEcn = 0x80 };
  std::uint8_t flags;
  std::uint8_t gso_type;
  std::uint16_t hdr_len;      ///< bytes of all headers: a hint
  std::uint16_t gso_size;     ///< payload bytes per segment
  std::uint16_t csum_start;   ///< bytes from the frame's start
  std::uint16_t csum_offset;  ///< from there to the field
};
static_assert(sizeof(VnetHeader) == 10);

/// How a received frame is to be taken.
struct Arrival {
  enum class Kind : std::uint8_t {
    frame,  ///< as it is
    large,  ///< to be cut into segments: IPv4 TCP of more than one
    bad,    ///< the header cannot be true of the frame: dropped
  };
  Kind kind = Kind::bad;
  bool checksum_left = false;      ///< the sender left the L4 checksum to the device
  bool checksum_good = false;      ///< somebody has checked it
  std::uint32_t l4_offset = 0;     ///< large: bytes to the TCP header
  std::uint32_t header_len = 0;    ///< large: bytes of all headers
  std::uint32_t segment_size = 0;  ///< large: payload bytes per segment
};

/// Judges a frame and its header. Nothing in either is believed: lengths of headers come from the
/// frame, and where the two differ, the frame is bad. `whole`: bytes of the frame, of which `head`
/// holds the first.
Arrival judge(const VnetHeader& header, std::span<const std::byte> head, std::size_t whole);

/// The header for a packet to send, whose first descriptor is `first`.
VnetHeader header_of(const TxPacket& first);

}  // namespace stackrig::nmio::tap
