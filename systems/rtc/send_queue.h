// SPDX-License-Identifier: Apache-2.0
// A connection's bytes on their way out: appended, committed, written to TCP, acknowledged.
//
//   out.open(pool, most);                     // room for `most` bytes is set aside
//   out.append(pool, bytes); out.commit();    // any number of times
//   out.flush(pool, stack, tcb, now);         // one write for all of it: whole segments
//   out.acknowledged(pool);                   // when TCP says that the oldest write was
//
// Bytes that are appended but not committed are not sent: half a message waits for its other half.
// Where TCP has as many writes as a connection may have, what is committed waits too, and goes with
// what joins it.
//
// Thread: the pool's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "send_pool.h"
#include "tcpip/stack.h"

namespace stackrig::rtc {

class SendQueue {
 public:
  /// Reserves memory for `most` bytes; false where there is none. A queue that is open stays as it
  /// is.
  bool open(SendPool& pool, std::uint64_t most);
  /// Room for `most` bytes where the pool has plenty, until all is acknowledged; false where it has
  /// not, or the queue has that much already.
  bool widen(SendPool& pool, std::uint64_t most);
  /// Gives back all that no write refers to; writes give back theirs when they are done.
  void close(SendPool& pool);

  [[nodiscard]] bool is_open() const { return blocks_ != 0; }
  /// Bytes that may be appended.
  [[nodiscard]] std::uint64_t room() const { return most_ - pending_; }
  /// Bytes that were appended and are not acknowledged.
  [[nodiscard]] std::uint64_t pending() const { return pending_; }
  /// Bytes that were committed and are not written to TCP yet.
  [[nodiscard]] std::uint64_t waiting() const { return committed_; }

  /// Nothing is under way, and the pool had no write for what waits: nobody but the caller will
  /// flush again.
  [[nodiscard]] bool is_starved() const { return committed_ != 0 && write_count_ == 0; }

  /// At most room() bytes.
  void append(SendPool& pool, std::span<const std::byte> bytes);
  void commit() { committed_ = unwritten_; }
  void commit_but(std::uint64_t last) { committed_ = unwritten_ - last; }

  /// Writes what is committed to TCP, as far as it has room for writes; what is left (waiting())
  /// goes with the next flush. False where TCP refused: the connection is over.
  bool flush(SendPool& pool, tcpip::Stack& stack, tcpip::Tcb& tcb, nmio::Time now);
  /// The oldest write is acknowledged.
  void acknowledged(SendPool& pool);

 private:
  static constexpr std::uint32_t kNone = SendPool::kNone;
  static constexpr std::uint32_t kBlock = SendPool::kBlockBytes;

  void add_block(SendPool& pool);
  /// One write, of as many bytes as a write takes.
  bool write(SendPool& pool, tcpip::Stack& stack, tcpip::Tcb& tcb, nmio::Time now);

  std::uint64_t most_ = 0;
  std::uint64_t least_ = 0;  ///< what `most_` was opened with
  std::uint64_t pending_ = 0;
  std::uint64_t unwritten_ = 0;  ///< appended, not written to TCP
  std::uint64_t committed_ = 0;  ///< of them, may be
  std::uint32_t first_ = kNone;  ///< block of the first unwritten byte; the queue holds a reference
  std::uint32_t first_at_ = 0;   ///< of it and of those after it
  std::uint32_t tail_ = kNone;
  std::uint32_t tail_used_ = 0;
  std::uint32_t blocks_ = 0;  ///< reserved
  std::uint8_t write_head_ = 0;
  std::uint8_t write_count_ = 0;
  std::array<std::uint32_t, tcpip::kMaxWrites> write_bytes_{};  ///< of the writes under way
};

}  // namespace stackrig::rtc
