// SPDX-License-Identifier: Apache-2.0
// Prepackaged frames: cutting, circulating copies, stamping, slicing.
#include "tcpip/frame_owner.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "wire/checksum.h"

namespace stackrig::tcpip {
namespace {

constexpr std::uint64_t kStampMask = (std::uint64_t{1} << PackagedContent::kStampBits) - 1;
constexpr std::uint64_t kNoStamp = ~std::uint64_t{0};
constexpr unsigned kLooks = 8;  ///< frames looked at for a copy that is not needed: bounded work

}  // namespace

PackagedContent::PackagedContent(nmio::PacketMemory& memory, const Config& config, Stamper* stamper)
    : memory_(memory), config_(config), stamper_(stamper), scratch_(config.segment_bytes) {
  static_assert(sizeof(CopyInfo) + kHeaderRoom <= kPayloadAt);
  if (config_.segment_bytes == 0 || config_.segment_bytes + kPayloadAt > memory_.chunk_size()) {
    throw std::invalid_argument("segments of " + std::to_string(config_.segment_bytes) +
                                " bytes do not fit packet chunks of " +
                                std::to_string(memory_.chunk_size()) + " bytes");
  }
  config_.copies = std::max(config_.copies, 1U);
}

PackagedContent::CopyInfo& PackagedContent::info(nmio::ChunkId c) const {
  return *reinterpret_cast<CopyInfo*>(memory_.data(c));
}

ContentId PackagedContent::add(std::span<const std::byte> head, std::span<const std::byte> body,
                               StampRange stamp) {
  if (contents_.size() >= kMaxContents)
    throw std::length_error("more contents than a cookie can name");
  if (stamp.len != 0 && (stamper_ == nullptr || stamp.offset + stamp.len > head.size() ||
                         stamp.offset + stamp.len > config_.segment_bytes)) {
    throw std::invalid_argument("the stamp does not lie in the first segment of the head");
  }
  const std::uint64_t total = head.size() + body.size();
  if (chunks_for(total, config_.segment_bytes) > memory_.free_count()) {
    throw std::length_error("packet memory is used up: give the port more chunks");
  }
  contents_.push_back({total, static_cast<std::uint32_t>(frames_.size()),
                       static_cast<std::uint32_t>(head.size()), stamp});
  for (std::uint64_t at = 0; at < total; at += config_.segment_bytes) {
    const nmio::ChunkId c = memory_.take();
    Frame frame{memory_.make_home(), c, 0, 0};
    frame.len =
        static_cast<std::uint16_t>(std::min<std::uint64_t>(config_.segment_bytes, total - at));
    std::byte* to = payload(c);
    std::uint64_t done = 0;
    if (at < head.size()) {
      done = std::min<std::uint64_t>(head.size() - at, frame.len);
      std::memcpy(to, head.data() + at, done);
    }
    if (done < frame.len)
      std::memcpy(to + done, body.data() + (at + done - head.size()), frame.len - done);
    if (at == 0 && stamp.len != 0) std::memset(to + stamp.offset, 0, stamp.len);
    frame.sum = wire::fold(wire::sum(to, frame.len));
    info(c) = {kNoStamp, frame.sum};
    memory_.set_home(c, frame.home);
    memory_.give_back(c);
    frames_.push_back(frame);
    ++counters_.frames_cut;
  }
  return static_cast<ContentId>(contents_.size() - 1);
}

Fetched PackagedContent::fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                               std::uint32_t max_segment, std::span<Segment> out) {
  const Content& content = contents_[cookie >> kStampBits];
  const std::uint64_t stamp = cookie & kStampMask;
  limit = std::min(limit, content.bytes - offset);
  Fetched result;
  auto index = static_cast<std::uint32_t>(offset / config_.segment_bytes);
  auto from = static_cast<std::uint32_t>(offset % config_.segment_bytes);
  while (limit != 0 && result.segments < out.size()) {
    const Frame& frame = frames_[content.first_frame + index];
    Segment& segment = out[result.segments];
    if (from == 0 && frame.len <= max_segment && frame.len <= limit) {
      whole_frame(content, index, stamp, segment);
    } else if (from == 0 && result.segments != 0 && frame.len <= max_segment) {
      break;  // a window that ends inside a frame: the frame goes whole, later
    } else {
      const auto len = static_cast<std::uint32_t>(
          std::min<std::uint64_t>({limit, max_segment, std::uint64_t{frame.len} - from}));
      slice(content, index, from, len, stamp, segment);
    }
    ++result.segments;
    limit -= segment.len;
    from += segment.len;
    if (from == frame.len) {
      ++index;
      from = 0;
    }
  }
  return result;
}

void PackagedContent::whole_frame(const Content& content, std::uint32_t index, std::uint64_t stamp,
                                  Segment& out) {
  const Frame& frame = frames_[content.first_frame + index];
  const bool precopy = config_.mode == SendMode::precopy;
  const nmio::ChunkId c = precopy ? take_copy(frame) : frame.master;
  if (c == nmio::kNoChunk) {
    copied_frame(content, index, stamp, out);
    return;
  }
  CopyInfo& copy = info(c);
  if (index == 0 && content.stamp.len != 0 && copy.stamp != stamp) {
    stamp_copy(content, frame, c, stamp);
  }
  out.kind = precopy ? Segment::Kind::frame : Segment::Kind::copy;
  out.chunk = precopy ? c : nmio::kNoChunk;
  out.data = payload(c);
  out.len = frame.len;
  out.payload_sum = index == 0 ? copy.sum : frame.sum;
  out.sum_known = true;
}

nmio::ChunkId PackagedContent::take_copy(const Frame& frame) {
  if (memory_.free_count(frame.home) <= config_.low_mark) add_copies(frame);
  return memory_.take(frame.home);
}

void PackagedContent::add_copies(const Frame& frame) {
  for (std::uint32_t i = 0; i < config_.copies; ++i) {
    const nmio::ChunkId c = chunk_for_copy();
    if (c == nmio::kNoChunk) {
      ++counters_.out_of_chunks;
      return;
    }
    // The master may be in the transmit ring: its payload may be read there, and its stamp is
    // replaced.
    std::memcpy(payload(c), payload(frame.master), frame.len);
    info(c) = {kNoStamp, frame.sum};
    memory_.set_home(c, frame.home);
    memory_.give_back(c);
    ++counters_.copies_made;
  }
}

// From the pool while it has more than its reserve; then from a frame with several idle copies:
// what clients ask for most changes, and copies are never given back.
nmio::ChunkId PackagedContent::chunk_for_copy() {
  if (memory_.free_count() > config_.reserve) return memory_.take();
  for (unsigned i = 0; i < kLooks; ++i) {
    if (++hand_ >= frames_.size()) hand_ = 0;
    const Frame& idle = frames_[hand_];
    if (memory_.free_count(idle.home) < config_.low_mark + 2) continue;
    nmio::ChunkId c = memory_.take(idle.home);
    if (c == idle.master) {
      c = memory_.take(idle.home);
      memory_.give_back(idle.master);
    }
    ++counters_.moved;
    return c;
  }
  return nmio::kNoChunk;
}

// Every copy is with the device and no more may be made: the payload goes out in a chunk of the
// pool, which comes back to it.
void PackagedContent::copied_frame(const Content& content, std::uint32_t index, std::uint64_t stamp,
                                   Segment& out) {
  const Frame& frame = frames_[content.first_frame + index];
  out.kind = Segment::Kind::copy;
  out.chunk = nmio::kNoChunk;
  out.data = source_of(content, index, stamp);
  out.len = frame.len;
  out.payload_sum = frame.sum;
  if (out.data == scratch_.data()) {
    out.payload_sum =
        stamped_sum(content, frame, {out.data + content.stamp.offset, content.stamp.len});
  }
  out.sum_known = true;
  ++counters_.copied;
}

void PackagedContent::stamp_copy(const Content& content, const Frame& frame, nmio::ChunkId c,
                                 std::uint64_t stamp) {
  const std::span<std::byte> range{payload(c) + content.stamp.offset, content.stamp.len};
  stamper_->render(stamp, range);
  info(c) = {stamp, stamped_sum(content, frame, range)};
  ++counters_.stamped;
}

std::uint16_t PackagedContent::stamped_sum(const Content& content, const Frame& frame,
                                           std::span<const std::byte> range) const {
  wire::PartialSum s = wire::sum(range);
  if ((content.stamp.offset & 1) != 0) s = wire::swap_bytes(s);
  return wire::fold(s + frame.sum);
}

// A frame's payload, to be copied.
std::byte* PackagedContent::source_of(const Content& content, std::uint32_t index,
                                      std::uint64_t stamp) {
  const Frame& frame = frames_[content.first_frame + index];
  std::byte* source = payload(frame.master);
  if (index != 0 || content.stamp.len == 0) return source;
  // The master may be on its way with another stamp: render into a scratch frame instead.
  std::memcpy(scratch_.data(), source, frame.len);
  stamper_->render(stamp, {scratch_.data() + content.stamp.offset, content.stamp.len});
  return scratch_.data();
}

void PackagedContent::slice(const Content& content, std::uint32_t index, std::uint32_t from,
                            std::uint32_t len, std::uint64_t stamp, Segment& out) {
  out.kind = Segment::Kind::copy;
  out.chunk = nmio::kNoChunk;
  out.data = source_of(content, index, stamp) + from;
  out.len = len;
  out.sum_known = false;
  ++counters_.slices;
}

}  // namespace stackrig::tcpip
