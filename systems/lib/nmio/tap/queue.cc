// SPDX-License-Identifier: Apache-2.0
#include "nmio/tap/queue.h"

#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace stackrig::nmio::tap {
namespace {

constexpr std::uint32_t kEthernet = 14;
/// Nothing wakes a poll() for reading when a full device has room again.
constexpr Time kFullDevicePause = 20 * kMicrosecond;

}  // namespace

TapQueue::TapQueue(int fd, const QueueConfig& config) : fd_(fd), config_(config), large_(kLargest) {
  memory_ = PacketMemory::create(
      {.chunks = config.chunks, .chunk_size = config.chunk_size, .huge_pages = config.huge_pages});
  offload_ = {.tx_checksum = config.checksum || config.segment,
              .rx_checksum = config.checksum,
              .segment = config.segment,
              .scatter_gather = true,
              .max_frame = config.max_frame};
  waiting_.reserve(config.ring);
}

TapQueue::~TapQueue() = default;

// --- receiving ---------------------------------------------------------------------------------

unsigned TapQueue::receive(std::span<RxPacket> out) {
  ++counters_->receive_calls;
  unsigned n = cut_headers_ != 0 ? cut_on(out) : 0;
  // One call takes so many frames at most, dropped ones as well: a flood of bad ones holds nobody.
  for (std::size_t tries = out.size(); tries != 0 && n < out.size() && cut_headers_ == 0; --tries) {
    const Got got = read_one(out[n]);
    if (got == Got::nothing) break;
    if (got == Got::taken) ++n;
    if (cut_headers_ != 0) n += cut_on(out.subspan(n));
  }
  if (n == 0) ++counters_->receive_empty;
  counters_->rx_packets += n;
  for (unsigned i = 0; i < n; ++i) counters_->rx_bytes += out[i].len;
  return n;
}

/// One frame, straight into a chunk; what does not fit goes on in `large_`.
TapQueue::Got TapQueue::read_one(RxPacket& out) {
  VnetHeader header;
  const ChunkId chunk = memory_->take();
  const std::size_t room = chunk == kNoChunk ? 0 : memory_->chunk_size();
  iovec parts[3] = {{&header, sizeof header},
                    {chunk == kNoChunk ? nullptr : memory_->data(chunk), room},
                    {large_.data() + room, large_.size() - room}};
  ++counters_->syscalls;
  const ssize_t n = readv(fd_, parts, 3);
  if (n < static_cast<ssize_t>(sizeof header)) {
    if (chunk != kNoChunk) memory_->give_back(chunk);
    if (n <= 0) return Got::nothing;
    ++counters_->rx_dropped;
    return Got::dropped;
  }
  const Got got = chunk == kNoChunk
                      ? Got::dropped
                      : take(header, chunk, static_cast<std::size_t>(n) - sizeof header, out);
  if (got != Got::taken && chunk != kNoChunk) memory_->give_back(chunk);
  if (got == Got::dropped && cut_headers_ == 0) ++counters_->rx_dropped;
  return got;
}

/// Decides what becomes of a frame; `dropped` with a cut begun where it goes on in pieces.
TapQueue::Got TapQueue::take(const VnetHeader& header, ChunkId chunk, std::size_t len,
                             RxPacket& out) {
  std::byte* data = memory_->data(chunk);
  const std::size_t head = std::min<std::size_t>(len, memory_->chunk_size());
  const Arrival how = judge(header, {data, head}, len);
  if (how.kind == Arrival::Kind::bad) return Got::dropped;
  if (how.kind == Arrival::Kind::large) {
    std::memcpy(large_.data(), data, head);
    begin_cut(how, len);
    return Got::dropped;
  }
  if (len > config_.max_frame) return Got::dropped;
  out = {.data = data,
         .len = static_cast<std::uint32_t>(len),
         .chunk = chunk,
         .rss_hash = 0,
         .flags = 0};
  if (config_.checksum && (how.checksum_left || how.checksum_good)) {
    out.flags = RxPacket::kChecksumGood;
  } else if (how.checksum_left) {
    L4Place place;
    if (find_l4({data, len}, place)) fill_checksum({data, len}, place);
  }
  return Got::taken;
}

void TapQueue::begin_cut(const Arrival& how, std::size_t len) {
  const std::uint32_t segment = how.segment_size;
  std::uint32_t piece = segment;
  if (config_.large_receive >= how.header_len + segment) {
    piece = (config_.large_receive - how.header_len) / segment * segment;
  }
  const bool can = how.header_len + piece <= memory_->chunk_size() &&
                   cut_.start({large_.data(), how.header_len}, how.l4_offset,
                              static_cast<std::uint32_t>(len) - how.header_len, piece);
  cut_headers_ = can ? how.header_len : 0;
}

/// Makes as many pieces of the frame that is being cut as there is room for.
unsigned TapQueue::cut_on(std::span<RxPacket> out) {
  unsigned n = 0;
  while (n < out.size() && !cut_.done()) {
    const std::uint32_t payload = cut_.payload_len();
    const std::byte* from = large_.data() + cut_headers_ + cut_.payload_offset();
    const ChunkId chunk = memory_->take();
    std::array<std::byte, 256> lost;
    std::byte* to = chunk == kNoChunk ? lost.data() : memory_->data(chunk);
    cut_.next(to);
    if (chunk == kNoChunk) {
      ++counters_->rx_dropped;
      continue;
    }
    std::memcpy(to + cut_headers_, from, payload);
    out[n] = {.data = to,
              .len = cut_headers_ + payload,
              .chunk = chunk,
              .rss_hash = 0,
              .flags = RxPacket::kChecksumGood};
    ++n;
  }
  if (cut_.done()) cut_headers_ = 0;
  return n;
}

// --- sending -----------------------------------------------------------------------------------

unsigned TapQueue::put(std::span<const TxPacket> in) {
  unsigned taken = 0;
  for (unsigned i = 0; i < in.size(); ++i) {
    if ((in[i].flags & TxPacket::kMore) != 0) continue;
    const auto packet = in.subspan(taken, i + 1 - taken);
    if (!can_send(packet)) {  // a device drops what it cannot send
      for (const TxPacket& p : packet) memory_->give_back(p.chunk);
      ++counters_->tx_dropped;
    } else {
      if (tx_room() < packet.size()) break;
      waiting_.insert(waiting_.end(), packet.begin(), packet.end());
      for (const TxPacket& p : packet) counters_->tx_bytes += p.len;
    }
    ++counters_->tx_packets;
    taken = i + 1;
  }
  return taken;
}

bool TapQueue::can_send(std::span<const TxPacket> packet) const {
  const std::uint64_t size = memory_->size_bytes();
  std::uint64_t bytes = 0;
  for (const TxPacket& p : packet) {
    const auto at = static_cast<std::uint64_t>(p.data - memory_->base());
    if (at > size || p.len > size - at || p.len == 0) return false;
    bytes += p.len;
  }
  if (packet.size() > kMaxParts || bytes < kEthernet) return false;
  const TxPacket& first = packet[0];
  const bool segment = (first.flags & TxPacket::kSegment) != 0;
  const bool checksum = (first.flags & TxPacket::kChecksum) != 0;
  if ((segment && !offload_.segment) || (checksum && !offload_.tx_checksum)) return false;
  if (!segment) return bytes <= offload_.max_frame;
  return first.segment_size != 0 && bytes > first.header_len && bytes <= kLargest &&
         first.header_len + std::uint64_t{first.segment_size} <= offload_.max_frame;
}

void TapQueue::flush() {
  ++counters_->flushes;
  full_ = false;
  while (sent_ < waiting_.size()) {
    std::size_t end = sent_;
    while ((waiting_[end].flags & TxPacket::kMore) != 0) ++end;
    if (!write_one({waiting_.data() + sent_, end + 1 - sent_})) {
      full_ = true;
      return;
    }
    sent_ = end + 1;
  }
}

/// False where the device has no room now; what it refuses for another reason is dropped.
bool TapQueue::write_one(std::span<const TxPacket> packet) {
  VnetHeader header = header_of(packet[0]);
  std::array<iovec, kMaxParts + 1> parts;
  parts[0] = {&header, sizeof header};
  for (std::size_t i = 0; i < packet.size(); ++i) {
    parts[i + 1] = {const_cast<std::byte*>(packet[i].data), packet[i].len};
  }
  ++counters_->syscalls;
  if (writev(fd_, parts.data(), static_cast<int>(packet.size() + 1)) >= 0) return true;
  if (errno == EAGAIN) return false;
  ++counters_->tx_dropped;
  return true;
}

unsigned TapQueue::reap() {
  if (full_) flush();
  const auto n = static_cast<unsigned>(sent_);
  for (std::size_t i = 0; i < sent_; ++i) memory_->give_back(waiting_[i].chunk);
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(sent_));
  sent_ = 0;
  return n;
}

unsigned TapQueue::tx_room() {
  return config_.ring - static_cast<unsigned>(waiting_.size());
}

int TapQueue::prepare_wait() {
  if (sent_ < waiting_.size()) flush();
  return cut_headers_ == 0 ? fd_ : -1;
}

void TapQueue::wait(Time now, Time deadline) {
  if (deadline <= now || cut_headers_ != 0) return;
  prepare_wait();
  const Time nap = full_ ? std::min(deadline - now, kFullDevicePause) : deadline - now;
  const timespec timeout = {static_cast<std::time_t>(nap / kSecond),
                            static_cast<long>(nap % kSecond)};
  pollfd p = {fd_, POLLIN, 0};
  ++counters_->syscalls;
  ppoll(&p, 1, &timeout, nullptr);
}

}  // namespace stackrig::nmio::tap
