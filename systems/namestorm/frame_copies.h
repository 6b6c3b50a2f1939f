// SPDX-License-Identifier: Apache-2.0
// Ready frames (thesis 3.2.3, pre-copy): of every answer some copies circulate, each in a chunk of
// its own, and one that is not in flight is sent as it is, its headers and the bytes of the
// question rewritten. A device that has sent a copy gives it back to its home, the answer's set.
//
// Copies are made when they are wanted and kept, up to a budget, so that the chunks that packets
// are received into never run out. There are as many homes as copies can be, from the start: going
// over to another edition, however large, is no work at all, because a receive ring lasts less than
// a millisecond. Where a later edition has more answers than that, some share a home. A copy says
// what it was made of; one of another answer or edition, which may still have been in flight when
// its successor came, is made anew where it lies.
//
// Thread: the one that owns the packet memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dns/answer_table.h"
#include "nmio/packet_memory.h"

namespace stackrig::namestorm {

class FrameCopies {
 public:
  /// What a copy needs after its payload: OPT.
  static constexpr std::size_t kSlack = dns::kOptSize;

  /// At most `budget` chunks of `memory` become copies; nobody else makes homes meanwhile. Throws
  /// std::invalid_argument where an answer of the longest kind does not fit a chunk.
  FrameCopies(nmio::PacketMemory& memory, std::uint32_t budget);

  /// The answers are now those of edition `number`.
  void start_edition(std::uint64_t number) { edition_ = number; }

  struct Copy {
    nmio::ChunkId chunk = nmio::kNoChunk;  ///< kNoChunk: none is free and none can be made
    std::byte* payload = nullptr;
    std::uint32_t tail_sum = 0;  ///< wire::sum() of the payload behind the question, folded
  };
  /// A copy of `answer`, the caller's until it is sent.
  Copy take(const dns::CutAnswer& answer);

  [[nodiscard]] std::uint32_t made() const { return made_; }

 private:
  /// Lies at the start of each copy's chunk.
  struct Info {
    std::uint64_t edition;
    std::uint32_t answer;  ///< its number
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
  nmio::HomeId first_home_ = 0;
  std::uint32_t home_mask_;  ///< of an answer's number: its home, counted from the first
};

}  // namespace stackrig::namestorm
