// SPDX-License-Identifier: Apache-2.0
// The four rings that an AF_XDP socket shares with the kernel
// (Documentation/networking/af_xdp.rst). Each side caches the other's index and reads it again only
// when the cached one gives nothing more.
#pragma once

#include <linux/if_xdp.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace stackrig::nmio::afxdp {

/// A mapped ring.
template <class Entry>
struct Ring {
  std::uint32_t* producer = nullptr;
  std::uint32_t* consumer = nullptr;
  std::uint32_t* flags = nullptr;
  Entry* entries = nullptr;
  std::uint32_t size = 0;

  Entry& at(std::uint32_t index) { return entries[index & (size - 1)]; }
  [[nodiscard]] bool needs_wakeup() const {
    return (std::atomic_ref(*flags).load(std::memory_order_relaxed) & XDP_RING_NEED_WAKEUP) != 0;
  }
};

/// A ring that we fill (fill and transmit).
template <class Entry>
class Producer : public Ring<Entry> {
 public:
  /// Entries that may be written, `wanted` or more where there are so many.
  std::uint32_t room(std::uint32_t wanted) {
    if (this->size - (next_ - taken_) < wanted) {
      taken_ = std::atomic_ref(*this->consumer).load(std::memory_order_acquire);
    }
    return this->size - (next_ - taken_);
  }
  Entry& write() { return this->at(next_++); }
  void publish() {
    std::atomic_ref(*this->producer).store(next_, std::memory_order_release);
    published_ = next_;
  }
  [[nodiscard]] bool has_unpublished() const { return published_ != next_; }
  /// Entries that the kernel has not taken yet.
  std::uint32_t waiting() {
    taken_ = std::atomic_ref(*this->consumer).load(std::memory_order_acquire);
    return next_ - taken_;
  }

 private:
  std::uint32_t next_ = 0;
  std::uint32_t published_ = 0;
  std::uint32_t taken_ = 0;  ///< by the kernel, as last read
};

/// A ring that the kernel fills (receive and completion).
template <class Entry>
class Consumer : public Ring<Entry> {
 public:
  /// Entries to be read, at most `wanted`.
  std::uint32_t available(std::uint32_t wanted) {
    if (filled_ - next_ < wanted)
      filled_ = std::atomic_ref(*this->producer).load(std::memory_order_acquire);
    const std::uint32_t n = filled_ - next_;
    return n < wanted ? n : wanted;
  }
  const Entry& peek(std::uint32_t ahead) { return this->at(next_ + ahead); }
  const Entry& read() { return this->at(next_++); }
  /// What was read is the kernel's again.
  void release() { std::atomic_ref(*this->consumer).store(next_, std::memory_order_release); }

 private:
  std::uint32_t next_ = 0;
  std::uint32_t filled_ = 0;  ///< by the kernel, as last read
};

}  // namespace stackrig::nmio::afxdp
