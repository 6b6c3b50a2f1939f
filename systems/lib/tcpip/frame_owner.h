// SPDX-License-Identifier: Apache-2.0
// Content that is cut into whole frames once and sent many times (thesis 3.2.2).
//
// A content is a head (say, HTTP's response header) and a body, cut together into segments whose
// payload sums are known, so that sending one touches its headers only. Two ways to send:
//
//   precopy  Several copies of each frame circulate; a free one goes out itself. Where the free
//            copies fall to a low mark, more are made, and kept: from the pool, but not below its
//            reserve, then from frames that have more than they need. Where there is none to be had
//            the frame is copied as with memcpy.
//   memcpy   One long-lived copy; the core copies it into a fresh chunk for each transmission.
//
// A retransmission asks for the same offset again and finds the frame by it: nothing is buffered. A
// request that does not match a frame (a peer with a small MSS, an ACK inside a frame, a window
// that ends in one) is answered with a slice to be copied.
//
// One range of the head may be a stamp: bytes of fixed length that differ between responses (HTTP's
// Date and Connection). Its value travels in the write's cookie, so that a retransmission sends the
// same bytes as the original did; a copy that last went out with another value is stamped anew.
//
// Thread: the one that owns the packet memory. add() may throw; the rest counts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nmio/packet_memory.h"
#include "tcpip/owner.h"

namespace stackrig::tcpip {

enum class SendMode : std::uint8_t { precopy, memcpy };

using ContentId = std::uint32_t;

/// The bytes of a head that differ between responses.
struct StampRange {
  std::uint32_t offset = 0;  ///< in the head; the range lies within the first segment
  std::uint32_t len = 0;     ///< 0: no stamp
};

/// Writes a stamp's bytes. Called once per copy and value, not per packet.
class Stamper {
 public:
  virtual ~Stamper() = default;
  virtual void render(std::uint64_t stamp, std::span<std::byte> range) = 0;
};

class PackagedContent final : public ByteOwner {
 public:
  struct Config {
    SendMode mode = SendMode::precopy;
    std::uint32_t segment_bytes = kDefaultSegmentBytes;
    std::uint32_t low_mark = 0;  ///< precopy: make copies when no more than this many are free
    std::uint32_t copies = 1;    ///< precopy: how many to make then
    /// precopy: chunks of the pool that copies leave alone. Copies are kept for ever; the rings and
    /// every SYN-ACK, ACK and slice live on what is left.
    std::uint32_t reserve = 512;
  };
  struct Counters {
    std::uint64_t frames_cut = 0;
    std::uint64_t copies_made = 0;    ///< precopy: beyond the first of each frame
    std::uint64_t slices = 0;         ///< segments that matched no frame
    std::uint64_t stamped = 0;        ///< frames stamped anew
    std::uint64_t out_of_chunks = 0;  ///< a copy was wanted and the pool was at its reserve
    std::uint64_t moved = 0;          ///< copies that another frame had too many of
    std::uint64_t copied = 0;         ///< precopy: frames sent as with memcpy
  };
  static constexpr unsigned kStampBits = 40;
  static constexpr std::uint32_t kMaxContents = 1U << (64 - kStampBits);
  static constexpr std::uint32_t kPayloadAt =
      128;  ///< in the chunk; kHeaderRoom and CopyInfo fit before

  /// Throws std::invalid_argument where a segment does not fit a chunk.
  PackagedContent(nmio::PacketMemory& memory, const Config& config, Stamper* stamper = nullptr);

  /// Cuts head and body into frames. Throws std::length_error where the packet memory is used up.
  ContentId add(std::span<const std::byte> head, std::span<const std::byte> body,
                StampRange stamp = {});
  /// Chunks that add() takes for `bytes` bytes of head and body.
  [[nodiscard]] static std::uint64_t chunks_for(std::uint64_t bytes, std::uint32_t segment_bytes) {
    return (bytes + segment_bytes - 1) / segment_bytes;
  }

  [[nodiscard]] static std::uint64_t cookie(ContentId id, std::uint64_t stamp) {
    return (std::uint64_t{id} << kStampBits) | stamp;
  }
  [[nodiscard]] std::uint64_t bytes(ContentId id) const { return contents_[id].bytes; }
  [[nodiscard]] std::uint32_t head_bytes(ContentId id) const { return contents_[id].head_bytes; }
  [[nodiscard]] const Counters& counters() const { return counters_; }

  Fetched fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                std::uint32_t max_segment, std::span<Segment> out) override;

 private:
  struct Content {
    std::uint64_t bytes;
    std::uint32_t first_frame;
    std::uint32_t head_bytes;
    StampRange stamp;
  };
  /// One frame: its set of copies, and the sum of its payload without the stamp.
  struct Frame {
    nmio::HomeId home;
    nmio::ChunkId master;  ///< any chunk of the set: its payload, less the stamp, never changes
    std::uint16_t len;
    std::uint16_t sum;
  };
  /// Lies at the start of each copy's chunk, before the room for headers.
  struct CopyInfo {
    std::uint64_t stamp;
    std::uint16_t sum;  ///< of the payload with that stamp
  };

  [[nodiscard]] std::byte* payload(nmio::ChunkId c) const { return memory_.data(c) + kPayloadAt; }
  [[nodiscard]] CopyInfo& info(nmio::ChunkId c) const;
  nmio::ChunkId take_copy(const Frame& frame);
  void add_copies(const Frame& frame);
  nmio::ChunkId chunk_for_copy();
  void whole_frame(const Content& content, std::uint32_t index, std::uint64_t stamp, Segment& out);
  void copied_frame(const Content& content, std::uint32_t index, std::uint64_t stamp, Segment& out);
  std::byte* source_of(const Content& content, std::uint32_t index, std::uint64_t stamp);
  void slice(const Content& content, std::uint32_t index, std::uint32_t from, std::uint32_t len,
             std::uint64_t stamp, Segment& out);
  void stamp_copy(const Content& content, const Frame& frame, nmio::ChunkId c, std::uint64_t stamp);
  [[nodiscard]] std::uint16_t stamped_sum(const Content& content, const Frame& frame,
                                          std::span<const std::byte> range) const;

  nmio::PacketMemory& memory_;
  Config config_;
  Stamper* stamper_;
  std::vector<Content> contents_;
  std::vector<Frame> frames_;
  std::vector<std::byte> scratch_;  ///< a first frame to be copied, with its stamp
  std::uint32_t hand_ = 0;          ///< where to look next for copies that are not needed
  Counters counters_;
};

}  // namespace stackrig::tcpip
