// SPDX-License-Identifier: Apache-2.0
// From the path of a request target to the path of a file below the document root:
// percent-decoding, then dot segments and empty segments (RFC 3986 5.2.4). What would leave the
// root is refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace stackrig::http {

/// The decoded, normalised path; begins with '/', keeps a trailing '/'. Nothing where an escape is
/// malformed, a NUL is escaped, or a dot segment leaves the root.
std::optional<std::string> normalise_path(std::string_view path);

}  // namespace stackrig::http
