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
#include <vector>

#include "layout.h"
#include "socket.h"

struct bpf_map;
struct ring_buffer;

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
  struct Config {
    Service service = Service::echo;
    std::uint32_t clients = 16384, backends = 1024;
    bool batch = false;  ///< echo: buffers that came together go back together
    /// What may wait before an outlet's TCP until the connections that bring more are handed up.
    std::uint32_t waiting_bytes = 1 << 20, waiting_frames = 4096;
    /// Echo: of a connection that sends without a pause, until its segments are dropped.
    std::uint32_t handed_up_bytes = 16 << 20;
  };
  /// Throws runtime::UsageError where the kernel does not take them.
  explicit Programs(const Config& config);
  ~Programs();
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  /// Connections that are accepted on it have what keeps them within their bounds
  /// (echo). False where the kernel refuses.
  [[nodiscard]] bool guard(int listener) const;
  /// Before it is closed: TCP may keep it for long, and the program with it.
  void unguard(int fd) const;

  /// A client's way up, for all of its time: what the programs hand up can be received there. None
  /// where the kernel refuses.
  Fd open_up(std::uint32_t slot);

  /// From now on the programs have what the socket receives, what it has received already first;
  /// nobody else may read it, nor write to it (echo). `size` of a buffer (echo). False where the
  /// kernel refuses, as it does for a connection that has ended; errno says why.
  bool add_client(std::uint32_t slot, int fd, std::uint32_t size);
  enum class Flow : std::uint8_t {
    runs,   ///< with the programs
    taken,  ///< handed up: what was passed is the loader's, and what follows will not be sent on
    ended,  ///< handed up, and more has come: that stays in the receive queue
  };
  struct Up {
    Flow flow;
    std::uint64_t passed;  ///< bytes handed up since add_client()
  };
  [[nodiscard]] Up up(std::uint32_t slot) const;
  /// Gives a connection that was taken back, if nothing but `passed` bytes has come up and it has
  /// not ended.
  bool give_back(std::uint32_t slot, std::uint64_t passed);
  /// Of one that was taken: whether that was for want of room only.
  [[nodiscard]] bool is_congested(std::uint32_t slot) const {
    return flows_[slot].reason == COUNT_TAKEN_CONGESTED;
  }
  /// Readable when connections have been taken or have ended.
  [[nodiscard]] int taken_fd() const;
  /// Their slots, since the last call. One may be missing in a rush: its way up tells too.
  std::vector<std::uint32_t> taken();
  /// Makes one that has ended an ordinary socket; nothing may wait to be sent on it (echo). False
  /// where the connection is broken.
  bool stop(std::uint32_t slot, int fd);
  /// Before the socket is closed, wherever it stands.
  void forget(std::uint32_t slot);
  /// Bytes that the programs have seen since add_client(), those of a part of a frame too.
  [[nodiscard]] std::uint64_t seen(std::uint32_t slot) const;

  bool add_backend(std::uint32_t slot, int fd);
  void remove_backend(std::uint32_t slot);
  bool route(std::int32_t key, std::uint32_t slot);
  void unroute(std::int32_t key);

  /// Appends a frame to what backend `slot` sends, behind all that it was given before: nothing
  /// else may write to such a socket, or it would do so in the midst of a frame.
  Detour detour(std::uint32_t slot, std::span<const std::byte> frame);

  /// Bytes given to an outlet that its TCP (`fd`) has not taken yet.
  [[nodiscard]] std::uint64_t waiting(std::uint32_t slot, int fd) const;

  /// The same for a client that is an outlet (echo); 0 where it is none.
  [[nodiscard]] std::uint64_t waiting_on_client(std::uint32_t slot, int fd) const {
    return echo_ ? waiting(slot, fd) : 0;
  }

  /// Of a client that was taken and is an outlet (echo): the loader itself has sent so much on its
  /// socket since it was given to the programs. TCP counts that too, and without knowing of it what
  /// the programs gave would pass for sent while it still waits.
  void note_sent(std::uint32_t slot, std::uint64_t bytes);

  /// Sum over all cores of each COUNT_.
  void read_counters(std::span<std::uint64_t, COUNTERS> sums) const;

 private:
  struct Skeleton;
  void release(std::uint32_t slot);
  static int on_taken(void* self, void* slot, std::size_t size);
  void map_tables();
  void attach();
  void open_detour();
  void start_outlet(std::uint32_t slot, int fd);
  static bool put(const bpf_map* map, std::uint32_t slot, int fd);

  std::unique_ptr<Skeleton> skeleton_;
  std::uint32_t flow_count_, outlet_count_;
  bool echo_;
  std::vector<std::uint64_t> cookies_;  ///< of clients, by slot
  flow* flows_ = nullptr;               ///< mapped, as the next
  outlet* outlets_ = nullptr;
  Fd detour_in_, detour_out_;
  ring_buffer* ring_ = nullptr;
  std::vector<std::uint32_t> taken_;
};

}  // namespace stackrig::in_kernel
