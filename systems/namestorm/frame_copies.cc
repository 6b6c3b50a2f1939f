// SPDX-License-Identifier: Apache-2.0
// Making copies of answers, and taking them back.
#include "frame_copies.h"

#include <cstring>
#include <stdexcept>
#include <string>

#include "dns/message.h"
#include "wire/checksum.h"

namespace stackrig::namestorm {
namespace {

/// Of the payload in its chunk: Info, a device's metadata and the headers fit before.
constexpr std::uint32_t kPayloadAt = 128;
/// Steps of 64 bytes by which payloads are set apart: in chunks 2 KiB from each other they would
/// all fall into the same sets of the first-level cache.
constexpr std::uint32_t kColours = 8;

}  // namespace

FrameCopies::FrameCopies(nmio::PacketMemory& memory, std::uint32_t budget)
    : memory_(memory), budget_(budget) {
  constexpr std::uint32_t kNeeded = kPayloadAt + (kColours - 1) * 64 + dns::kUdpPayload + kSlack;
  if (memory.chunk_size() < kNeeded) {
    throw std::invalid_argument("precopy: chunks of " + std::to_string(memory.chunk_size()) +
                                " bytes are too short for an answer; it needs " +
                                std::to_string(kNeeded));
  }
}

std::byte* FrameCopies::payload(nmio::ChunkId c) const {
  return memory_.data(c) + kPayloadAt + std::size_t{c % kColours} * 64;
}

void FrameCopies::start_edition(std::uint64_t number, std::size_t answers) {
  edition_ = number;
  for (std::size_t i = answers; i < homes_.size(); ++i) {
    for (nmio::ChunkId c; (c = memory_.take(homes_[i])) != nmio::kNoChunk;) {
      memory_.set_home(c, nmio::kPool);
      memory_.give_back(c);
      --made_;
    }
  }
  while (homes_.size() < answers) homes_.push_back(memory_.make_home());
}

nmio::ChunkId FrameCopies::make(nmio::HomeId home) {
  if (made_ >= budget_) return nmio::kNoChunk;
  const nmio::ChunkId c = memory_.take();
  if (c == nmio::kNoChunk) return c;
  memory_.set_home(c, home);
  info(c).edition = 0;
  ++made_;
  return c;
}

void FrameCopies::fill(nmio::ChunkId c, const dns::CutAnswer& answer) {
  std::memcpy(payload(c), answer.payload(), answer.length);
  const std::size_t head = dns::Header::kSize + answer.qname_len + 4U;
  info(c) = {edition_, wire::fold(wire::sum(answer.payload() + head, answer.length - head))};
}

FrameCopies::Copy FrameCopies::take(const dns::CutAnswer& answer) {
  const nmio::HomeId home = homes_[answer.number];
  nmio::ChunkId c = memory_.take(home);
  if (c == nmio::kNoChunk) [[unlikely]]
    c = make(home);
  if (c == nmio::kNoChunk) [[unlikely]]
    return {};
  if (info(c).edition != edition_) [[unlikely]]
    fill(c, answer);
  return {c, payload(c), info(c).tail_sum};
}

}  // namespace stackrig::namestorm
