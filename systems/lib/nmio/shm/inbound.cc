// SPDX-License-Identifier: Apache-2.0
// The receiving side of the soft NIC: frames are copied out of the peer's memory.
//
// The peer may be wrong or hostile: a descriptor is copied once and then checked, an index may only
// be ahead by a ring, and nothing that the peer can still change is read twice with consequences.
#include <algorithm>

#include "nmio/shm/queue.h"

namespace stackrig::nmio::shm {
namespace {

/// How many descriptors ahead frames are fetched into the cache: about the time that a line takes
/// to come from another core, in frames.
constexpr std::uint32_t kPrefetchAhead = 6;
/// Up to here frames are copied in whole cache lines; longer ones by memcpy.
constexpr std::uint32_t kSmallFrame = 512;
constexpr std::uint32_t kLine = 64;

/// Copies `len` bytes, rounded up to whole lines: both sides have the room.
inline void copy_lines(std::byte* to, const std::byte* from, std::uint32_t len) {
  for (std::uint32_t i = 0; i < len; i += kLine) __builtin_memcpy(to + i, from + i, kLine);
}

/// Colours that chunks of this size have room for: 64-byte steps of the frame's start, so that
/// frames in chunks 2 KiB apart do not all fall into the same two sets of the first-level cache.
std::uint32_t colours(std::uint32_t chunk_size, std::uint32_t max_frame) {
  const std::uint32_t frame = (max_frame + kLine - 1) / kLine * kLine;
  std::uint32_t n = 16;
  while (n > 1 && (n - 1) * kLine + frame > chunk_size) n /= 2;
  return n;
}

}  // namespace

Inbound::Inbound(const Session& s, unsigned own_queue, unsigned peer_queue,
                 const QueueConfig& config, PacketMemory& memory)
    : ring_(s.peer_layout.ring(s.theirs.base(), peer_queue, own_queue)),
      peer_memory_(s.peer_memory[peer_queue].base()),
      memory_bytes_(s.peer_memory[peer_queue].bytes()),
      memory_(memory),
      mask_(s.peer_layout.ring() - 1),
      colours_(colours(config.chunk_size, config.max_frame) - 1),
      max_frame_(config.max_frame),
      large_receive_(config.large_receive),
      verify_(config.verify_checksum),
      checksum_(config.checksum),
      produced_index_(s.peer_layout.produced(s.theirs.base(), peer_queue, own_queue)),
      consumed_index_(s.own_layout.consumed(s.own.base(), own_queue, peer_queue)) {
}

bool Inbound::has_frames() const {
  return cut_.active || produced_index_->value.load(std::memory_order_seq_cst) != next_;
}

std::uint32_t Inbound::available(std::uint32_t wanted) {
  if (produced_ - next_ < wanted) {
    produced_ = produced_index_->value.load(std::memory_order_acquire);
    if (produced_ - next_ > mask_ + 1) {
      broken_ = true;
      produced_ = next_;
    }
  }
  return produced_ - next_;
}

unsigned Inbound::receive(std::span<RxPacket> out, QueueCounters& counters) {
  if (broken_) return 0;
  unsigned n = 0;
  if (cut_.active) n = cut_on(out, counters);
  if (n == out.size()) return n;
  const std::uint32_t before = next_;
  n += receive_new(out.subspan(n), counters);
  // What was copied is the peer's again; a packet that is being cut is still being read.
  if (next_ != before && !cut_.active)
    consumed_index_->value.store(next_, std::memory_order_release);
  return n;
}

unsigned Inbound::receive_new(std::span<RxPacket> out, QueueCounters& counters) {
  const auto wanted = static_cast<std::uint32_t>(out.size());
  std::uint32_t left = available(std::max<std::uint32_t>(wanted, kMaxParts));
  for (std::uint32_t i = 0; i < std::min(left, kPrefetchAhead); ++i) {
    __builtin_prefetch(peer_memory_ + ring_[(next_ + i) & mask_].offset());
  }
  unsigned n = 0;
  while (left != 0 && n < wanted) {
    if (left > kPrefetchAhead) {
      // Unchecked: a prefetch of an address that is not mapped does nothing.
      const Descriptor later = ring_[(next_ + kPrefetchAhead) & mask_];
      const std::byte* ahead = peer_memory_ + later.offset();
      for (std::uint32_t i = 0; i < std::min(later.len(), kSmallFrame); i += kLine)
        __builtin_prefetch(ahead + i);
    }
    const Descriptor d = ring_[next_ & mask_];
    if ((d.flags() & ~TxPacket::kChecksum) == 0) [[likely]] {
      n += copy_one(d, out[n], counters) ? 1 : 0;
      ++next_;
      --left;
      continue;
    }
    const std::uint32_t before = next_;
    n += receive_special(out.subspan(n), left, counters);
    if (next_ == before || cut_.active) break;
    left -= next_ - before;
  }
  return n;
}

/// The common case: a frame in one piece.
bool Inbound::copy_one(const Descriptor& d, RxPacket& out, QueueCounters& counters) {
  const std::uint32_t len = d.len();
  if (!lies_inside(d) || len > max_frame_ || len < 14) [[unlikely]] {
    ++counters.rx_dropped;
    return false;
  }
  const ChunkId chunk = memory_.take();
  if (chunk == kNoChunk) [[unlikely]] {
    ++counters.rx_dropped;
    return false;
  }
  std::byte* to = frame_place(chunk);
  const std::byte* from = peer_memory_ + d.offset();
  if (len <= kSmallFrame && d.offset() + kSmallFrame <= memory_bytes_) {
    copy_lines(to, from, len);
  } else {
    std::memcpy(to, from, len);
  }
  out = {.data = to, .len = len, .chunk = chunk, .rss_hash = d.hash(), .flags = 0};
  const bool left_to_device = (d.flags() & TxPacket::kChecksum) != 0;
  if (left_to_device && checksum_ && !verify_) [[likely]] {
    out.flags = RxPacket::kChecksumGood;
  } else if (left_to_device || verify_) {
    finish(out, left_to_device);
  }
  return true;
}

/// Checksums, as a receiving device does them. Where the sender left the sum to the device and ours
/// offers receive checksums, the frame is good by construction and the field keeps the pseudo
/// header's sum, as with virtio; else the sum is filled in.
void Inbound::finish(RxPacket& out, bool sum_left_to_device) {
  const std::span<std::byte> frame(out.data, out.len);
  L4Place place;
  if (sum_left_to_device) {
    if (checksum_ && !verify_) {
      out.flags = RxPacket::kChecksumGood;
      return;
    }
    if (!find_l4(frame, place)) return;
    fill_checksum(frame, place);
    out.flags = checksum_ ? RxPacket::kChecksumGood : 0;
    return;
  }
  if (checksum_ && find_l4(frame, place) && checksum_is_good(frame, place)) {
    out.flags = RxPacket::kChecksumGood;
  }
}

/// A packet of several descriptors, or one to be cut. Takes nothing where it is not all there yet.
unsigned Inbound::receive_special(std::span<RxPacket> out, std::uint32_t left,
                                  QueueCounters& counters) {
  cut_.parts = 0;
  std::uint64_t total = 0;
  bool valid = true;
  bool whole = false;
  while (!whole && cut_.parts < std::min(left, kMaxParts)) {
    const Descriptor d = ring_[(next_ + cut_.parts) & mask_];
    valid = valid && lies_inside(d);
    total += d.len();
    whole = (d.flags() & TxPacket::kMore) == 0;
    cut_.part[cut_.parts++] = d;
  }
  if (!whole && cut_.parts < kMaxParts && left <= mask_) return 0;  // the rest is to come
  next_ += cut_.parts;
  const Descriptor& first = cut_.part[0];
  const bool segment = (first.flags() & TxPacket::kSegment) != 0;
  if (!whole || !valid) {
    ++counters.rx_dropped;
    return 0;
  }
  if (segment) {
    cut_.header_len = first.header_len();
    cut_.hash = first.hash();
    const bool can = total > cut_.header_len &&
                     cut_.header_len + first.segment_size() <= max_frame_ &&
                     gather(0, cut_.headers.data(), cut_.header_len) &&
                     cut_.segmenter.start({cut_.headers.data(), cut_.header_len}, first.l4_offset(),
                                          static_cast<std::uint32_t>(total - cut_.header_len),
                                          piece_payload(first));
    if (!can) {
      ++counters.rx_dropped;
      return 0;
    }
    cut_.active = true;
    return cut_on(out, counters);
  }
  const ChunkId chunk = total <= max_frame_ && total >= 14 ? memory_.take() : kNoChunk;
  if (chunk == kNoChunk) {
    ++counters.rx_dropped;
    return 0;
  }
  out[0] = {.data = frame_place(chunk),
            .len = static_cast<std::uint32_t>(total),
            .chunk = chunk,
            .rss_hash = first.hash(),
            .flags = 0};
  gather(0, out[0].data, out[0].len);
  const bool left_to_device = (first.flags() & TxPacket::kChecksum) != 0;
  if (left_to_device || verify_) finish(out[0], left_to_device);
  return 1;
}

/// Payload of each piece that a large packet is cut into: one segment, or as many whole ones as
/// fit.
std::uint32_t Inbound::piece_payload(const Descriptor& first) const {
  const std::uint32_t segment = first.segment_size();
  const std::uint32_t headers = first.header_len();
  if (segment == 0 || large_receive_ < headers + segment) return segment;
  return (large_receive_ - headers) / segment * segment;
}

/// Makes as many segments of the packet that is being cut as there is room for.
unsigned Inbound::cut_on(std::span<RxPacket> out, QueueCounters& counters) {
  unsigned n = 0;
  while (n < out.size() && !cut_.segmenter.done()) {
    const std::uint32_t payload = cut_.segmenter.payload_len();
    const std::uint32_t offset = cut_.header_len + cut_.segmenter.payload_offset();
    const ChunkId chunk = memory_.take();
    if (chunk == kNoChunk) {
      std::array<std::byte, 256> lost;
      cut_.segmenter.next(lost.data());
      ++counters.rx_dropped;
      continue;
    }
    std::byte* to = frame_place(chunk);
    cut_.segmenter.next(to);
    gather(offset, to + cut_.header_len, payload);
    out[n] = {.data = to,
              .len = cut_.header_len + payload,
              .chunk = chunk,
              .rss_hash = cut_.hash,
              .flags = 0};
    finish(out[n], true);
    ++n;
  }
  if (cut_.segmenter.done()) {
    cut_.active = false;
    consumed_index_->value.store(next_, std::memory_order_release);
  }
  return n;
}

/// Copies bytes [offset, offset + len) of the packet in cut_.part; false where it is shorter.
bool Inbound::gather(std::uint32_t offset, std::byte* to, std::uint32_t len) const {
  for (unsigned i = 0; i < cut_.parts && len != 0; ++i) {
    const Descriptor& d = cut_.part[i];
    if (offset >= d.len()) {
      offset -= d.len();
      continue;
    }
    const std::uint32_t n = std::min(len, d.len() - offset);
    std::memcpy(to, peer_memory_ + d.offset() + offset, n);
    to += n;
    len -= n;
    offset = 0;
  }
  return len == 0;
}

}  // namespace stackrig::nmio::shm
