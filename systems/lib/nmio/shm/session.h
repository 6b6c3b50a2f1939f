// SPDX-License-Identifier: Apache-2.0
// A session: what two ports of a soft NIC share while they are connected. It is made by a handshake
// over an abstract UNIX socket, which carries file descriptors only: when a process dies, however,
// nothing of it is left behind, and what the other has mapped stays valid until it lets go.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nmio/packet_memory.h"
#include "nmio/shm/layout.h"

namespace stackrig::nmio::shm {

/// A file descriptor that is closed.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd();
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  int release();

 private:
  int fd_;
};

/// A mapping that is unmapped.
class Mapping {
 public:
  Mapping() = default;
  /// Throws std::system_error.
  Mapping(int fd, std::size_t bytes, bool writable);
  ~Mapping();
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&&) = delete;
  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t bytes_ = 0;
};

enum class Side : std::uint32_t { server, client };

/// The first message, each way.
struct Hello {
  static constexpr std::array<char, 8> kMagic = {'S', 'R', 'I', 'G', 'S', 'H', 'M', '1'};
  static constexpr std::uint32_t kMaxQueues = 64;
  static constexpr std::uint32_t kMaxRing = 1U << 16;
  /// Of rings that a side makes because the peer has so many queues and descriptors.
  static constexpr std::size_t kMaxRegion = std::size_t{1} << 28;

  std::array<char, 8> magic = kMagic;
  Side side = Side::server;
  std::uint32_t busy = 0;  ///< 1: the server has a client already
  std::uint32_t queues = 1;
  std::uint32_t ring = 2048;       ///< descriptors of each receive ring
  std::uint64_t memory_bytes = 0;  ///< of each queue's packet memory
  std::uint64_t rate = 0;          ///< bits per second, 0: no limit
};

/// What a port brings to a session.
struct Local {
  Hello hello;
  std::vector<PacketMemory*> memories;  ///< one per queue
  std::vector<int> wake_fds;            ///< an eventfd per queue, written to wake it
};

struct Session {
  Hello peer;
  RegionLayout own_layout;
  RegionLayout peer_layout;
  Mapping own;                       ///< written by this side
  Mapping theirs;                    ///< read-only
  std::vector<Mapping> peer_memory;  ///< read-only, one per queue of the peer
  std::vector<Fd> peer_wake;         ///< eventfds of the peer's queues
  Fd socket;                         ///< hangs up when either process dies
  std::uint64_t rate;                ///< the slower side's, 0: no limit
};

/// Exchanges hellos and file descriptors over a connected socket. Throws std::system_error where
/// the peer goes away, std::runtime_error where it says what cannot be.
std::shared_ptr<Session> make_session(const Local& local, Fd socket);

/// Tells a second client that the server has one, and hangs up.
void refuse_busy(const Local& local, Fd socket);

}  // namespace stackrig::nmio::shm
