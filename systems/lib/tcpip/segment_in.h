// SPDX-License-Identifier: Apache-2.0
// A received TCP segment whose lengths and checksum are good, in host byte order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "nmio/packet.h"
#include "tcpip/flow_key.h"
#include "tcpip/seq.h"
#include "wire/tcp.h"

namespace stackrig::tcpip {

inline constexpr std::uint8_t kNoWindowScale = 0xff;

struct SegmentIn {
  FlowKey key;
  std::uint32_t hash;
  Seq seq;
  Seq ack;
  std::uint16_t window;  ///< as it stands in the header, not scaled
  std::uint8_t flags;
  bool has_timestamps;
  bool packet_was_syn;  ///< it came as a SYN, whatever `flags` say by now
  bool kept;            ///< the packet's chunk is held: it is not the caller's any more
  std::uint32_t ts_value;
  std::uint32_t ts_echo;
  std::byte* payload;
  std::uint32_t len;
  const nmio::RxPacket* packet;
  std::uint16_t mss;           ///< of a SYN; 0: none
  std::uint8_t window_scale;   ///< of a SYN; kNoWindowScale: none
  bool sack_permitted;         ///< of a SYN
  std::uint16_t user_timeout;  ///< of a SYN, RFC 5482, as in the option; 0: none
  std::uint32_t sack_blocks;   ///< that many in `sack`
  std::array<wire::SackBlock, wire::TcpOptions::kMaxSackBlocks> sack;

  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] bool fin() const { return has(wire::kTcpFin); }
  /// Sequence space that it takes: payload, SYN and FIN.
  [[nodiscard]] std::uint32_t span() const {
    return len + (has(wire::kTcpSyn) ? 1 : 0) + (fin() ? 1 : 0);
  }
  [[nodiscard]] Seq end() const { return seq + span(); }
};

}  // namespace stackrig::tcpip
