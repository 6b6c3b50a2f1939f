// SPDX-License-Identifier: Apache-2.0
// Response heads: the bytes before a body, with the range in them that differs between responses.
//
// Date and Connection stand next to each other, and both values of Connection have the same length
// (white space before a field value is legal, RFC 9110 5.5), so that one cut head serves every
// response.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tcpip/frame_owner.h"

namespace stackrig::sandstorm {

struct ResponseHead {
  std::string bytes;  ///< with zeroes in the stamp's range
  tcpip::StampRange stamp;
};

/// `extra` holds further whole field lines, each with its CRLF.
ResponseHead make_head(unsigned status, std::string_view content_type, std::uint64_t content_length,
                       std::string_view extra = {});

[[nodiscard]] std::string_view reason_phrase(unsigned status);

/// The short page that says what went wrong.
[[nodiscard]] std::string error_page(unsigned status);

/// A stamp is the second that the response was made in, and whether the connection closes after it.
[[nodiscard]] constexpr std::uint64_t make_stamp(std::uint64_t unix_seconds, bool close) {
  return unix_seconds << 1 | (close ? 1U : 0U);
}

class HeadStamper final : public tcpip::Stamper {
 public:
  void render(std::uint64_t stamp, std::span<std::byte> range) override;
};

}  // namespace stackrig::sandstorm
