// SPDX-License-Identifier: Apache-2.0
// Request targets (RFC 9112 3.2) and hosts: origin form, and absolute form with the authority taken
// off.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/request.h"
#include "http/scan.h"

namespace stackrig::http {

/// A host is a name or an address with an optional port (RFC 9110 7.2); this is what nginx asks of
/// it.
bool good_host(std::string_view v);

/// Reads the target at `p`, fills in path and query, and moves `p` to the blank or line end behind
/// it; there is one in the window. 0, or the status that refuses it.
std::uint16_t parse_target(Window w, const char*& p, Request& r);

}  // namespace stackrig::http
