// SPDX-License-Identifier: Apache-2.0
// The hash of a name that NSEC3 records are owned by (RFC 5155 5), and its text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "dns/zone.h"

namespace stackrig::dns {

/// A zone that asks for more is refused: each question for a name that is not there would cost that
/// many hashes, several times. (RFC 5155 10.3 allows as many with the largest keys; RFC 9276 wants
/// none.)
inline constexpr std::uint16_t kMaxNsec3Iterations = 2500;

/// SHA-1 of the name in lower case, salted and repeated.
Nsec3Hash nsec3_hash(const Nsec3Parameters& parameters, const std::uint8_t* name);

/// From the first label of an NSEC3's owner: base 32 with the extended hex alphabet, no padding
/// (RFC 4648 7). False where it is none.
bool nsec3_hash_of(std::string_view text, Nsec3Hash& hash);

/// The label, with its length byte.
std::array<std::uint8_t, 33> nsec3_label(const Nsec3Hash& hash);

}  // namespace stackrig::dns
