// SPDX-License-Identifier: Apache-2.0
// A queue of an afxdp port: the calls of nmio::Queue over the rings of one AF_XDP socket.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nmio/afxdp/interface.h"
#include "nmio/afxdp/socket.h"
#include "nmio/port.h"

namespace stackrig::nmio::afxdp {

struct QueueConfig {
  std::uint32_t chunks = 8192;
  std::uint32_t chunk_size = 2048;
  bool huge_pages = true;
  std::uint32_t max_frame = 1514;
  bool trust_checksums = false;  ///< call every received checksum good
  SocketConfig socket;
};

class AfxdpQueue final : public Queue {
 public:
  AfxdpQueue(const Interface& interface, const QueueConfig& config);
  ~AfxdpQueue() override;

  unsigned receive(std::span<RxPacket> out) override;
  unsigned put(std::span<const TxPacket> in) override;
  void flush() override;
  unsigned reap() override;
  void wait(Time now, Time deadline) override;
  unsigned tx_room() override;
  int prepare_wait() override;

  [[nodiscard]] const Socket& socket() const { return socket_; }

 private:
  void refill();
  bool take_frame(const xdp_desc& d, RxPacket& out);
  bool join(const xdp_desc& d, RxPacket& out);
  unsigned descriptors_for(std::span<const TxPacket> packet);
  void write(std::span<const TxPacket> packet);
  void write_split(const TxPacket& p, std::uint64_t at, std::uint32_t more_after);
  void ask_for_checksum(const TxPacket& p, xdp_desc& d);
  void kick();
  void read_drops();

  // Hot: both directions.
  std::byte* base_;
  std::uint32_t frame_size_;  ///< of the UMEM
  unsigned frame_shift_;
  bool metadata_;
  std::uint16_t rx_flags_;
  std::uint32_t fill_missing_;  ///< buffers that the fill ring lacks
  Socket socket_;

  // Packets of several descriptors only.
  bool joining_ = false;  ///< a received packet goes on in the next descriptor
  bool joining_lost_ = false;
  RxPacket joined_{};
  /// Of each UMEM frame: descriptors in flight that only go on from the frame before. Their
  /// completion gives no chunk back.
  std::vector<std::uint16_t> goes_on_;
  std::uint32_t goes_on_in_flight_ = 0;

  std::uint64_t drops_read_ = 0;
  std::uint32_t until_drops_are_read_ = 0;
};

}  // namespace stackrig::nmio::afxdp
