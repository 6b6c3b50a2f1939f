// SPDX-License-Identifier: Apache-2.0
#include "answer_buffers.h"

#include <algorithm>
#include <cstring>

namespace stackrig::namestorm {

std::byte* AnswerBuffers::at(std::uint64_t cookie) const {
  const auto index = static_cast<std::uint32_t>(cookie);
  return index < short_.count() ? short_.at(index) : long_.at(index - short_.count());
}

std::optional<std::uint64_t> AnswerBuffers::add(std::span<const std::uint8_t> bytes,
                                                TcpConnection& holder) {
  const bool fits_short = bytes.size() <= kShort && short_.free() != 0;
  const std::uint32_t index = (fits_short ? short_ : long_).take(holder);
  if (index == BufferPool::kNone) return {};
  const std::uint64_t cookie = fits_short ? index : std::uint64_t{short_.count()} + index;
  std::memcpy(at(cookie), bytes.data(), bytes.size());
  return cookie;
}

tcpip::Fetched AnswerBuffers::fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                                    std::uint32_t max_segment, std::span<tcpip::Segment> out) {
  tcpip::Fetched f;
  while (limit != 0 && f.segments < out.size()) {
    tcpip::Segment s;
    s.kind = tcpip::Segment::Kind::copy;
    s.data = at(cookie) + offset;
    s.len = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, max_segment));
    offset += s.len;
    limit -= s.len;
    out[f.segments++] = s;
  }
  return f;
}

void AnswerBuffers::released(std::uint64_t cookie) {
  const auto index = static_cast<std::uint32_t>(cookie);
  if (index < short_.count()) {
    short_.give_back(index);
  } else {
    long_.give_back(index - short_.count());
  }
}

}  // namespace stackrig::namestorm
