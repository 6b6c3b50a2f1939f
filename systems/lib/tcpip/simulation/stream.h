// SPDX-License-Identifier: Apache-2.0
// The bytes of one direction of a connection, and their owner, which checks that the core keeps its
// side of the contract (owner.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nmio/packet_memory.h"
#include "tcpip/owner.h"
#include "tcpip/simulation/plan.h"
#include "tcpip/simulation/random.h"

namespace stackrig::tcpip::simulation {

/// Something that must never be so. what() says what and where.
class Broken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The byte `at` of stream number `number`. Two streams differ nearly everywhere.
std::uint8_t stream_byte(std::uint64_t number, std::uint64_t at);

class Stream final : public ByteOwner {
 public:
  /// `later(delay)` is asked to call the core's tcp_output() for this connection after `delay`.
  Stream(std::uint64_t number, const SidePlan& plan, nmio::PacketMemory& memory, std::uint64_t seed,
         std::function<void(Time)> later);

  Fetched fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                std::uint32_t max_segment, std::span<Segment> out) override;
  void acked(std::uint64_t cookie, std::uint64_t offset) override;
  void released(std::uint64_t cookie) override;

  /// A write of [begin, begin + bytes) of the stream is queued; returns its cookie.
  std::uint64_t add_write(std::uint64_t begin, std::uint64_t bytes);
  void forget_last_write() { writes_.pop_back(); }
  /// The disk has read what was asked for.
  void loaded() { loading_ = false; }
  [[nodiscard]] std::uint64_t size() const { return plan_.bytes; }
  [[nodiscard]] bool all_released() const;
  [[nodiscard]] const std::byte* bytes() const { return bytes_; }

 private:
  struct Write {
    std::uint64_t begin, bytes;
    std::uint64_t acked = 0;
    bool released = false;
  };
  bool disk_has(std::uint64_t at);
  bool make_segment(std::uint64_t at, std::uint32_t len, Segment& out);

  SidePlan plan_;
  nmio::PacketMemory& memory_;
  Random random_;
  std::function<void(Time)> later_;
  std::vector<std::byte> own_;
  std::byte* bytes_ = nullptr;
  std::vector<Write> writes_;
  std::uint64_t cached_from_ = 0, cached_to_ = 0;
  bool loading_ = false;
};

}  // namespace stackrig::tcpip::simulation
