// SPDX-License-Identifier: Apache-2.0
// The XDP program of a port: loaded, attached by a bpf_link, and gone with the process however it
// ends.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "nmio/afxdp/interface.h"

namespace stackrig::nmio::afxdp {

enum class Mode : unsigned {
  automatic,  ///< the driver's where it can, else generic
  native,     ///< in the driver, before an skb exists
  generic,    ///< on skbs
};

class Program {
 public:
  /// Takes `count` consecutive addresses (host byte order) from `first` on. Throws SetupError: not
  /// permitted, not supported, another program is attached.
  Program(const Interface& interface, Mode mode, std::uint32_t first, std::uint32_t count);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Frames of receive queue `queue` go to this socket from now on.
  void add_socket(unsigned queue, int fd);
  [[nodiscard]] Mode mode() const { return mode_; }
  /// The bpf_link, and the map of sockets by queue.
  [[nodiscard]] int link_fd() const { return link_fd_; }
  [[nodiscard]] int sockets_fd() const;

 private:
  struct Skeleton;
  std::unique_ptr<Skeleton> skeleton_;
  std::string name_;
  Mode mode_;
  int link_fd_ = -1;
};

}  // namespace stackrig::nmio::afxdp
