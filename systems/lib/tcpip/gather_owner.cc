// SPDX-License-Identifier: Apache-2.0
#include "tcpip/gather_owner.h"

#include <algorithm>

namespace stackrig::tcpip {

GatherOwner::GatherOwner(nmio::PacketMemory& memory, std::uint32_t max_messages,
                         std::uint32_t reference_from)
    : memory_(memory),
      reference_from_(reference_from),
      messages_(std::make_unique<Message[]>(max_messages)) {
  for (std::uint32_t i = max_messages; i-- > 0;) {
    messages_[i].next = free_;
    free_ = i;
  }
}

std::optional<std::uint64_t> GatherOwner::add(std::span<const Fragment> parts, DoneFn done,
                                              void* context) {
  if (free_ == kNone || parts.size() > kMaxParts) return std::nullopt;
  const std::uint32_t index = free_;
  Message& m = messages_[index];
  free_ = m.next;
  m.part_count = static_cast<std::uint8_t>(parts.size());
  m.bytes = 0;
  std::copy(parts.begin(), parts.end(), m.parts.begin());
  for (const Fragment& f : parts) m.bytes += f.len;
  m.done = done;
  m.context = context;
  ++held_;
  return index;
}

std::uint64_t GatherOwner::bytes(std::uint64_t cookie) const {
  return messages_[cookie].bytes;
}

bool GatherOwner::in_region(const Fragment& f) const {
  return f.data >= memory_.base() && f.data + f.len <= memory_.base() + memory_.size_bytes();
}

// One segment of at most `limit` bytes from `offset` on: references into the region, as many as a
// segment takes, or one piece of memory outside it, to be copied.
Segment GatherOwner::next_segment(const Message& m, std::uint64_t offset,
                                  std::uint64_t limit) const {
  Segment g;
  g.kind = Segment::Kind::gather;
  for (unsigned i = 0; i < m.part_count && limit != 0; ++i) {
    const Fragment& part = m.parts[i];
    if (offset >= part.len) {
      offset -= part.len;
      continue;
    }
    const auto len = static_cast<std::uint32_t>(std::min<std::uint64_t>(part.len - offset, limit));
    const bool inside = in_region(part);
    if (g.len != 0 && (!inside || g.fragments_used == g.fragments.size())) break;
    if (!inside) {
      g.kind = Segment::Kind::copy;
      g.data = const_cast<std::byte*>(part.data + offset);
      g.len = len;
      break;
    }
    g.fragments[g.fragments_used++] = {part.data + offset, len};
    g.len += len;
    limit -= len;
    offset = 0;
  }
  if (g.fragments_used == 1 && g.len < reference_from_) {
    g.kind = Segment::Kind::copy;
    g.data = const_cast<std::byte*>(g.fragments[0].data);
  }
  return g;
}

Fetched GatherOwner::fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                           std::uint32_t max_segment, std::span<Segment> out) {
  const Message& m = messages_[cookie];
  Fetched f;
  while (limit != 0 && f.segments < out.size()) {
    const Segment g = next_segment(m, offset, std::min<std::uint64_t>(limit, max_segment));
    if (g.len == 0) break;
    out[f.segments++] = g;
    offset += g.len;
    limit -= g.len;
  }
  return f;
}

bool GatherOwner::in_flight(const Message& m) const {
  for (unsigned i = 0; i < m.part_count; ++i) {
    const Fragment& f = m.parts[i];
    if (f.len == 0 || !in_region(f)) continue;
    const nmio::ChunkId last = memory_.chunk_of(f.data + f.len - 1);
    for (nmio::ChunkId c = memory_.chunk_of(f.data); c <= last; ++c) {
      if (memory_.in_flight(c) != 0) return true;
    }
  }
  return false;
}

void GatherOwner::finish(std::uint32_t index) {
  Message& m = messages_[index];
  const DoneFn done = m.done;
  void* const context = m.context;
  m.next = free_;
  free_ = index;
  --held_;
  if (done != nullptr) done(context, index);
}

void GatherOwner::released(std::uint64_t cookie) {
  const auto index = static_cast<std::uint32_t>(cookie);
  if (in_flight(messages_[index])) {
    messages_[index].next = lingering_;
    lingering_ = index;
  } else {
    finish(index);
  }
}

void GatherOwner::poll() {
  std::uint32_t i = lingering_;
  lingering_ = kNone;
  while (i != kNone) {
    const std::uint32_t next = messages_[i].next;
    if (in_flight(messages_[i])) {
      messages_[i].next = lingering_;
      lingering_ = i;
    } else {
      finish(i);
    }
    i = next;
  }
}

}  // namespace stackrig::tcpip
