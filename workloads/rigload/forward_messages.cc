// SPDX-License-Identifier: Apache-2.0
// Recording messages, and recording them again for the next time.
#include "rigload/forward_messages.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "rigload/random.h"
#include "wire/byte_order.h"

namespace stackrig::rigload {
namespace {

/// A block is what one write takes: large enough that system calls cost little per message.
constexpr std::uint32_t kBlockBytes = 64 * 1024;
constexpr std::uint64_t kStream = 0x666f7277;  ///< of the seed

void set_be32(std::byte* at, std::uint32_t value) {
  reinterpret_cast<wire::Be32*>(at)->set(value);
}

}  // namespace

ForwardMessages::ForwardMessages(const ForwardShape& shape)
    : shape_(shape),
      bytes_(static_cast<std::uint32_t>(shape.payload + thrift::kMsgOverhead)),
      per_block_(std::max(1U, kBlockBytes / bytes_)),
      text_(shape.payload + kWindows) {
  Random random(shape.seed, kStream);
  for (std::byte& b : text_) b = static_cast<std::byte>(random.next() >> 56);
}

MessageId ForwardMessages::id(std::uint32_t sender, std::uint64_t index) const {
  const std::uint64_t at = index + first_sink(sender);
  return {.sender = sender,
          .sink = static_cast<std::uint32_t>(at % shape_.sinks),
          .number = at / shape_.sinks};
}

std::uint64_t ForwardMessages::numbers_end(std::uint32_t sender, std::uint32_t sink,
                                           std::uint64_t sent) const {
  const std::uint64_t end = sent + first_sink(sender);
  const std::uint64_t numbers = end > sink ? (end - sink - 1) / shape_.sinks + 1 : 0;
  return std::max(numbers, numbers_begin(sender, sink));
}

/// The same for messages that come to lie in the same place of the sender's blocks.
const std::byte* ForwardMessages::payload(const MessageId& id) const {
  const std::uint64_t index = id.number * shape_.sinks + id.sink - first_sink(id.sender);
  const std::uint64_t place = index % (std::uint64_t{kBlocks} * per_block_);
  return text_.data() + (place + std::uint64_t{id.sender} * (kWindows / kMostSenders)) % kWindows;
}

void ForwardMessages::record(std::byte* at, std::uint32_t sender, std::uint64_t index) const {
  const auto* text = reinterpret_cast<const char*>(payload(id(sender, index)));
  thrift::Bytes message;
  thrift::write_msg(message, 0, 0, std::string_view(text, shape_.payload));
  std::memcpy(at, message.data(), message.size());
  patch(at, sender, index);
}

void ForwardMessages::patch(std::byte* at, std::uint32_t sender, std::uint64_t index) const {
  const MessageId which = id(sender, index);
  const std::uint32_t number = which.number & ((1U << kNumberBits) - 1);
  set_be32(at + thrift::kMsgSequenceAt, sender << kNumberBits | number);
  set_be32(at + thrift::kMsgKeyAt, which.sink);
}

ForwardSender::ForwardSender(const ForwardMessages& messages, std::uint32_t sender,
                             std::uint64_t most)
    : messages_(messages),
      sender_(sender),
      most_(most),
      blocks_(ForwardMessages::kBlocks),
      prepared_(ForwardMessages::kBlocks) {
  std::uint64_t index = 0;
  for (std::vector<std::byte>& block : blocks_) {
    block.resize(std::size_t{messages.per_block()} * messages.bytes());
    for (std::uint32_t i = 0; i < messages.per_block(); ++i)
      messages.record(block.data() + std::size_t{i} * messages.bytes(), sender, index++);
  }
}

const Prepared* ForwardSender::next() {
  if (in_use_ == ForwardMessages::kBlocks || sent_ == most_) return nullptr;
  const std::size_t at = block_++ % ForwardMessages::kBlocks;
  std::byte* bytes = blocks_[at].data();
  const auto count =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(messages_.per_block(), most_ - sent_));
  for (std::uint32_t i = 0; i < count; ++i)
    messages_.patch(bytes + std::size_t{i} * messages_.bytes(), sender_, sent_ + i);
  sent_ += count;
  ++in_use_;
  prepared_[at] = {.data = bytes, .len = count * messages_.bytes()};
  return &prepared_[at];
}

}  // namespace stackrig::rigload
