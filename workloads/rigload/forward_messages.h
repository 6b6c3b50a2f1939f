// SPDX-License-Identifier: Apache-2.0
// What the senders of a forwarder's load send (Slick 3.3.1), and what a sink must find.
//
// A sender's messages go to the sinks in turn, each sender beginning at another sink. Every message
// says which it is: its Thrift sequence id is the sender (8 bits) and the number of the message
// among those from this sender to this sink (24 bits). The payload is a window of one random text,
// another one for neighbouring messages, so that parts of messages that were mixed up are seen.
//
// Messages are recorded before the run, in blocks; sending a block again patches keys and sequence
// ids only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "rigload/stream_transport.h"
#include "thrift/forwarder.h"

namespace stackrig::rigload {

struct ForwardShape {
  std::uint32_t senders = 8, sinks = 20;  ///< Slick 3.3.1
  std::uint32_t payload = 32;             ///< bytes
  std::uint64_t seed = 1;
};
inline constexpr std::uint32_t kMostSenders = 256;
inline constexpr std::uint32_t kMostSinks = 4096;
inline constexpr std::uint32_t kMostPayload = (1U << 20) - thrift::kMsgOverhead;

/// Which message one is.
struct MessageId {
  std::uint32_t sender = 0, sink = 0;
  std::uint64_t number = 0;  ///< among those of the two
};

class ForwardMessages {
 public:
  static constexpr std::uint32_t kBlocks = 4;  ///< per sender
  static constexpr unsigned kNumberBits = 24;

  explicit ForwardMessages(const ForwardShape& shape);

  [[nodiscard]] const ForwardShape& shape() const { return shape_; }
  /// Bytes of a message.
  [[nodiscard]] std::uint32_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint32_t per_block() const { return per_block_; }
  /// The `index`-th message of a sender, of all its messages.
  [[nodiscard]] MessageId id(std::uint32_t sender, std::uint64_t index) const;
  /// How many of a sender's first `sent` messages go to the sink, with the numbers below the first
  /// of them.
  [[nodiscard]] std::uint64_t numbers_end(std::uint32_t sender, std::uint32_t sink,
                                          std::uint64_t sent) const;
  /// The first number that there is for the two.
  [[nodiscard]] std::uint64_t numbers_begin(std::uint32_t sender, std::uint32_t sink) const {
    return sink < first_sink(sender) ? 1 : 0;
  }
  /// Payload of a message.
  [[nodiscard]] const std::byte* payload(const MessageId& id) const;

  /// Writes the `index`-th message of a sender whole, or only what differs from the one that was
  /// in the same place a round of blocks ago.
  void record(std::byte* at, std::uint32_t sender, std::uint64_t index) const;
  void patch(std::byte* at, std::uint32_t sender, std::uint64_t index) const;

 private:
  static constexpr std::uint32_t kWindows = 4093;  ///< prime, so that strides go through all
  [[nodiscard]] std::uint32_t first_sink(std::uint32_t sender) const {
    return sender * shape_.sinks / shape_.senders;
  }

  ForwardShape shape_;
  std::uint32_t bytes_, per_block_;
  std::vector<std::byte> text_;
};

/// One sender's stream, in blocks that are in use until they are written.
class ForwardSender {
 public:
  /// `most` messages in all.
  ForwardSender(const ForwardMessages& messages, std::uint32_t sender, std::uint64_t most);

  /// The next block to be written; nullptr while all are in use, and at the end. Stays in place
  /// until written().
  const Prepared* next();
  /// The oldest block in use has been written whole.
  void written() { --in_use_; }
  /// No further block.
  void stop() { most_ = sent_; }
  /// All is written.
  [[nodiscard]] bool finished() const { return sent_ == most_ && in_use_ == 0; }
  /// Messages in the blocks that next() gave.
  [[nodiscard]] std::uint64_t sent() const { return sent_; }

 private:
  const ForwardMessages& messages_;
  std::uint32_t sender_;
  std::uint64_t most_, sent_ = 0;
  std::uint32_t in_use_ = 0;
  std::vector<std::vector<std::byte>> blocks_;
  std::vector<Prepared> prepared_;
  std::uint64_t block_ = 0;  ///< the next one's number, of all
};

}  // namespace stackrig::rigload
