// SPDX-License-Identifier: Apache-2.0
// Finding messages in a sink's stream, and their order.
#include "rigload/forward_sink.h"

#include <algorithm>
#include <cstring>

#include "wire/byte_order.h"

namespace stackrig::rigload {
namespace {

/// Of the pattern: version, type and name come before the sequence id; field 1 between it and the
/// key; field 2 and its length between key and payload.
constexpr std::size_t kFieldOneAt = thrift::kMsgSequenceAt + 4;
constexpr std::size_t kFieldTwoAt = thrift::kMsgKeyAt + 4;

std::uint32_t be32_at(const std::byte* p) {
  return reinterpret_cast<const wire::Be32*>(p)->get();
}

bool same(const std::byte* message, const thrift::Bytes& pattern, std::size_t from,
          std::size_t to) {
  return std::memcmp(message + from, pattern.data() + from, to - from) == 0;
}

}  // namespace

// --- numbers
// ---------------------------------------------------------------------------------------

void MissingNumbers::add(std::uint64_t begin, std::uint64_t end) {
  ranges_[begin] = end;
  count_ += end - begin;
}

bool MissingNumbers::remove(std::uint64_t number) {
  auto range = ranges_.upper_bound(number);
  if (range == ranges_.begin()) return false;
  --range;
  const auto [begin, end] = *range;
  if (number >= end) return false;
  ranges_.erase(range);
  if (begin != number) ranges_[begin] = number;
  if (number + 1 != end) ranges_[number + 1] = end;
  --count_;
  return true;
}

ForwardSink::ForwardSink(const ForwardMessages& messages, const std::vector<ForwardSender>& senders,
                         std::uint32_t sink)
    : messages_(messages),
      senders_(senders),
      sink_(sink),
      bytes_(messages.bytes()),
      from_(messages.shape().senders) {
  thrift::write_msg(pattern_, 0, 0, {});
  reinterpret_cast<wire::Be32*>(pattern_.data() + thrift::kMsgPayloadAt - 4)
      ->set(messages.shape().payload);
  for (std::uint32_t s = 0; s < from_.size(); ++s) from_[s].next = messages.numbers_begin(s, sink);
}

std::uint64_t ForwardSink::lost() const {
  std::uint64_t lost = 0;
  for (std::uint32_t s = 0; s < from_.size(); ++s) {
    const std::uint64_t end = messages_.numbers_end(s, sink_, senders_[s].sent());
    lost += end - from_[s].next + from_[s].missing.count();
  }
  return lost;
}

/// The number whose last bits are in `sequence` and that is nearest to the next one.
std::uint64_t ForwardSink::whole_number(const FromSender& from, std::uint32_t sequence) {
  constexpr unsigned kUnused = 32 - ForwardMessages::kNumberBits;
  const auto ahead =
      static_cast<std::int32_t>((sequence - static_cast<std::uint32_t>(from.next)) << kUnused) >>
      kUnused;
  return from.next + static_cast<std::uint64_t>(static_cast<std::int64_t>(ahead));
}

ForwardSink::Order ForwardSink::place(FromSender& from, std::uint32_t sender,
                                      std::uint64_t number) {
  // Most are in order, and what was sent is looked up for the others only.
  if (number == from.next) {
    ++from.next;
    return Order::next;
  }
  if (static_cast<std::int64_t>(number - from.next) < 0)
    return from.missing.remove(number) ? Order::late : Order::again;
  if (number >= messages_.numbers_end(sender, sink_, senders_[sender].sent()))
    return Order::never_sent;
  from.missing.add(from.next, number);
  from.next = number + 1;
  return Order::next;
}

// --- the stream
// ------------------------------------------------------------------------------------

void ForwardSink::take(std::span<const std::byte> bytes, PhaseStats& stats) {
  stats.body_bytes += bytes.size();
  while (!rest_.empty() && !bytes.empty()) {
    const std::size_t n = std::min<std::size_t>(bytes_ - rest_.size(), bytes.size());
    rest_.insert(rest_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    bytes = bytes.subspan(n);
    const std::size_t taken = take_whole(rest_, stats);
    rest_.erase(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  if (bytes.empty()) return;
  const auto left = bytes.subspan(take_whole(bytes, stats));
  rest_.assign(left.begin(), left.end());
}

/// Takes whole messages from the front, and what is none; says how many bytes those were.
std::size_t ForwardSink::take_whole(std::span<const std::byte> bytes, PhaseStats& stats) {
  std::size_t at = 0;
  while (bytes.size() - at >= bytes_) {
    if (looks_right(bytes.data() + at)) [[likely]] {
      in_step_ = true;
      take_one(bytes.data() + at, stats);
      at += bytes_;
      continue;
    }
    if (in_step_) stats.count(ErrorKind::altered);
    in_step_ = false;
    at = find_next(bytes, at + 1);
  }
  return at;
}

bool ForwardSink::looks_right(const std::byte* message) const {
  return same(message, pattern_, 0, thrift::kMsgSequenceAt) &&
         same(message, pattern_, kFieldOneAt, thrift::kMsgKeyAt) &&
         same(message, pattern_, kFieldTwoAt, thrift::kMsgPayloadAt);
}

/// Where a message may begin again.
std::size_t ForwardSink::find_next(std::span<const std::byte> bytes, std::size_t from) const {
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(from);
  const auto found =
      std::search(begin, bytes.end(), pattern_.begin(),
                  pattern_.begin() + static_cast<std::ptrdiff_t>(thrift::kMsgSequenceAt));
  if (found != bytes.end()) return static_cast<std::size_t>(found - bytes.begin());
  // The last bytes may be the beginning of one.
  return std::max(from, bytes.size() - (thrift::kMsgSequenceAt - 1));
}

void ForwardSink::take_one(const std::byte* message, PhaseStats& stats) {
  const std::uint32_t sequence = be32_at(message + thrift::kMsgSequenceAt);
  const std::uint32_t key = be32_at(message + thrift::kMsgKeyAt);
  const std::uint32_t sender = sequence >> ForwardMessages::kNumberBits;
  if (sender >= from_.size() || key >= messages_.shape().sinks)
    return stats.count(ErrorKind::altered);
  if (key != sink_) return stats.count(ErrorKind::misdelivered);
  FromSender& from = from_[sender];
  const std::uint64_t number = whole_number(from, sequence);
  const bool same = payload_is(message, {.sender = sender, .sink = sink_, .number = number});
  // Which message an altered one was is believed only where it is the one that was to come.
  if (!same && number != from.next) return stats.count(ErrorKind::altered);
  const Order order = place(from, sender, number);
  if (order == Order::never_sent) return stats.count(ErrorKind::altered);
  if (order == Order::again) return stats.count(ErrorKind::duplicated);
  ++arrived_;
  if (order == Order::late) return stats.count(ErrorKind::reordered);
  if (!same) return stats.count(ErrorKind::altered);
  ++stats.requests;
}

bool ForwardSink::payload_is(const std::byte* message, const MessageId& id) const {
  const std::byte* payload = message + thrift::kMsgPayloadAt;
  const std::uint32_t length = messages_.shape().payload;
  return std::memcmp(payload, messages_.payload(id), length) == 0 &&
         payload[length] == std::byte{0};
}

}  // namespace stackrig::rigload
