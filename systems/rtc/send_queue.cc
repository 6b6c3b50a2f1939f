// SPDX-License-Identifier: Apache-2.0
#include "send_queue.h"

#include <algorithm>
#include <cstring>

namespace stackrig::rtc {

using tcpip::Fragment;

bool SendQueue::open(SendPool& pool, std::uint64_t most) {
  if (is_open()) return true;
  const std::uint32_t blocks = SendPool::blocks_for(most);
  if (!pool.reserve(blocks)) return false;
  blocks_ = blocks;
  most_ = least_ = most;
  return true;
}

bool SendQueue::widen(SendPool& pool, std::uint64_t most) {
  if (most <= most_) return false;
  const std::uint32_t blocks = SendPool::blocks_for(most) - blocks_;
  if (!pool.reserve_more(blocks)) return false;
  blocks_ += blocks;
  most_ = most;
  return true;
}

void SendQueue::close(SendPool& pool) {
  for (std::uint32_t block = first_; block != kNone;) {
    const std::uint32_t next = block == tail_ ? kNone : pool.next(block);
    pool.drop_reference(block);
    block = next;
  }
  pool.unreserve(blocks_);
  *this = {};
}

void SendQueue::add_block(SendPool& pool) {
  const std::uint32_t block = pool.take();
  if (tail_ == kNone) {
    first_ = block;
    first_at_ = 0;
  } else {
    pool.chain(tail_, block);
    if (unwritten_ == 0) {  // all of the old one is written
      pool.drop_reference(tail_);
      first_ = block;
      first_at_ = 0;
    }
  }
  tail_ = block;
  tail_used_ = 0;
}

void SendQueue::append(SendPool& pool, std::span<const std::byte> bytes) {
  // Nothing refers to the last block any more: it is used again while it is in the cache.
  if (pending_ == 0 && tail_ != kNone && pool.is_only_reference(tail_)) first_at_ = tail_used_ = 0;
  pending_ += bytes.size();
  while (!bytes.empty()) {
    if (tail_ == kNone || tail_used_ == kBlock) add_block(pool);
    const std::size_t n = std::min<std::size_t>(bytes.size(), kBlock - tail_used_);
    std::memcpy(pool.data(tail_) + tail_used_, bytes.data(), n);
    tail_used_ += static_cast<std::uint32_t>(n);
    unwritten_ += n;
    bytes = bytes.subspan(n);
  }
}

bool SendQueue::flush(SendPool& pool, tcpip::Stack& stack, tcpip::Tcb& tcb, nmio::Time now) {
  while (committed_ != 0 && write_count_ < tcpip::kMaxWrites && pool.has_write()) {
    if (!write(pool, stack, tcb, now)) return false;
  }
  return true;
}

bool SendQueue::write(SendPool& pool, tcpip::Stack& stack, tcpip::Tcb& tcb, nmio::Time now) {
  std::array<Fragment, tcpip::GatherOwner::kMaxParts> parts;
  std::size_t used = 0;
  std::uint32_t bytes = 0;
  const std::uint32_t first = first_;
  std::uint32_t blocks = 0;
  while (committed_ != 0) {
    const auto len =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(committed_, kBlock - first_at_));
    const std::byte* const data = pool.data(first_) + first_at_;
    if (used != 0 && parts[used - 1].data + parts[used - 1].len == data) {
      parts[used - 1].len += len;  // blocks that lie next to each other
    } else if (used < parts.size()) {
      parts[used++] = {data, len};
    } else {
      break;
    }
    ++blocks;
    bytes += len;
    committed_ -= len;
    unwritten_ -= len;
    first_at_ += len;
    if (first_ == tail_) {
      pool.add_reference(first_);
      break;
    }
    if (first_at_ != kBlock) {
      pool.add_reference(first_);
      break;
    }
    first_ = pool.next(first_);  // the write takes over the queue's reference
    first_at_ = 0;
  }
  const std::uint64_t cookie = pool.add_write({parts.data(), used}, first, blocks);
  if (stack.tcp_write(tcb, pool.owner(), cookie, bytes, now) != tcpip::Result::ok) {
    pool.owner().released(cookie);
    return false;
  }
  write_bytes_[(write_head_ + write_count_) % tcpip::kMaxWrites] = bytes;
  ++write_count_;
  return true;
}

void SendQueue::acknowledged(SendPool& pool) {
  pending_ -= write_bytes_[write_head_];
  write_head_ = static_cast<std::uint8_t>((write_head_ + 1) % tcpip::kMaxWrites);
  --write_count_;
  if (pending_ != 0 || most_ == least_) return;
  const std::uint32_t blocks = SendPool::blocks_for(least_);
  pool.unreserve(blocks_ - blocks);
  blocks_ = blocks;
  most_ = least_;
}

}  // namespace stackrig::rtc
