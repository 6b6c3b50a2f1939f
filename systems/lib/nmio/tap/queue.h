// SPDX-License-Identifier: Apache-2.0
// A queue of a tap port: the calls of nmio::Queue over one descriptor of a TAP device, which takes
// and gives one frame per system call, behind a virtio-net header.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nmio/offload.h"
#include "nmio/port.h"
#include "nmio/tap/vnet.h"

namespace stackrig::nmio::tap {

struct QueueConfig {
  std::uint32_t chunks = 8192;
  std::uint32_t chunk_size = 2048;
  std::uint32_t ring = 2048;
  std::uint32_t max_frame = 1514;
  /// Longest piece that a large frame (TSO) arrives in, whole segments each; 0: none comes.
  std::uint32_t large_receive = 0;
  bool segment = true;   ///< offer TSO
  bool checksum = true;  ///< offer checksum offload, both ways
  bool huge_pages = true;
};

class TapQueue final : public Queue {
 public:
  /// `fd`: the device's, non-blocking; the caller keeps it open as long as the queue is used. Any
  /// descriptor does that gives one frame per read (tests).
  TapQueue(int fd, const QueueConfig& config);
  ~TapQueue() override;

  unsigned receive(std::span<RxPacket> out) override;
  unsigned put(std::span<const TxPacket> in) override;
  void flush() override;
  unsigned reap() override;
  void wait(Time now, Time deadline) override;
  unsigned tx_room() override;
  int prepare_wait() override;

 private:
  static constexpr unsigned kMaxParts = 64;
  static constexpr std::size_t kLargest = 14 + 65535;  ///< of an IPv4 packet with its header

  enum class Got : std::uint8_t { nothing, taken, dropped };
  Got read_one(RxPacket& out);
  Got take(const VnetHeader& header, ChunkId chunk, std::size_t len, RxPacket& out);
  void begin_cut(const Arrival& how, std::size_t len);
  unsigned cut_on(std::span<RxPacket> out);
  [[nodiscard]] bool can_send(std::span<const TxPacket> packet) const;
  bool write_one(std::span<const TxPacket> packet);

  int fd_;
  QueueConfig config_;

  /// Packets that were put, up to the ring's size; [0, next_) are sent and wait to be reaped.
  std::vector<TxPacket> waiting_;
  std::size_t sent_ = 0;
  bool full_ = false;  ///< the device took no more when last asked

  /// A frame longer than a chunk lies here, and a large one is cut from here.
  std::vector<std::byte> large_;
  Segmenter cut_;
  std::uint32_t cut_headers_ = 0;  ///< bytes; 0: none is being cut
};

}  // namespace stackrig::nmio::tap
