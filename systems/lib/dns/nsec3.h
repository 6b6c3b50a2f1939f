// SPDX-License-Identifier: Apache-2.0
// The hash of a name that NSEC3 records are owned by (RFC 5155 5), and its text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "dns/zone.h"

namespace stackrig::dns {

/// A zone that asks for more is refused when it is loaded: each question for a name that is not
/// there costs that many hashes and one. NSD and Knot DNS have no limit; a validator takes such a
/// zone for unsigned, or fails it (RFC 9276 3.2, where 0 is asked for), so that nothing is gained
/// by serving it.
inline constexpr std::uint16_t kMaxNsec3Iterations = 150;

/// SHA-1 of the name in lower case, salted and repeated. No allocation, no lock.
Nsec3Hash nsec3_hash(const Nsec3Parameters& parameters, const std::uint8_t* name);

/// From the first label of an NSEC3's owner: base 32 with the extended hex alphabet, no padding
/// (RFC 4648 7). False where it is none.
bool nsec3_hash_of(std::string_view text, Nsec3Hash& hash);

/// The label, with its length byte.
std::array<std::uint8_t, 33> nsec3_label(const Nsec3Hash& hash);

}  // namespace stackrig::dns
