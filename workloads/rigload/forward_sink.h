// SPDX-License-Identifier: Apache-2.0
// What arrives at one sink of a forwarder's load: every message once, whole, unaltered, at the
// right sink, in the order of its sender.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "rigload/forward_messages.h"
#include "rigload/phases.h"

namespace stackrig::rigload {

/// Numbers that are missing, as ranges.
class MissingNumbers {
 public:
  void add(std::uint64_t begin, std::uint64_t end);
  /// False where it was not missing.
  bool remove(std::uint64_t number);
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;  ///< begin to end
  std::uint64_t count_ = 0;
};

class ForwardSink {
 public:
  /// `senders` say what has been sent so far. Both outlive the sink.
  ForwardSink(const ForwardMessages& messages, const std::vector<ForwardSender>& senders,
              std::uint32_t sink);

  /// The next bytes of the sink's stream. Counts messages that are right as requests, the others as
  /// errors, and all bytes.
  void take(std::span<const std::byte> bytes, PhaseStats& stats);

  /// Messages of its own that have arrived, each counted once, right or altered.
  [[nodiscard]] std::uint64_t arrived() const { return arrived_; }
  /// Messages that were sent to it and have not arrived.
  [[nodiscard]] std::uint64_t lost() const;
  /// The beginning of a message has come, and not its end.
  [[nodiscard]] bool in_message() const { return !rest_.empty(); }

 private:
  struct FromSender {
    std::uint64_t next = 0;  ///< number
    MissingNumbers missing;  ///< below `next`
  };
  enum class Order : std::uint8_t { next, late, again, never_sent };

  std::size_t take_whole(std::span<const std::byte> bytes, PhaseStats& stats);
  void take_one(const std::byte* message, PhaseStats& stats);
  [[nodiscard]] bool looks_right(const std::byte* message) const;
  [[nodiscard]] bool payload_is(const std::byte* message, const MessageId& id) const;
  [[nodiscard]] std::size_t find_next(std::span<const std::byte> bytes, std::size_t from) const;
  Order place(FromSender& from, std::uint32_t sender, std::uint64_t number);
  static std::uint64_t whole_number(const FromSender& from, std::uint32_t sequence);

  const ForwardMessages& messages_;
  const std::vector<ForwardSender>& senders_;
  std::uint32_t sink_;
  std::uint32_t bytes_;    ///< of a message
  thrift::Bytes pattern_;  ///< a message without payload: what is the same in all
  std::vector<FromSender> from_;
  std::vector<std::byte> rest_;  ///< the beginning of a message whose end has not come
  std::uint64_t arrived_ = 0;
  bool in_step_ = true;  ///< the stream was understood so far
};

}  // namespace stackrig::rigload
