// SPDX-License-Identifier: Apache-2.0
// An AF_XDP socket on one queue of an interface, its UMEM and its rings.
#pragma once

#include <linux/if_xdp.h>

#include <cstdint>

#include "nmio/afxdp/interface.h"
#include "nmio/afxdp/rings.h"
#include "nmio/packet_memory.h"

namespace stackrig::nmio::afxdp {

struct SocketConfig {
  unsigned queue = 0;
  std::uint32_t ring = 2048;        ///< entries of each of the four rings
  std::uint32_t frame_size = 2048;  ///< UMEM chunk: the packet memory's, at most a page
  bool zero_copy = false;           ///< require it; else the driver's best
  bool copy = false;                ///< forbid zero copy
  bool scatter_gather = true;       ///< packets of several descriptors, where the kernel has it
  bool metadata = false;            ///< room for transmit metadata before each frame
};

class Socket {
 public:
  /// Throws SetupError with the cause and the remedy. EBUSY is tried again for a while: a socket
  /// that was just closed holds its queue a moment longer.
  Socket(const Interface& interface, const SocketConfig& config, PacketMemory& memory);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool zero_copy() const { return zero_copy_; }
  [[nodiscard]] bool scatter_gather() const { return scatter_gather_; }
  /// Frames that the kernel lost for want of a buffer or of ring space, since the start.
  [[nodiscard]] std::uint64_t dropped() const;

  Producer<std::uint64_t> fill;
  Consumer<std::uint64_t> completion;
  Consumer<xdp_desc> rx;
  Producer<xdp_desc> tx;

 private:
  void set_up(const Interface& interface, const SocketConfig& config, PacketMemory& memory);
  template <class R>
  void map_ring(R& ring, const xdp_ring_offset& offsets, std::uint32_t entries,
                std::uint64_t place);
  void bind_to(const Interface& interface, const SocketConfig& config);
  void close_all();
  [[noreturn]] void refuse(const Interface& interface, const char* what, int error) const;

  struct Mapped {
    void* base = nullptr;
    std::size_t bytes = 0;
  };
  int fd_ = -1;
  unsigned queue_ = 0;
  bool zero_copy_ = false;
  bool scatter_gather_ = false;
  Mapped mapped_[4];
  unsigned maps_ = 0;
};

}  // namespace stackrig::nmio::afxdp
