// SPDX-License-Identifier: Apache-2.0
// A port of the simulated network: the device that it stands for, with its offloads.
#include <algorithm>
#include <utility>

#include "nmio/offload.h"
#include "nmio/sim.h"
#include "nmio/sim_queue.h"

namespace stackrig::nmio {
namespace {

constexpr std::size_t kEthernet = 14;
/// Received frames start this far into their chunk, so that code which takes a chunk's start for
/// the frame's does not pass its tests.
constexpr std::uint32_t kHeadroom = 64;

}  // namespace

SimPort::SimQueue::SimQueue(SimPort& port, const SimPortConfig& config)
    : port_(port), ring_(config.ring) {
  memory_ = PacketMemory::create(
      {.chunks = config.chunks, .chunk_size = config.chunk_size, .huge_pages = false});
  offload_ = {.tx_checksum = config.tx_checksum || config.segment,
              .rx_checksum = config.rx_checksum,
              .segment = config.segment,
              .scatter_gather = config.scatter_gather,
              .max_frame = config.mtu + static_cast<std::uint32_t>(kEthernet)};
}

unsigned SimPort::SimQueue::receive(std::span<RxPacket> out) {
  ++counters_->receive_calls;
  const auto n = static_cast<unsigned>(std::min(out.size(), received_.size()));
  if (n == 0) ++counters_->receive_empty;
  for (unsigned i = 0; i < n; ++i) {
    out[i] = received_.front();
    received_.pop_front();
    ++counters_->rx_packets;
    counters_->rx_bytes += out[i].len;
  }
  return n;
}

unsigned SimPort::SimQueue::put(std::span<const TxPacket> in) {
  unsigned taken = 0;
  for (unsigned i = 0; i < in.size(); ++i) {
    if ((in[i].flags & TxPacket::kMore) != 0) continue;  // the packet goes on
    const unsigned whole = i + 1;
    if (whole - taken > tx_room()) break;
    waiting_.insert(waiting_.end(), in.begin() + taken, in.begin() + whole);
    ++counters_->tx_packets;
    for (; taken < whole; ++taken) counters_->tx_bytes += in[taken].len;
  }
  return taken;
}

void SimPort::SimQueue::flush() {
  ++counters_->flushes;
  std::size_t first = 0;
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    sent_.push_back(waiting_[i].chunk);
    if ((waiting_[i].flags & TxPacket::kMore) != 0) continue;
    send_packet({waiting_.data() + first, i + 1 - first});
    first = i + 1;
  }
  waiting_.clear();
}

unsigned SimPort::SimQueue::reap() {
  for (const ChunkId c : sent_) memory_->give_back(c);
  const auto n = static_cast<unsigned>(sent_.size());
  sent_.clear();
  return n;
}

bool SimPort::SimQueue::arrive(const std::vector<std::byte>& bytes, std::uint32_t hash) {
  const bool fits = received_.size() < ring_ && bytes.size() <= memory_->chunk_size() - kHeadroom;
  const ChunkId chunk = fits ? memory_->take() : kNoChunk;
  if (chunk == kNoChunk) {
    ++counters_->rx_dropped;
    return false;
  }
  std::byte* data = memory_->data(chunk) + kHeadroom;
  std::copy(bytes.begin(), bytes.end(), data);
  L4Place place;
  const bool good = offload_.rx_checksum && find_l4(bytes, place) && checksum_is_good(bytes, place);
  const std::uint16_t flags = good ? RxPacket::kChecksumGood : 0;
  received_.push_back({data, static_cast<std::uint32_t>(bytes.size()), chunk, hash, flags});
  return true;
}

/// The device's part: gathers the bytes, applies the offloads that were asked for, and sends.
void SimPort::SimQueue::send_packet(std::span<const TxPacket> parts) {
  std::vector<std::byte> bytes;
  for (const TxPacket& part : parts) bytes.insert(bytes.end(), part.data, part.data + part.len);
  const unsigned flags = parts.front().flags;
  const bool can = (parts.size() == 1 || offload_.scatter_gather) &&
                   ((flags & TxPacket::kChecksum) == 0 || offload_.tx_checksum) &&
                   ((flags & TxPacket::kSegment) == 0 || offload_.segment);
  if (!can) {
    ++counters_->tx_dropped;
  } else if ((flags & TxPacket::kSegment) != 0) {
    send_segments(parts.front(), bytes);
  } else {
    send_frame(std::move(bytes), (flags & TxPacket::kChecksum) != 0);
  }
}

void SimPort::SimQueue::send_frame(std::vector<std::byte> bytes, bool fill) {
  if (bytes.size() > offload_.max_frame || bytes.size() < kEthernet) {
    ++counters_->tx_dropped;
    return;
  }
  L4Place place;
  if (fill && find_l4(bytes, place)) fill_checksum(bytes, place);
  port_.network_.send(port_, std::move(bytes));
}

void SimPort::SimQueue::send_segments(const TxPacket& first, std::span<const std::byte> bytes) {
  Segmenter cut;
  const std::size_t header = first.header_len;
  if (bytes.size() <= header ||
      !cut.start(bytes.first(header), first.l4_offset,
                 static_cast<std::uint32_t>(bytes.size() - header), first.segment_size)) {
    ++counters_->tx_dropped;
    return;
  }
  while (!cut.done()) {
    const auto payload = bytes.subspan(header + cut.payload_offset(), cut.payload_len());
    std::vector<std::byte> frame(header + payload.size());
    std::copy(payload.begin(), payload.end(), frame.begin() + static_cast<std::ptrdiff_t>(header));
    cut.next(frame.data());
    send_frame(std::move(frame), true);
  }
}

// --- the port ----------------------------------------------------------------------------------

SimPort::SimPort(SimNetwork& network, unsigned index, SimPortConfig config)
    : network_(network), index_(index), config_(std::move(config)) {
  for (unsigned i = 0; i < config_.queues; ++i) {
    queues_.push_back(std::make_unique<SimQueue>(*this, config_));
  }
}
SimPort::~SimPort() = default;
unsigned SimPort::queues() const {
  return config_.queues;
}
Queue& SimPort::queue(unsigned index) {
  return *queues_.at(index);
}
std::span<const std::uint8_t, 6> SimPort::mac() const {
  return config_.mac;
}
std::uint32_t SimPort::mtu() const {
  return config_.mtu;
}
std::string SimPort::describe() const {
  return "sim " + config_.name + ": " + std::to_string(config_.queues) + " queues, mtu " +
         std::to_string(config_.mtu) + ", virtual time";
}

}  // namespace stackrig::nmio
