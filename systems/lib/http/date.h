// SPDX-License-Identifier: Apache-2.0
// Dates as HTTP writes them (RFC 9110 5.6.7), always 29 bytes: "Sun, 06 Nov 1994 08:49:37 GMT".
#pragma once

#include <cstdint>
#include <span>

namespace stackrig::http {

inline constexpr std::size_t kDateBytes = 29;

/// `unix_seconds` since 1970-01-01 UTC, years 1970 to 9999.
void write_date(std::uint64_t unix_seconds, std::span<char, kDateBytes> out);

}  // namespace stackrig::http
