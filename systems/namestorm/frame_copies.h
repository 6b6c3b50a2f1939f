// SPDX-License-Identifier: Apache-2.0
// Ready frames (thesis 3.2.3, pre-copy): of every answer some copies circulate, each in a chunk of
// its own, and one that is not in flight is sent as it is, its headers and the bytes of the
// question rewritten. A device that has sent a copy gives it back to its home, the answer's set.
//
// Copies are made when they are wanted and kept, up to a budget, so that the chunks that packets
// are received into never run out. Homes outlive an edition: a copy that was made of an earlier
// one, which may still have been in flight when its successor came, is seen by its edition number
// and made anew where it lies.
//
// Thread: the one that owns the packet memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dns/answer_table.h"
#include "nmio/packet_memory.h"

namespace stackrig::namestorm {

class FrameCopies {
 public:
  /// What a copy needs after its payload: OPT.
  static constexpr std::size_t kSlack = dns::kOptSize;

  /// At most `budget` chunks of `memory` become copies. Throws std::invalid_argument where an
  /// answer of the longest kind does not fit a chunk.
  FrameCopies(nmio::PacketMemory& memory, std::uint32_t budget);

  /// The answers are now those of edition `number`, `answers` of them. Gives back the copies of
  /// answers that are beyond.
  void start_edition(std::uint64_t number, std::size_t answers);

  struct Copy {
    nmio::ChunkId chunk = nmio::kNoChunk;  ///< kNoChunk: none is free and none can be made
    std::byte* payload = nullptr;
    std::uint32_t tail_sum = 0;  ///< wire::sum() of the payload behind the question, folded
  };
  /// A copy of `answer`, the caller's until it is sent.
  Copy take(const dns::CutAnswer& answer);
  /// Fetches what take() will look at.
  void prefetch(const dns::CutAnswer& answer) const { __builtin_prefetch(&homes_[answer.number]); }

  [[nodiscard]] std::uint32_t made() const { return made_; }

 private:
  /// Lies at the start of each copy's chunk.
  struct Info {
    std::uint64_t edition;
    std::uint32_t tail_sum;
  };
  [[nodiscard]] Info& info(nmio::ChunkId c) const {
    return *reinterpret_cast<Info*>(memory_.data(c));
  }
  [[nodiscard]] std::byte* payload(nmio::ChunkId c) const;
  nmio::ChunkId make(nmio::HomeId home);
  void fill(nmio::ChunkId c, const dns::CutAnswer& answer);

  nmio::PacketMemory& memory_;
  std::uint32_t budget_;
  std::uint32_t made_ = 0;
  std::uint64_t edition_ = 0;
  std::vector<nmio::HomeId> homes_;  ///< by the answer's number
};

}  // namespace stackrig::namestorm
