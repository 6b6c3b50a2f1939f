// SPDX-License-Identifier: Apache-2.0
// Making copies of answers, and taking them back.
#include "frame_copies.h"

#include <algorithm>
#include <bit>
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
    : memory_(memory), budget_(budget), home_mask_(std::bit_ceil(std::max(budget, 1U)) - 1) {
  constexpr std::uint32_t kNeeded = kPayloadAt + (kColours - 1) * 64 + dns::kUdpPayload + kSlack;
  if (memory.chunk_size() < kNeeded) {
    throw std::invalid_argument("precopy: chunks of " + std::to_string(memory.chunk_size()) +
                                " bytes are too short for an answer; it needs " +
                                std::to_string(kNeeded));
  }
  first_home_ = memory.make_home();
  for (std::uint32_t i = 0; i < home_mask_; ++i) memory.make_home();
}

std::byte* FrameCopies::payload(nmio::ChunkId c) const {
  return memory_.data(c) + kPayloadAt + std::size_t{c % kColours} * 64;
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
  info(c) = {edition_, answer.number,
             wire::fold(wire::sum(answer.payload() + head, answer.length - head))};
}

FrameCopies::Copy FrameCopies::take(const dns::CutAnswer& answer) {
  const nmio::HomeId home = first_home_ + (answer.number & home_mask_);
  nmio::ChunkId c = memory_.take(home);
  if (c == nmio::kNoChunk) [[unlikely]]
    c = make(home);
  if (c == nmio::kNoChunk) [[unlikely]]
    return {};
  if (info(c).edition != edition_ || info(c).answer != answer.number) [[unlikely]]
    fill(c, answer);
  return {c, payload(c), info(c).tail_sum};
}

}  // namespace stackrig::namestorm
