// SPDX-License-Identifier: Apache-2.0
// What is keyed by SipHash-2-4: initial sequence numbers (RFC 6528) and timestamp offsets
// (RFC 7323 5.4).
#pragma once

#include <cstdint>

#include "nmio/packet.h"
#include "tcpip/flow_key.h"
#include "tcpip/seq.h"

namespace stackrig::tcpip {

/// SipHash-2-4 (hash/siphash.h) of `words` 64-bit words, hashed as their little-endian bytes.
[[nodiscard]] std::uint64_t siphash(const std::uint64_t (&key)[2], const std::uint64_t* words,
                                    unsigned count);

/// What a connection's numbers are offset by: nobody without the key can tell them from another
/// connection's, and the same flow gets the same ones, so that they go on rising from one
/// incarnation to the next.
struct FlowSecrets {
  std::uint32_t isn;        ///< F() of RFC 6528
  std::uint32_t timestamp;  ///< added to the timestamp clock
};

[[nodiscard]] FlowSecrets flow_secrets(const FlowKey& flow, const std::uint64_t (&key)[2]);

/// ISN = M + F(flow, key), where M ticks every 4 us (4.096 here: a shift instead of a division).
[[nodiscard]] inline Seq initial_sequence(const FlowSecrets& s, nmio::Time now) {
  return static_cast<Seq>(now >> 12) + s.isn;
}

}  // namespace stackrig::tcpip
