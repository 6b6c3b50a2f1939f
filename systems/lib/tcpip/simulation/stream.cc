// SPDX-License-Identifier: Apache-2.0
#include "tcpip/simulation/stream.h"

#include <algorithm>
#include <cstring>

#include "wire/checksum.h"

namespace stackrig::tcpip::simulation {
namespace {

constexpr std::uint64_t kTable = 65521;  // a prime: no power of two of bytes repeats
constexpr std::uint64_t kDiskRead = 16384;
constexpr std::uint32_t kFrameAt = 128;  // payload of a frame in its chunk

const std::vector<std::uint8_t>& table() {
  static const std::vector<std::uint8_t> kBytes = [] {
    Random r(7);
    std::vector<std::uint8_t> b(kTable);
    for (auto& x : b) x = static_cast<std::uint8_t>(r.next());
    return b;
  }();
  return kBytes;
}

}  // namespace

std::uint8_t stream_byte(std::uint64_t number, std::uint64_t at) {
  return table()[(number * 7919 + at) % kTable];
}

Stream::Stream(std::uint64_t number, const SidePlan& plan, nmio::PacketMemory& memory,
               std::uint64_t seed, std::function<void(Time)> later)
    : plan_(plan), memory_(memory), random_(seed), later_(std::move(later)) {
  if (plan_.owner == OwnerKind::gather) {
    const std::uint64_t chunks = plan_.bytes / memory.chunk_size() + 1;
    // A region of its own would be nicer than half of what packets need.
    const bool fits = chunks * 4 < memory.free_count();
    const nmio::ChunkId first =
        fits ? memory.reserve_contiguous(static_cast<std::uint32_t>(chunks)) : nmio::kNoChunk;
    if (first != nmio::kNoChunk) bytes_ = memory.data(first);
  }
  if (bytes_ == nullptr) {
    if (plan_.owner == OwnerKind::gather) plan_.owner = OwnerKind::copy;
    own_.resize(plan_.bytes + 1);
    bytes_ = own_.data();
  }
  for (std::uint64_t i = 0; i < plan_.bytes; ++i) bytes_[i] = std::byte{stream_byte(number, i)};
}

std::uint64_t Stream::add_write(std::uint64_t begin, std::uint64_t bytes) {
  writes_.push_back({begin, bytes});
  return writes_.size() - 1;
}

bool Stream::all_released() const {
  return std::all_of(writes_.begin(), writes_.end(), [](const Write& w) { return w.released; });
}

Fetched Stream::fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                      std::uint32_t max_segment, std::span<Segment> out) {
  if (cookie >= writes_.size()) throw Broken("fetch of a write that never was");
  const Write& w = writes_[cookie];
  if (w.released) throw Broken("fetch of a write that is released");
  if (offset < w.acked) throw Broken("fetch of bytes that are acknowledged");
  if (limit == 0 || offset + limit > w.bytes) throw Broken("fetch beyond a write");
  if (out.empty() || max_segment == 0) throw Broken("fetch of nothing");
  std::uint64_t at = w.begin + offset;
  if (plan_.owner == OwnerKind::disk) {
    if (!disk_has(at)) return {0, false};
    limit = std::min(limit, cached_to_ - at);
  }
  Fetched f;
  while (limit != 0 && f.segments < out.size()) {
    auto len = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, max_segment));
    if (plan_.owner == OwnerKind::ragged) {
      if (f.segments != 0 && random_.once_in(4)) break;
      if (random_.once_in(4)) len = static_cast<std::uint32_t>(random_.between(1, len));
    }
    if (!make_segment(at, len, out[f.segments])) break;
    ++f.segments;
    at += len;
    limit -= len;
  }
  return f;
}

// One piece of the stream is in memory at a time; asking for another makes it wait.
bool Stream::disk_has(std::uint64_t at) {
  if (loading_) return false;
  if (at >= cached_from_ && at < cached_to_) return true;
  cached_from_ = at;
  cached_to_ = std::min(at + kDiskRead, plan_.bytes);
  loading_ = true;
  later_(plan_.owner_delay);
  return false;
}

bool Stream::make_segment(std::uint64_t at, std::uint32_t len, Segment& out) {
  out = {};
  out.len = len;
  out.data = bytes_ + at;
  switch (plan_.owner) {
    case OwnerKind::frame: {
      const nmio::ChunkId chunk = memory_.take();
      if (chunk == nmio::kNoChunk) return false;
      out.kind = Segment::Kind::frame;
      out.chunk = chunk;
      out.data = memory_.data(chunk) + kFrameAt;
      std::memcpy(out.data, bytes_ + at, len);
      break;
    }
    case OwnerKind::gather: {
      out.kind = Segment::Kind::gather;
      out.fragments_used = static_cast<std::uint8_t>(random_.between(1, std::min(4U, len)));
      std::uint32_t done = 0;
      for (unsigned i = 0; i < out.fragments_used; ++i) {
        const bool last = i + 1U == out.fragments_used;
        const std::uint32_t part = last ? len - done : len / out.fragments_used;
        out.fragments[i] = {bytes_ + at + done, part};
        done += part;
      }
      break;
    }
    case OwnerKind::summed:
      out.sum_known = true;
      out.payload_sum = wire::fold(wire::sum(out.data, len));
      break;
    default:
      break;
  }
  return true;
}

void Stream::acked(std::uint64_t cookie, std::uint64_t offset) {
  Write& w = writes_.at(cookie);
  if (w.released) throw Broken("acknowledgement of a write that is released");
  if (offset < w.acked || offset > w.bytes) throw Broken("an owner's acknowledgement goes back");
  w.acked = offset;
}

void Stream::released(std::uint64_t cookie) {
  Write& w = writes_.at(cookie);
  if (w.released) throw Broken("a write is released twice");
  w.released = true;
}

}  // namespace stackrig::tcpip::simulation
