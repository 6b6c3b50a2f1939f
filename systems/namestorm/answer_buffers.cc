// SPDX-License-Identifier: Apache-2.0
#include "answer_buffers.h"

#include <algorithm>
#include <cstring>

namespace stackrig::namestorm {

AnswerBuffers::AnswerBuffers(std::uint32_t short_ones, std::uint32_t long_ones)
    : short_count_(short_ones),
      short_(std::make_unique_for_overwrite<std::byte[]>(std::size_t{short_ones} * kShort)),
      long_(std::make_unique_for_overwrite<std::byte[]>(std::size_t{long_ones} * kLong)) {
  for (std::uint32_t i = short_ones; i-- > 0;) free_short_.push_back(i);
  for (std::uint32_t i = long_ones; i-- > 0;) free_long_.push_back(short_ones + i);
}

std::byte* AnswerBuffers::at(std::uint64_t index) const {
  return index < short_count_ ? short_.get() + index * kShort
                              : long_.get() + (index - short_count_) * kLong;
}

std::optional<std::uint64_t> AnswerBuffers::add(std::span<const std::uint8_t> bytes) {
  std::vector<std::uint32_t>& pool =
      bytes.size() <= kShort && !free_short_.empty() ? free_short_ : free_long_;
  if (pool.empty() || bytes.size() > kLong) return {};
  const std::uint32_t index = pool.back();
  pool.pop_back();
  std::memcpy(at(index), bytes.data(), bytes.size());
  return index;
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
  (index < short_count_ ? free_short_ : free_long_).push_back(index);
}

}  // namespace stackrig::namestorm
