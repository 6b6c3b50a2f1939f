// SPDX-License-Identifier: Apache-2.0
// A queue of the soft NIC: what a device's hardware does, in the calls that its driver makes.
//
// put() writes descriptors into the ring towards the peer's queue that RSS chooses; flush()
// publishes them, the doorbell. receive() copies the peer's frames into chunks of its own: the
// "DMA", checksums and TSO included. Counting them as consumed is the peer's completion, which its
// reap() sees.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nmio/offload.h"
#include "nmio/port.h"
#include "nmio/shm/link.h"
#include "nmio/shm/link_rate.h"
#include "nmio/shm/session.h"

namespace stackrig::nmio::shm {

struct QueueConfig {
  unsigned index = 0;
  std::uint32_t chunks = 8192;
  std::uint32_t chunk_size = 2048;
  std::uint32_t ring = 2048;
  std::uint32_t max_frame = 1514;
  /// Longest piece that a peer's large packet (TSO) arrives in, whole segments each; 0: segments.
  std::uint32_t large_receive = 0;
  bool segment = true;           ///< offer TSO
  bool checksum = true;          ///< offer checksum offload, both ways
  bool verify_checksum = false;  ///< verify what is received, as hardware does, at its cost
  bool pause = false;  ///< flow control (802.3x): a full receiver stops the sender, no tail drop
  bool huge_pages = true;
};

/// Frames that come from one queue of the peer.
class Inbound {
 public:
  static constexpr unsigned kMaxParts = 64;  ///< descriptors of a packet; longer ones are refused

  Inbound(const Session& session, unsigned own_queue, unsigned peer_queue,
          const QueueConfig& config, PacketMemory& memory);

  /// Copies out up to out.size() frames; returns how many. `counters` gets drops.
  unsigned receive(std::span<RxPacket> out, QueueCounters& counters);
  /// True where receive() would find something.
  [[nodiscard]] bool has_frames() const;
  /// The peer's indices made no sense: nothing more is taken from it.
  [[nodiscard]] bool is_broken() const { return broken_; }

 private:
  unsigned receive_new(std::span<RxPacket> out, QueueCounters& counters);
  unsigned receive_special(std::span<RxPacket> out, std::uint32_t available,
                           QueueCounters& counters);
  [[nodiscard]] std::uint32_t piece_payload(const Descriptor& first) const;
  bool copy_one(const Descriptor& d, RxPacket& out, QueueCounters& counters);
  unsigned cut_on(std::span<RxPacket> out, QueueCounters& counters);
  void finish(RxPacket& out, bool sum_left_to_device);
  bool gather(std::uint32_t offset, std::byte* to, std::uint32_t len) const;
  std::uint32_t available(std::uint32_t wanted);
  [[nodiscard]] bool lies_inside(const Descriptor& d) const {
    return d.offset() <= memory_bytes_ && d.len() <= memory_bytes_ - d.offset();
  }
  [[nodiscard]] std::byte* frame_place(ChunkId chunk) const {
    return memory_.data(chunk) + (std::size_t{chunk} & colours_) * 64;
  }

  // Read for every packet.
  const Descriptor* ring_;
  const std::byte* peer_memory_;
  std::uint64_t memory_bytes_;
  PacketMemory& memory_;
  std::uint32_t mask_;
  std::uint32_t colours_;  ///< less one: frames start at different cache sets
  std::uint32_t max_frame_;
  std::uint32_t large_receive_;
  std::uint32_t next_ = 0;      ///< the descriptor to take next
  std::uint32_t produced_ = 0;  ///< as last read
  bool verify_;
  bool checksum_;
  bool broken_ = false;
  // Per burst.
  const Index* produced_index_;
  Index* consumed_index_;

  /// A large packet that is being cut (TSO).
  struct Cut {
    bool active = false;
    unsigned parts = 0;
    std::array<Descriptor, kMaxParts> part;
    std::array<std::byte, 256> headers;
    std::uint32_t header_len = 0;
    std::uint32_t hash = 0;
    Segmenter segmenter;
  } cut_;
};

/// Descriptors on their way to one queue of the peer.
class Outbound {
 public:
  Outbound(const Session& session, unsigned own_queue, unsigned peer_queue, PacketMemory& memory);

  [[nodiscard]] std::uint32_t room() const { return capacity_ - (put_ - reaped_); }
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }
  /// Room, after looking at what the peer has consumed.
  std::uint32_t fresh_room();
  /// Writes a whole packet; room() has been asked.
  void write(std::span<const TxPacket> parts, const std::byte* base, std::uint32_t hash);
  /// One descriptor of it; `offset`: of its bytes in the packet memory.
  void write(const TxPacket& p, std::uint64_t offset, std::uint32_t hash) {
    const std::uint32_t slot = put_++ & (capacity_ - 1);
    ring_[slot] = Descriptor::make(offset, p, hash);
    chunks_[slot] = p.chunk;
  }
  /// Publishes; true where the peer's queue sleeps and has to be woken.
  bool publish();
  /// Gives consumed chunks back; returns how many.
  unsigned reap();
  /// Gives back everything that the peer has not consumed, and never will.
  unsigned abandon();
  void prefetch_consumed() const { __builtin_prefetch(consumed_index_); }
  [[nodiscard]] bool is_broken() const { return broken_; }
  [[nodiscard]] int wake_fd() const { return wake_fd_; }

 private:
  unsigned give_back_until(std::uint32_t end);

  Descriptor* ring_;
  PacketMemory& memory_;
  std::uint32_t capacity_;
  std::uint32_t put_ = 0;
  std::uint32_t published_ = 0;
  std::uint32_t reaped_ = 0;
  bool broken_ = false;
  std::vector<ChunkId>
      chunks_;  ///< of the descriptors in the ring; the ring itself is not read back
  Index* produced_index_;
  const Index* consumed_index_;
  const Index* peer_sleeps_;
  std::uint32_t woken_for_ = 0;  ///< the peer's sleep that was ended last
  int wake_fd_;
};

class ShmQueue final : public Queue {
 public:
  ShmQueue(const QueueConfig& config, int wake_fd);
  ~ShmQueue() override;

  /// Before first use. The link outlives the queue's use, not the queue.
  void attach(Link* link) { link_ = link; }

  unsigned receive(std::span<RxPacket> out) override;
  unsigned put(std::span<const TxPacket> in) override;
  void flush() override;
  unsigned reap() override;
  void wait(Time now, Time deadline) override;
  unsigned tx_room() override;

 private:
  friend struct HostilePeer;  // hostile_test.cc
  void follow_link() {
    if (link_->generation() != generation_) [[unlikely]]
      change_session();
  }
  void change_session();
  void leave_session();
  unsigned put_plain(std::span<const TxPacket> in);
  bool transmit(std::span<const TxPacket> parts);
  [[nodiscard]] bool lies_inside(const TxPacket& p, std::uint64_t offset) const {
    const std::uint64_t size = memory_->size_bytes();
    return offset <= size && p.len <= size - offset && p.len <= Descriptor::kMaxLength;
  }
  void drop(std::span<const TxPacket> parts);
  unsigned put_paced(std::span<const TxPacket> in);
  void send_paced(Time now);
  void wake_peer(Outbound& to);
  void check_peer();
  [[nodiscard]] bool has_frames() const;

  QueueConfig config_;
  Link* link_ = nullptr;
  std::uint32_t generation_ = 0;
  int wake_fd_;
  std::shared_ptr<Session> session_;
  std::vector<Inbound> inbound_;
  std::vector<Outbound> outbound_;
  unsigned first_inbound_ = 0;  ///< round robin over the peer's queues
  unsigned returned_ = 0;       ///< chunks given back outside reap()

  // With a rate only: the transmit ring whose frames wait for the wire.
  LinkRate rate_;
  std::vector<TxPacket> paced_;
  std::uint32_t paced_head_ = 0;
  std::uint32_t paced_tail_ = 0;

  Index* own_sleeps_ = nullptr;
};

}  // namespace stackrig::nmio::shm
