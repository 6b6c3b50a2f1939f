// SPDX-License-Identifier: Apache-2.0
// The sending side of the soft NIC, and the queue around both.
#include "nmio/shm/queue.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "nmio/clock.h"
#include "nmio/rss.h"

namespace stackrig::nmio::shm {
namespace {

/// Descriptors of the packet at the front; 0 where its end is not there.
unsigned packet_parts(std::span<const TxPacket> in) {
  for (unsigned i = 0; i < in.size(); ++i) {
    if ((in[i].flags & TxPacket::kMore) == 0) return i + 1;
  }
  return 0;
}

std::uint64_t bytes_of(std::span<const TxPacket> parts) {
  std::uint64_t bytes = 0;
  for (const TxPacket& p : parts) bytes += p.len;
  return bytes;
}

}  // namespace

// --- descriptors towards one queue of the peer -------------------------------------------------

Outbound::Outbound(const Session& s, unsigned own_queue, unsigned peer_queue, PacketMemory& memory)
    : ring_(s.own_layout.ring(s.own.base(), own_queue, peer_queue)),
      memory_(memory),
      capacity_(s.own_layout.ring()),
      chunks_(capacity_, kNoChunk),
      produced_index_(s.own_layout.produced(s.own.base(), own_queue, peer_queue)),
      consumed_index_(s.peer_layout.consumed(s.theirs.base(), peer_queue, own_queue)),
      peer_sleeps_(s.peer_layout.sleeps(s.theirs.base(), peer_queue)),
      wake_fd_(s.peer_wake[peer_queue].get()) {
}

std::uint32_t Outbound::fresh_room() {
  reap();
  return room();
}

void Outbound::write(std::span<const TxPacket> parts, const std::byte* base, std::uint32_t hash) {
  for (const TxPacket& p : parts) write(p, static_cast<std::uint64_t>(p.data - base), hash);
}

bool Outbound::publish() {
  if (published_ == put_) return false;
  // Sequentially consistent, as the same two steps in wait() are: either the peer sees the index
  // before it sleeps, or we see that it sleeps.
  produced_index_->value.store(put_, std::memory_order_seq_cst);
  published_ = put_;
  const std::uint32_t sleeps = peer_sleeps_->value.load(std::memory_order_seq_cst);
  if ((sleeps & 1) == 0 || sleeps == woken_for_) return false;
  woken_for_ = sleeps;
  return true;
}

unsigned Outbound::reap() {
  const std::uint32_t consumed = consumed_index_->value.load(std::memory_order_acquire);
  if (consumed - reaped_ > published_ - reaped_) {  // more than it was given
    broken_ = true;
    return 0;
  }
  return give_back_until(consumed);
}

unsigned Outbound::abandon() {
  return give_back_until(put_);
}

unsigned Outbound::give_back_until(std::uint32_t end) {
  const unsigned n = end - reaped_;
  while (reaped_ != end) memory_.give_back(chunks_[reaped_++ & (capacity_ - 1)]);
  return n;
}

// --- the queue ---------------------------------------------------------------------------------

ShmQueue::ShmQueue(const QueueConfig& config, int wake_fd) : config_(config), wake_fd_(wake_fd) {
  memory_ = PacketMemory::create(
      {.chunks = config.chunks, .chunk_size = config.chunk_size, .huge_pages = config.huge_pages});
  offload_ = {.tx_checksum = config.checksum || config.segment,
              .rx_checksum = config.checksum,
              .segment = config.segment,
              .scatter_gather = true,
              .max_frame = config.max_frame};
}

ShmQueue::~ShmQueue() = default;

/// The peer came or went. What the old one had not consumed comes home: it is lost, as on a cable
/// that was pulled.
void ShmQueue::change_session() {
  leave_session();
  session_ = link_->session(generation_);
  if (session_ == nullptr) return;
  const Session& s = *session_;
  for (unsigned i = 0; i < s.peer.queues; ++i) {
    inbound_.emplace_back(s, config_.index, i, config_, *memory_);
    outbound_.emplace_back(s, config_.index, i, *memory_);
  }
  own_sleeps_ = s.own_layout.sleeps(s.own.base(), config_.index);
  rate_ = LinkRate(s.rate);
  paced_.resize(rate_.limits() ? config_.ring : 0);
}

void ShmQueue::leave_session() {
  for (Outbound& to : outbound_) {
    const unsigned n = to.abandon();
    returned_ += n;
    counters_->tx_dropped += n;
  }
  for (; paced_head_ != paced_tail_; ++paced_head_) {
    drop({&paced_[paced_head_ & (config_.ring - 1)], 1});
  }
  outbound_.clear();
  inbound_.clear();
  own_sleeps_ = nullptr;
  session_.reset();
}

unsigned ShmQueue::receive(std::span<RxPacket> out) {
  follow_link();
  // reap() comes later in the turn: by then the peer's index has arrived.
  for (const Outbound& to : outbound_) to.prefetch_consumed();
  unsigned n = 0;
  const auto peers = static_cast<unsigned>(inbound_.size());
  for (unsigned i = 0; i < peers && n < out.size(); ++i) {
    n += inbound_[(first_inbound_ + i) % peers].receive(out.subspan(n), *counters_);
  }
  ++first_inbound_;
  ++counters_->receive_calls;
  if (n == 0) {
    ++counters_->receive_empty;
    check_peer();
    return 0;
  }
  counters_->rx_packets += n;
  for (unsigned i = 0; i < n; ++i) counters_->rx_bytes += out[i].len;
  return n;
}

unsigned ShmQueue::put(std::span<const TxPacket> in) {
  follow_link();
  if (rate_.limits()) return put_paced(in);
  unsigned taken = put_plain(in);
  while (taken < in.size()) {
    const unsigned parts = packet_parts(in.subspan(taken));
    if (parts == 0 || !transmit(in.subspan(taken, parts))) break;
    ++counters_->tx_packets;
    counters_->tx_bytes += bytes_of(in.subspan(taken, parts));
    taken += parts;
  }
  return taken;
}

/// The common case, as far as it goes: packets of one descriptor, a peer with one queue and room.
unsigned ShmQueue::put_plain(std::span<const TxPacket> in) {
  if (outbound_.size() != 1) return 0;
  Outbound& to = outbound_.front();
  const std::size_t room = to.room() < in.size() ? to.fresh_room() : to.room();
  const std::size_t most = std::min(room, in.size());
  unsigned n = 0;
  std::uint64_t bytes = 0;
  for (; n < most; ++n) {
    const TxPacket& p = in[n];
    const auto offset = static_cast<std::uint64_t>(p.data - memory_->base());
    if ((p.flags & TxPacket::kMore) != 0 || !lies_inside(p, offset)) break;
    to.write(p, offset, 0);
    bytes += p.len;
  }
  counters_->tx_packets += n;
  counters_->tx_bytes += bytes;
  return n;
}

/// Puts one packet on the wire, or drops it as a device does: no peer, no room in the receiver's
/// ring, or a packet that cannot be. False where it has to wait for room (pause).
bool ShmQueue::transmit(std::span<const TxPacket> parts) {
  if (outbound_.empty()) {
    drop(parts);
    return true;
  }
  std::uint32_t hash = 0;
  Outbound* to = outbound_.data();
  if (outbound_.size() > 1) {
    hash = rss_hash_frame({parts[0].data, parts[0].len});
    to += rss_queue(hash, static_cast<unsigned>(outbound_.size()));
  }
  if (to->room() < parts.size() && to->fresh_room() < parts.size()) [[unlikely]] {
    if (config_.pause && parts.size() <= to->capacity() && !to->is_broken()) return false;
    drop(parts);
    return true;
  }
  const std::byte* base = memory_->base();
  for (const TxPacket& p : parts) {
    if (!lies_inside(p, static_cast<std::uint64_t>(p.data - base))) [[unlikely]] {
      drop(parts);
      return true;
    }
  }
  to->write(parts, base, hash);
  return true;
}

void ShmQueue::drop(std::span<const TxPacket> parts) {
  for (const TxPacket& p : parts) memory_->give_back(p.chunk);
  returned_ += static_cast<unsigned>(parts.size());
  ++counters_->tx_dropped;
}

void ShmQueue::flush() {
  ++counters_->flushes;
  follow_link();
  if (rate_.limits()) send_paced(Clock::now());
  for (Outbound& to : outbound_) {
    if (to.publish()) wake_peer(to);
  }
}

void ShmQueue::wake_peer(Outbound& to) {
  const std::uint64_t one = 1;
  (void)!write(to.wake_fd(), &one, sizeof one);  // a full counter wakes it as well
  ++counters_->syscalls;
}

unsigned ShmQueue::reap() {
  follow_link();
  unsigned n = returned_;
  returned_ = 0;
  for (Outbound& to : outbound_) n += to.reap();
  if (rate_.limits() && paced_head_ != paced_tail_) {
    send_paced(Clock::now());
    for (Outbound& to : outbound_) {
      if (to.publish()) wake_peer(to);
    }
  }
  return n;
}

unsigned ShmQueue::tx_room() {
  if (rate_.limits()) return config_.ring - (paced_tail_ - paced_head_);
  if (!config_.pause || outbound_.empty()) return config_.ring;
  std::uint32_t room = config_.ring;
  for (Outbound& to : outbound_) room = std::min(room, to.fresh_room());
  return room;
}

// --- a link with a rate ------------------------------------------------------------------------

unsigned ShmQueue::put_paced(std::span<const TxPacket> in) {
  unsigned taken = 0;
  if (paced_head_ == paced_tail_) rate_.idle(Clock::now());
  while (taken < in.size()) {
    const unsigned parts = packet_parts(in.subspan(taken));
    if (parts == 0 || parts > config_.ring - (paced_tail_ - paced_head_)) break;
    for (const TxPacket& p : in.subspan(taken, parts))
      paced_[paced_tail_++ & (config_.ring - 1)] = p;
    ++counters_->tx_packets;
    counters_->tx_bytes += bytes_of(in.subspan(taken, parts));
    taken += parts;
  }
  return taken;
}

void ShmQueue::send_paced(Time now) {
  std::array<TxPacket, Inbound::kMaxParts> parts;
  while (paced_head_ != paced_tail_ && rate_.may_send(now)) {
    unsigned n = 0;
    bool more = true;
    while (more && n < parts.size() && paced_head_ + n != paced_tail_) {
      parts[n] = paced_[(paced_head_ + n) & (config_.ring - 1)];
      more = (parts[n++].flags & TxPacket::kMore) != 0;
    }
    const std::span<const TxPacket> packet(parts.data(), n);
    if (!transmit(packet)) {
      rate_.idle(now);  // a paused link makes up for nothing
      return;
    }
    paced_head_ += n;
    const std::uint64_t bytes = bytes_of(packet);
    std::uint64_t frames = 1;
    std::uint64_t headers = 0;
    if ((parts[0].flags & TxPacket::kSegment) != 0 && parts[0].segment_size != 0 &&
        bytes > parts[0].header_len) {
      const std::uint64_t size = parts[0].segment_size;
      frames = (bytes - parts[0].header_len + size - 1) / size;
      headers = (frames - 1) * parts[0].header_len;
    }
    rate_.sent(bytes + headers, frames);
  }
}

// --- waiting and trouble -----------------------------------------------------------------------

bool ShmQueue::has_frames() const {
  return std::any_of(inbound_.begin(), inbound_.end(),
                     [](const Inbound& i) { return i.has_frames(); });
}

/// A peer whose indices make no sense is hung up on.
void ShmQueue::check_peer() {
  const bool broken = std::any_of(inbound_.begin(), inbound_.end(),
                                  [](const Inbound& i) { return i.is_broken(); }) ||
                      std::any_of(outbound_.begin(), outbound_.end(),
                                  [](const Outbound& o) { return o.is_broken(); });
  if (!broken) return;
  ++counters_->syscalls;
  shutdown(session_->socket.get(), SHUT_RDWR);
}

void ShmQueue::wait(Time now, Time deadline) {
  follow_link();
  if (paced_head_ != paced_tail_) deadline = std::min(deadline, rate_.free_at());
  if (deadline <= now) return;
  std::uint32_t sleeps = 0;
  if (own_sleeps_ != nullptr) {
    sleeps = own_sleeps_->value.load(std::memory_order_relaxed);
    own_sleeps_->value.store(sleeps + 1, std::memory_order_seq_cst);
  }
  if (!has_frames()) {
    const Time nap = deadline - now;
    const timespec timeout = {static_cast<std::time_t>(nap / kSecond),
                              static_cast<long>(nap % kSecond)};
    pollfd p = {wake_fd_, POLLIN, 0};
    ++counters_->syscalls;
    if (ppoll(&p, 1, &timeout, nullptr) > 0) {
      std::uint64_t count = 0;
      (void)!read(wake_fd_, &count, sizeof count);
      ++counters_->syscalls;
    }
  }
  if (own_sleeps_ != nullptr) own_sleeps_->value.store(sleeps + 2, std::memory_order_relaxed);
}

}  // namespace stackrig::nmio::shm
