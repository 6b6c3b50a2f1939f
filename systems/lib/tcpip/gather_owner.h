// SPDX-License-Identifier: Apache-2.0
// Application memory sent by reference: DLibOS' zero-touch way (section 4 there).
//
// A message is a list of references. They are held until all of it is acknowledged and no
// transmission of it is in flight any more; then its `done` is called and the memory is the
// application's again. Memory in the packet region (PacketMemory::reserve_contiguous()) is given to
// the device as it lies; other memory is copied into packets, and so is a segment that is shorter
// than a descriptor of its own would cost.
//
//   auto cookie = owner.add(parts, on_done, app);
//   stack.tcp_write(tcb, owner, *cookie, owner.bytes(*cookie), now);
//   each turn: owner.poll();
//
// Thread: the one that owns the packet memory. Nothing is allocated after construction.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "nmio/packet_memory.h"
#include "tcpip/owner.h"

namespace stackrig::tcpip {

class GatherOwner final : public ByteOwner {
 public:
  static constexpr unsigned kMaxParts = 8;
  using DoneFn = void (*)(void* context, std::uint64_t cookie);

  /// A segment of fewer bytes than `reference_from`, in one piece, is copied behind its headers.
  GatherOwner(nmio::PacketMemory& memory, std::uint32_t max_messages,
              std::uint32_t reference_from = 0);

  /// Names a message; nothing where all are in use. More than kMaxParts parts: nothing too.
  std::optional<std::uint64_t> add(std::span<const Fragment> parts, DoneFn done, void* context);
  [[nodiscard]] std::uint64_t bytes(std::uint64_t cookie) const;
  /// Calls `done` of messages whose last transmission has ended since. Bounded by how many wait.
  void poll();
  /// Messages that are not the application's yet.
  [[nodiscard]] std::uint32_t held() const { return held_; }

  Fetched fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                std::uint32_t max_segment, std::span<Segment> out) override;
  void released(std::uint64_t cookie) override;

 private:
  struct Message {
    std::array<Fragment, kMaxParts> parts;
    std::uint8_t part_count = 0;
    std::uint64_t bytes = 0;
    DoneFn done = nullptr;
    void* context = nullptr;
    std::uint32_t next = 0;
  };
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  [[nodiscard]] bool in_region(const Fragment& f) const;
  [[nodiscard]] bool in_flight(const Message& m) const;
  void finish(std::uint32_t index);
  Segment next_segment(const Message& m, std::uint64_t offset, std::uint64_t limit) const;

  nmio::PacketMemory& memory_;
  std::uint32_t reference_from_;
  std::unique_ptr<Message[]> messages_;
  std::uint32_t free_ = kNone;
  std::uint32_t lingering_ = kNone;  ///< acknowledged, but a device still refers to them
  std::uint32_t held_ = 0;
};

}  // namespace stackrig::tcpip
