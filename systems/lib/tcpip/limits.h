// SPDX-License-Identifier: Apache-2.0
// Numbers that more than one file of this folder goes by, and what files say to each other while a
// connection begins.
#pragma once

#include <cstdint>

#include "tcpip/flow_key.h"
#include "tcpip/segment_in.h"
#include "tcpip/seq.h"
#include "wire/address.h"

namespace stackrig::tcpip {

/// Payload begins here in a chunk of the pool that we fill: headers, and what a device keeps before
/// the frame, fit in front.
inline constexpr std::uint32_t kPayloadAt = 192;
/// An MSS below this is taken for this: a peer that asks for a byte at a time makes work, not
/// progress.
inline constexpr std::uint16_t kMinMss = 216;
inline constexpr std::uint16_t kDefaultMss = 536;  ///< RFC 9293 3.7.1, where the peer names none
inline constexpr unsigned kDupAckThreshold = 3;    ///< RFC 5681
inline constexpr std::uint32_t kPawsValidMs = 24u * 24 * 3600 * 1000;  ///< RFC 7323 5.5
inline constexpr std::uint32_t kMaxTsoBytes = 61440;
/// A report of bytes older than that is none (RFC 2883: of what is known).
inline constexpr std::uint32_t kDsackReach = std::uint32_t{1} << 30;

/// A segment without data, that needs no connection: SYN, SYN-ACK, RST, the ACKs of TIME_WAIT.
struct Control {
  FlowKey key;
  wire::MacAddress to;
  Seq seq = 0;
  Seq ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::uint16_t mss = 0;  ///< 0: no option
  std::uint8_t window_scale = kNoWindowScale;
  std::uint16_t user_timeout = 0;  ///< RFC 5482, as in the option; 0: none
  bool sack_permitted = false;
  bool timestamps = false;
  std::uint32_t ts_value = 0;
  std::uint32_t ts_echo = 0;
};

/// What both ends agreed on in their SYNs.
struct Agreed {
  std::uint16_t mss = kDefaultMss;
  std::uint8_t peer_scale = kNoWindowScale;
  bool timestamps = false;
  bool sack = false;
  bool ecn = false;
  std::uint16_t user_timeout = 0;
  std::uint32_t ts_value = 0;
};

}  // namespace stackrig::tcpip
