// SPDX-License-Identifier: Apache-2.0
// The general path: any query to a whole answer. What the table of cut answers holds is made by it,
// and what the table does not hold is answered by it.
//
// Source: the algorithm of RFC 1034 4.3.2 with RFC 2181, 2308 (negative answers), 4592 (wildcards),
// 6604 (rcode of a chain), 6672 (DNAME), 6891 (EDNS0), 8482 (ANY), 9471 (glue), and 4035 and 5155
// for signed zones, whose signatures and denials are served as they stand in the file.
//
// A function of its arguments: no state, no clock, no allocation, no lock; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dns/query.h"
#include "dns/zone_set.h"

namespace stackrig::dns {

/// Writes the answer and returns its bytes: never 0, at most query.limit(transport). The least that
/// `out` must have room for is kPlainUdpPayload; what is longer than `out` is truncated. Nothing is
/// read that `out` held before. `query` is one that parse_query called a query.
std::size_t respond(const ZoneSet& zones, const Query& query, Transport transport,
                    std::span<std::uint8_t> out);

}  // namespace stackrig::dns
