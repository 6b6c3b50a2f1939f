// SPDX-License-Identifier: Apache-2.0
#include "nmio/afxdp/queue.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "nmio/afxdp/uapi.h"
#include "nmio/offload.h"

namespace stackrig::nmio::afxdp {
namespace {

/// Buffers are put into the fill ring by so many: its index is a cache line that the kernel reads.
constexpr std::uint32_t kFillBatch = 32;
/// The kernel's counters of lost frames are a system call away: looked at once in so many flushes.
constexpr std::uint32_t kDropsInterval = 4096;
/// A kick that got nowhere is not repeated for ever: the next flush or wait() kicks again.
constexpr int kMaxKicks = 64;
/// Nothing wakes a poll() when a full device has room again: frames that wait are tried this often.
constexpr Time kFullDevicePause = 20 * kMicrosecond;

}  // namespace

AfxdpQueue::AfxdpQueue(const Interface& interface, const QueueConfig& config)
    : socket_(interface, config.socket,
              *(memory_ = PacketMemory::create({.chunks = config.chunks,
                                                .chunk_size = config.chunk_size,
                                                .huge_pages = config.huge_pages}))) {
  base_ = memory_->base();
  frame_size_ = config.socket.frame_size;
  frame_shift_ = static_cast<unsigned>(std::countr_zero(frame_size_));
  metadata_ = config.socket.metadata;
  rx_flags_ = config.trust_checksums ? RxPacket::kChecksumGood : 0;
  offload_ = {.tx_checksum = metadata_,
              .rx_checksum = config.trust_checksums,
              .segment = false,
              .scatter_gather = socket_.scatter_gather(),
              .max_frame = config.max_frame};
  goes_on_.resize(memory_->size_bytes() >> frame_shift_);
  fill_missing_ = config.socket.ring;
  refill();
}

AfxdpQueue::~AfxdpQueue() = default;

// --- receiving ---------------------------------------------------------------------------------

unsigned AfxdpQueue::receive(std::span<RxPacket> out) {
  ++counters_->receive_calls;
  const std::uint32_t available = socket_.rx.available(static_cast<std::uint32_t>(out.size()));
  if (available == 0) {
    ++counters_->receive_empty;
    if (fill_missing_ != 0) refill();  // chunks may have come back
    return 0;
  }
  unsigned n = 0;
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < available; ++i) {
    if (!take_frame(socket_.rx.read(), out[n])) continue;
    bytes += out[n++].len;
  }
  socket_.rx.release();
  counters_->rx_packets += n;
  counters_->rx_bytes += bytes;
  fill_missing_ += available;
  if (fill_missing_ >= kFillBatch) refill();
  return n;
}

/// One descriptor; true where it completes a packet.
inline bool AfxdpQueue::take_frame(const xdp_desc& d, RxPacket& out) {
  if (((d.options & kDescContinues) | static_cast<unsigned>(joining_)) != 0) [[unlikely]]
    return join(d, out);
  std::byte* data = base_ + d.addr;
  __builtin_prefetch(data);
  out = {.data = data,
         .len = d.len,
         .chunk = memory_->chunk_of(data),
         .rss_hash = 0,
         .flags = rx_flags_};
  return true;
}

/// A packet of several descriptors is put together in its first chunk, which has the room where the
/// MTU asks for it.
bool AfxdpQueue::join(const xdp_desc& d, RxPacket& out) {
  const std::byte* data = base_ + d.addr;
  const ChunkId chunk = memory_->chunk_of(data);
  if (!joining_) {
    joining_ = true;
    joining_lost_ = false;
    joined_ = {
        .data = base_ + d.addr, .len = d.len, .chunk = chunk, .rss_hash = 0, .flags = rx_flags_};
    return false;
  }
  const std::byte* end = memory_->data(joined_.chunk) + memory_->chunk_size();
  if (d.len <= static_cast<std::size_t>(end - (joined_.data + joined_.len))) {
    std::memcpy(joined_.data + joined_.len, data, d.len);
    joined_.len += d.len;
  } else {
    joining_lost_ = true;  // longer than the MTU
  }
  memory_->give_back(chunk);
  if ((d.options & kDescContinues) != 0) return false;
  joining_ = false;
  if (joining_lost_) {
    memory_->give_back(joined_.chunk);
    ++counters_->rx_dropped;
    return false;
  }
  out = joined_;
  return true;
}

void AfxdpQueue::refill() {
  auto& fill = socket_.fill;
  std::uint32_t n = std::min(fill_missing_, fill.room(fill_missing_));
  for (; n != 0; --n) {
    const ChunkId chunk = memory_->take();
    if (chunk == kNoChunk) break;  // the application holds them all: the kernel drops, and counts
    fill.write() = static_cast<std::uint64_t>(memory_->data(chunk) - base_);
    --fill_missing_;
  }
  if (!fill.has_unpublished()) return;
  fill.publish();
  if (fill.needs_wakeup()) [[unlikely]] {
    ++counters_->syscalls;
    (void)recvfrom(socket_.fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
  }
}

// --- sending -----------------------------------------------------------------------------------

unsigned AfxdpQueue::put(std::span<const TxPacket> in) {
  auto& tx = socket_.tx;
  unsigned taken = 0;
  for (unsigned i = 0; i < in.size(); ++i) {
    if ((in[i].flags & TxPacket::kMore) != 0) continue;
    const auto packet = in.subspan(taken, i + 1 - taken);
    const unsigned needed = descriptors_for(packet);
    if (needed == 0) {  // a device drops what it cannot send
      for (const TxPacket& p : packet) memory_->give_back(p.chunk);
      ++counters_->tx_dropped;
    } else {
      if (tx.room(needed) < needed) break;
      write(packet);
    }
    taken = i + 1;
    ++counters_->tx_packets;
  }
  return taken;
}

/// UMEM frames that the packet's bytes lie in, a descriptor each; 0 where it cannot be sent.
inline unsigned AfxdpQueue::descriptors_for(std::span<const TxPacket> packet) {
  if (packet.size() > 1 && !offload_.scatter_gather) return 0;
  unsigned n = 0;
  std::uint64_t bytes = 0;
  for (const TxPacket& p : packet) {
    const auto at = static_cast<std::uint64_t>(p.data - base_);
    const std::uint64_t size = memory_->size_bytes();
    if (at > size || p.len > size - at || p.len == 0) return 0;
    n += static_cast<unsigned>(((at + p.len - 1) >> frame_shift_) - (at >> frame_shift_)) + 1;
    bytes += p.len;
    if (metadata_ && (at & (frame_size_ - 1)) < sizeof(TxMetadata)) return 0;
  }
  const bool fits = bytes <= offload_.max_frame && bytes >= 14;
  const bool asks_too_much = (packet[0].flags & TxPacket::kSegment) != 0 ||
                             ((packet[0].flags & TxPacket::kChecksum) != 0 && !metadata_);
  const bool can = fits && !asks_too_much &&
                   (n == 1 || (offload_.scatter_gather && !metadata_) || n == packet.size());
  return can ? n : 0;
}

inline void AfxdpQueue::write(std::span<const TxPacket> packet) {
  for (const TxPacket& p : packet) {
    const auto at = static_cast<std::uint64_t>(p.data - base_);
    const std::uint32_t more = (p.flags & TxPacket::kMore) != 0 ? kDescContinues : 0;
    counters_->tx_bytes += p.len;
    if ((at & (frame_size_ - 1)) + p.len > frame_size_) [[unlikely]] {
      write_split(p, at, more);
      continue;
    }
    xdp_desc& d = socket_.tx.write();
    d = {.addr = at, .len = p.len, .options = more};
    if ((p.flags & TxPacket::kChecksum) != 0 && &p == &packet[0]) ask_for_checksum(p, d);
  }
}

/// Bytes that reach over the end of a UMEM frame: a descriptor for each frame.
void AfxdpQueue::write_split(const TxPacket& p, std::uint64_t at, std::uint32_t more_after) {
  std::uint32_t left = p.len;
  bool first = true;
  while (left != 0) {
    const auto room = static_cast<std::uint32_t>(frame_size_ - (at & (frame_size_ - 1)));
    const std::uint32_t n = std::min(left, room);
    left -= n;
    socket_.tx.write() = {.addr = at, .len = n, .options = left != 0 ? kDescContinues : more_after};
    if (!first) {
      ++goes_on_[at >> frame_shift_];
      ++goes_on_in_flight_;
    }
    first = false;
    at += n;
  }
}

/// Leaves the L4 checksum to the driver, by metadata before the frame (Linux 6.8).
void AfxdpQueue::ask_for_checksum(const TxPacket& p, xdp_desc& d) {
  const bool tcp = p.data[23] == std::byte{6};
  const TxMetadata m = {.flags = TxMetadata::kChecksum,
                        .checksum_start = p.l4_offset,
                        .checksum_offset = static_cast<std::uint16_t>(tcp ? 16 : 6),
                        .reserved = 0,
                        .launch_time = 0};
  std::memcpy(base_ + d.addr - sizeof m, &m, sizeof m);
  d.options |= kDescMetadata;
}

void AfxdpQueue::flush() {
  ++counters_->flushes;
  auto& tx = socket_.tx;
  if (tx.has_unpublished()) tx.publish();
  if (tx.needs_wakeup()) kick();
  if (++until_drops_are_read_ >= kDropsInterval) read_drops();
}

/// The kernel sends in our system call. EAGAIN, EBUSY and ENOBUFS say that it has not sent all: its
/// budget is used up (before Linux 6.17 32 frames), or the device or the peer is full.
void AfxdpQueue::kick() {
  auto& tx = socket_.tx;
  std::uint32_t waiting = tx.waiting();
  for (int i = 0; waiting != 0 && i < kMaxKicks; ++i) {
    ++counters_->syscalls;
    if (sendto(socket_.fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0 || errno != EAGAIN) return;
    const std::uint32_t before = waiting;
    waiting = tx.waiting();
    if (waiting == before) return;  // no way forward now
  }
}

unsigned AfxdpQueue::reap() {
  auto& done = socket_.completion;
  const std::uint32_t n = done.available(socket_.completion.size);
  if (n == 0) {
    if (socket_.tx.waiting() != 0 && socket_.tx.needs_wakeup() && !socket_.tx.has_unpublished())
      kick();
    return 0;
  }
  unsigned given_back = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint64_t at = done.read();
    if (goes_on_in_flight_ != 0 && (at & (frame_size_ - 1)) == 0 &&
        goes_on_[at >> frame_shift_] != 0) [[unlikely]] {
      --goes_on_[at >> frame_shift_];
      --goes_on_in_flight_;
      continue;
    }
    memory_->give_back(memory_->chunk_of(base_ + at));
    ++given_back;
  }
  done.release();
  return given_back;
}

unsigned AfxdpQueue::tx_room() {
  auto& tx = socket_.tx;
  return tx.room(tx.size);
}

// --- waiting -----------------------------------------------------------------------------------

/// poll() finds what lies in the receive ring already.
int AfxdpQueue::prepare_wait() {
  if (socket_.tx.has_unpublished()) flush();
  if (fill_missing_ != 0) refill();
  return socket_.fd();
}

void AfxdpQueue::wait(Time now, Time deadline) {
  if (deadline <= now || socket_.rx.available(1) != 0) return;
  prepare_wait();
  const bool device_full = socket_.tx.waiting() != 0;
  const Time nap = device_full ? std::min(deadline - now, kFullDevicePause) : deadline - now;
  const timespec timeout = {static_cast<std::time_t>(nap / kSecond),
                            static_cast<long>(nap % kSecond)};
  pollfd p = {socket_.fd(), POLLIN, 0};
  ++counters_->syscalls;
  ppoll(&p, 1, &timeout, nullptr);
  read_drops();
}

void AfxdpQueue::read_drops() {
  until_drops_are_read_ = 0;
  ++counters_->syscalls;
  const std::uint64_t dropped = socket_.dropped();
  counters_->rx_dropped += dropped - drops_read_;
  drops_read_ = dropped;
}

}  // namespace stackrig::nmio::afxdp
