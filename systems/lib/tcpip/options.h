// SPDX-License-Identifier: Apache-2.0
// What a received segment's options mean to us, in one pass. Those that a SYN alone may carry are
// read from a SYN alone.
#pragma once

#include <cstddef>
#include <span>

#include "tcpip/segment_in.h"

namespace stackrig::tcpip {

bool parse_options_slowly(std::span<const std::byte> options, SegmentIn& s);

/// Fills in what the options say; false where the list could not be read to its end (what was read
/// before counts).
inline bool parse_options(std::span<const std::byte> options, SegmentIn& s) {
  s.has_timestamps = false;
  s.mss = 0;
  s.window_scale = kNoWindowScale;
  s.sack_permitted = false;
  s.user_timeout = 0;
  s.sack_blocks = 0;
  if (options.empty()) return true;
  if (const auto ts = wire::only_timestamps(options.data(), options.size())) {
    s.has_timestamps = true;
    s.ts_value = ts->value;
    s.ts_echo = ts->echo;
    return true;
  }
  return parse_options_slowly(options, s);
}

}  // namespace stackrig::tcpip
