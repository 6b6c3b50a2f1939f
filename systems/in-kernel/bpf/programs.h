// SPDX-License-Identifier: Apache-2.0
// The BPF programs of one service and their maps, loaded: sockets are put in, frames that took the
// loader's hands are put back in the queue, counters are read.
//
// Nothing is pinned and everything hangs on descriptors of this process: programs and maps are gone
// when it is, however it went. Thread: any one at a time; the programs run beside it on all cores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "layout.h"
#include "socket.h"

namespace stackrig::in_kernel {

enum class Service : std::uint8_t { echo, forward };

/// What became of a frame that was to take the detour.
enum class Detour : std::uint8_t {
  sent,
  full,  ///< not taken; later
  gone,  ///< no such socket any more
};

class Programs {
 public:
  /// Throws runtime::UsageError where the kernel does not take them.
  Programs(Service service, std::uint32_t clients, std::uint32_t backends);
  ~Programs();
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  /// From now on the programs have what the socket receives, what it has received already first.
  /// `size` of a buffer (echo). False where the kernel refuses, as it does for a connection that
  /// has ended; errno says why.
  bool add_client(std::uint32_t slot, int fd, std::uint32_t size);
  /// To be called before the socket is closed.
  void remove_client(std::uint32_t slot, int fd);

  bool add_backend(std::uint32_t slot, int fd);
  void remove_backend(std::uint32_t slot);
  bool route(std::int32_t key, std::uint32_t slot);
  void unroute(std::int32_t key);

  /// Appends a frame to what outlet `slot` sends, behind all that it was given before: nothing else
  /// may write to such a socket, or it would do so in the midst of a frame.
  Detour detour(std::uint32_t slot, std::span<const std::byte> frame);

  /// Bytes handed up by the programs and not yet dealt with. Not 0: all that follows comes up too.
  [[nodiscard]] std::uint64_t up(std::uint32_t slot) const;
  void consume(std::uint32_t slot, std::uint64_t bytes);

  /// Bytes given to an outlet that its TCP (`fd`) has not taken yet.
  [[nodiscard]] std::uint64_t waiting(std::uint32_t slot, int fd) const;

  /// Sum over all cores of each COUNT_.
  void read_counters(std::span<std::uint64_t, COUNTERS> sums) const;

 private:
  struct Skeleton;
  void map_tables();
  void attach(Service service);
  void open_detour();
  void start_outlet(std::uint32_t slot, int fd);

  std::unique_ptr<Skeleton> skeleton_;
  std::uint32_t flow_count_, outlet_count_;
  flow* flows_ = nullptr;  ///< mapped, as the next
  outlet* outlets_ = nullptr;
  Fd detour_in_, detour_out_;
};

}  // namespace stackrig::in_kernel
