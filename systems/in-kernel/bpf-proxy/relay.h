// SPDX-License-Identifier: Apache-2.0
// The BPF program and its maps, loaded: pairs of sockets are put in, what it leaves to the loader
// is told, counters are read.
//
// Nothing is pinned and everything hangs on descriptors of this process: program and maps are gone
// when it is, however it went. Thread: any one at a time; the program runs beside it on all cores.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "../bpf/outlet.h"
#include "../bpf/socket.h"
#include "layout.h"

struct bpf_map;
struct ring_buffer;

namespace stackrig::in_kernel::proxy {

class Relay {
 public:
  struct Limits {
    std::uint32_t waiting_bytes = 256 << 10;  ///< given to a socket that its TCP has not taken yet
    std::uint32_t waiting_segments = 1024;
  };

  /// `slots`: sockets at a time. Throws runtime::UsageError where the kernel does not take it.
  Relay(std::uint32_t slots, const Limits& limits);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// From now on all that the socket receives, what is in its queue first, is seen by the program,
  /// which passes it up until both ends are open. False where the kernel refuses, as it does for a
  /// connection whose peer has ended its side; errno says why.
  bool add(std::uint32_t slot, int fd);
  /// Both are in: from now on bytes go between `slot` and the odd one after it within the kernel.
  void open(std::uint32_t slot, int fd, int other_fd);
  /// The program is asked when data comes, not about what is there: asks it about that.
  static void ask(int fd);
  /// What it had passed and nobody read is lost.
  void remove(std::uint32_t slot);

  /// Bytes that the program has seen come on the socket.
  [[nodiscard]] std::uint64_t seen(std::uint32_t slot) const;
  /// Of those, bytes that are the loader's: to be read from the socket and sent on the other.
  [[nodiscard]] std::uint64_t passed(std::uint32_t slot) const;
  /// The loader has sent on so many of those that were passed. Once it is all, the program goes on.
  void give_back(std::uint32_t slot, std::uint64_t bytes);
  /// The loader itself has sent bytes on that socket.
  void note_sent(std::uint32_t slot, std::uint64_t bytes);
  /// Bytes given to the socket by the program that its TCP has not taken yet.
  [[nodiscard]] std::uint64_t waiting(std::uint32_t slot, int fd) const;

  /// Readable when something was passed.
  [[nodiscard]] int notices_fd() const;
  /// Slots of which something was passed, since the last call. One may be missing in a rush.
  std::vector<std::uint32_t> notices();

  void read_counters(std::span<std::uint64_t, PROXY_COUNTERS> sums) const;

 private:
  struct Skeleton;
  static int on_notice(void* self, void* slot, std::size_t size);

  std::unique_ptr<Skeleton> skeleton_;
  std::uint32_t count_;
  std::vector<std::uint64_t> cookies_;  ///< by slot
  inlet* inlets_ = nullptr;             ///< mapped, as the next
  outlet* outlets_ = nullptr;
  ring_buffer* ring_ = nullptr;
  std::vector<std::uint32_t> noticed_;
};

}  // namespace stackrig::in_kernel::proxy
