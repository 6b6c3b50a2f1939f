// SPDX-License-Identifier: Apache-2.0
// Reads a zone file (RFC 1035 5): records by ldns, lines and directives here, so that an error
// names the file and the line where the record begins, also behind $INCLUDE.
//
// Understood: $ORIGIN, $TTL, $INCLUDE (8 deep; paths are relative to the including file), and what
// ldns understands of a record, RFC 3597's unknown types among it. Not: $GENERATE, which is no
// standard; a record of more than 65000 characters, which ldns cannot take.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "dns/zone_set.h"

namespace stackrig::dns {

class Zone;

/// Throws ZoneError.
std::unique_ptr<const Zone> load_zone(const ZoneFile& file);
std::unique_ptr<const Zone> parse_zone(const ZoneText& text);

}  // namespace stackrig::dns
