// SPDX-License-Identifier: Apache-2.0
// Big-endian integers in place: byte-aligned, so that a struct of them can lie over any packet.
#pragma once

#include <cstdint>
#include <cstring>

#include "wire/address.h"

namespace stackrig::wire {

class Be16 {
 public:
  [[nodiscard]] std::uint16_t get() const { return __builtin_bswap16(raw()); }
  void set(std::uint16_t v) { set_raw(__builtin_bswap16(v)); }
  /// As it lies in memory: what checksums are made of (see checksum.h).
  [[nodiscard]] std::uint16_t raw() const {
    std::uint16_t v;
    std::memcpy(&v, bytes_, sizeof v);
    return v;
  }
  void set_raw(std::uint16_t v) { std::memcpy(bytes_, &v, sizeof v); }

 private:
  std::uint8_t bytes_[2];
};

class Be32 {
 public:
  [[nodiscard]] std::uint32_t get() const { return __builtin_bswap32(raw()); }
  void set(std::uint32_t v) { set_raw(__builtin_bswap32(v)); }
  [[nodiscard]] std::uint32_t raw() const {
    std::uint32_t v;
    std::memcpy(&v, bytes_, sizeof v);
    return v;
  }
  void set_raw(std::uint32_t v) { std::memcpy(bytes_, &v, sizeof v); }

 private:
  std::uint8_t bytes_[4];
};

/// An Ethernet address in place.
class MacField {
 public:
  [[nodiscard]] MacAddress get() const {
    MacAddress a;
    std::memcpy(a.bytes.data(), bytes_, sizeof bytes_);
    return a;
  }
  void set(const MacAddress& a) { std::memcpy(bytes_, a.bytes.data(), sizeof bytes_); }

 private:
  std::uint8_t bytes_[6];
};

/// An IPv4 address in place.
class Ipv4Field {
 public:
  [[nodiscard]] Ipv4Address get() const { return {value_.get()}; }
  void set(Ipv4Address a) { value_.set(a.value); }
  [[nodiscard]] std::uint32_t raw() const { return value_.raw(); }

 private:
  Be32 value_;
};

}  // namespace stackrig::wire
