// SPDX-License-Identifier: Apache-2.0
#include "nmio/afxdp/socket.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "nmio/afxdp/uapi.h"
#include "nmio/port.h"

namespace stackrig::nmio::afxdp {
namespace {

constexpr int kBindTries = 100;
constexpr auto kBindPause = std::chrono::milliseconds(20);

/// What a frame in flight costs a socket in copy mode: the kernel's buffer for it with its headers.
constexpr int kBytesInFlight = 2560;

int set(int fd, int option, std::uint32_t value) {
  return setsockopt(fd, SOL_XDP, option, &value, sizeof value);
}

/// In copy mode frames in flight count against the socket's send buffer. The system's default holds
/// about 90 long ones: a flush stops there and waits for the receiver, and both sides take turns
/// where they could work at once. The ring is to be the only limit.
void let_ring_be_limit(int fd, std::uint32_t ring) {
  const int bytes = static_cast<int>(ring) * kBytesInFlight;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);  // as much as is allowed
  }
}

}  // namespace

Socket::Socket(const Interface& interface, const SocketConfig& config, PacketMemory& memory)
    : queue_(config.queue) {
  try {
    set_up(interface, config, memory);
  } catch (...) {
    close_all();
    throw;
  }
}

Socket::~Socket() {
  close_all();
}

void Socket::close_all() {
  for (unsigned i = 0; i < maps_; ++i) munmap(mapped_[i].base, mapped_[i].bytes);
  if (fd_ >= 0) close(fd_);
}

void Socket::refuse(const Interface& interface, const char* what, int error) const {
  std::string remedy;
  switch (error) {
    case EPERM:
    case EACCES:
      remedy = "; run as root, or with CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF";
      break;
    case EAFNOSUPPORT:
      remedy = "; this kernel is built without CONFIG_XDP_SOCKETS";
      break;
    case ENOBUFS:
      remedy = "; raise the limit on locked memory (ulimit -l) or ask for fewer chunks";
      break;
    case EBUSY:
      remedy = "; another socket has this queue: stop its program or choose another queue";
      break;
    case EOPNOTSUPP:
      remedy = "; the driver cannot do that: use zerocopy=off";
      break;
    default:
      break;
  }
  throw SetupError("afxdp:" + interface.name + ": queue " + std::to_string(queue_) + ": " + what +
                   ": " + std::strerror(error) + remedy);
}

void Socket::set_up(const Interface& interface, const SocketConfig& config, PacketMemory& memory) {
  fd_ = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd_ < 0) refuse(interface, "no AF_XDP socket to be had", errno);

  const UmemRegistration umem = {
      .addr = reinterpret_cast<std::uintptr_t>(memory.base()),
      .len = memory.size_bytes(),
      .chunk_size = config.frame_size,
      .headroom = 0,
      .flags = config.metadata ? kUmemMetadataLen : 0,
      .tx_metadata_len = config.metadata ? std::uint32_t{sizeof(TxMetadata)} : 0};
  // An older kernel knows only the front of the structure, and refuses more than it knows.
  const socklen_t size = config.metadata ? sizeof umem : sizeof umem - 2 * sizeof(std::uint32_t);
  if (setsockopt(fd_, SOL_XDP, XDP_UMEM_REG, &umem, size) != 0) {
    refuse(interface, "the kernel does not take the packet memory", errno);
  }
  if (set(fd_, XDP_UMEM_FILL_RING, config.ring) != 0 ||
      set(fd_, XDP_UMEM_COMPLETION_RING, config.ring) != 0 ||
      set(fd_, XDP_RX_RING, config.ring) != 0 || set(fd_, XDP_TX_RING, config.ring) != 0) {
    refuse(interface, "no rings to be had", errno);
  }
  // One kick sends all that waits, not 32 at a time; kernels that do not know this are kicked
  // again.
  set(fd_, kMaxTxBudget, config.ring);
  let_ring_be_limit(fd_, config.ring);

  xdp_mmap_offsets offsets{};
  socklen_t len = sizeof offsets;
  if (getsockopt(fd_, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &len) != 0) {
    refuse(interface, "the rings cannot be mapped", errno);
  }
  map_ring(fill, offsets.fr, config.ring, XDP_UMEM_PGOFF_FILL_RING);
  map_ring(completion, offsets.cr, config.ring, XDP_UMEM_PGOFF_COMPLETION_RING);
  map_ring(rx, offsets.rx, config.ring, XDP_PGOFF_RX_RING);
  map_ring(tx, offsets.tx, config.ring, XDP_PGOFF_TX_RING);
  bind_to(interface, config);
}

template <class R>
void Socket::map_ring(R& ring, const xdp_ring_offset& offsets, std::uint32_t entries,
                      std::uint64_t place) {
  const std::size_t bytes = offsets.desc + entries * sizeof(*ring.entries);
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_,
                 static_cast<off_t>(place));
  if (p == MAP_FAILED) {
    throw SetupError(std::string("afxdp: a ring cannot be mapped: ") + std::strerror(errno));
  }
  mapped_[maps_++] = {p, bytes};
  auto* base = static_cast<std::byte*>(p);
  ring.producer = reinterpret_cast<std::uint32_t*>(base + offsets.producer);
  ring.consumer = reinterpret_cast<std::uint32_t*>(base + offsets.consumer);
  ring.flags = reinterpret_cast<std::uint32_t*>(base + offsets.flags);
  ring.entries = reinterpret_cast<decltype(ring.entries)>(base + offsets.desc);
  ring.size = entries;
}

void Socket::bind_to(const Interface& interface, const SocketConfig& config) {
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = interface.index;
  address.sxdp_queue_id = config.queue;
  std::uint16_t flags = XDP_USE_NEED_WAKEUP;
  if (config.zero_copy) flags |= XDP_ZEROCOPY;
  if (config.copy) flags |= XDP_COPY;
  std::uint16_t extra = config.scatter_gather ? kBindUseSg : 0;
  for (int tries = 0;;) {
    address.sxdp_flags = flags | extra;
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) break;
    if (errno == EINVAL && extra != 0) {
      extra = 0;  // a kernel before 6.6
    } else if (errno != EBUSY || ++tries == kBindTries) {
      refuse(interface, "cannot be bound to", errno);
    } else {
      std::this_thread::sleep_for(kBindPause);
    }
  }
  scatter_gather_ = extra != 0;
  xdp_options options{};
  socklen_t len = sizeof options;
  zero_copy_ = getsockopt(fd_, SOL_XDP, XDP_OPTIONS, &options, &len) == 0 &&
               (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

std::uint64_t Socket::dropped() const {
  xdp_statistics s{};
  socklen_t len = sizeof s;
  if (getsockopt(fd_, SOL_XDP, XDP_STATISTICS, &s, &len) != 0) return 0;
  return s.rx_dropped + s.rx_ring_full;
}

}  // namespace stackrig::nmio::afxdp
