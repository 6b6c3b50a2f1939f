// SPDX-License-Identifier: Apache-2.0
#include "nmio/offload.h"

#include <algorithm>

namespace stackrig::nmio {
namespace {

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint8_t kFin = 0x01, kPsh = 0x08, kCwr = 0x80;

std::uint32_t load8(const std::byte* p) {
  return std::to_integer<std::uint32_t>(*p);
}
std::uint32_t load16(const std::byte* p) {
  return load8(p) << 8 | load8(p + 1);
}
std::uint32_t load32(const std::byte* p) {
  return load16(p) << 16 | load16(p + 2);
}
void store16(std::byte* p, std::uint32_t v) {
  p[0] = static_cast<std::byte>(v >> 8);
  p[1] = static_cast<std::byte>(v);
}
void store32(std::byte* p, std::uint32_t v) {
  store16(p, v >> 16);
  store16(p + 2, v);
}
/// Sums are over words as they lie in memory: they are stored without a swap.
void store_sum(std::byte* p, std::uint16_t v) {
  std::memcpy(p, &v, sizeof v);
}

std::uint64_t fold32(std::uint64_t sum) {
  return (sum & 0xffffffff) + (sum >> 32);
}

/// Pseudo header (RFC 9293 3.1) of the packet whose IPv4 header is at `ip`.
std::uint64_t pseudo_header(const std::byte* ip, std::uint32_t l4_len) {
  std::byte tail[4] = {std::byte{0}, ip[9], std::byte{0}, std::byte{0}};
  store16(tail + 2, l4_len);
  return checksum_add(checksum_add(0, {ip + 12, 8}), tail);
}

std::uint64_t l4_sum(std::span<const std::byte> frame, const L4Place& p) {
  return checksum_add(pseudo_header(&frame[kEthernet], p.end - p.l4),
                      frame.subspan(p.l4, p.end - p.l4));
}

}  // namespace

std::uint64_t checksum_add(std::uint64_t sum, std::span<const std::byte> bytes) {
  const std::byte* p = bytes.data();
  std::size_t n = bytes.size();
  sum = fold32(sum);
  // 32-bit words into 64-bit lanes: no carry is lost below 2^32 words, and the compiler vectorises
  // it.
  for (; n >= 4; p += 4, n -= 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, p, 4);
    sum += word;
  }
  if (n != 0) {
    std::uint32_t word = 0;
    std::memcpy(&word, p, n);
    sum += word;
  }
  return sum;
}

std::uint16_t checksum_finish(std::uint64_t sum) {
  sum = fold32(fold32(sum));
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

bool find_l4(std::span<const std::byte> frame, L4Place& out) {
  if (frame.size() < kEthernet + 20 || load16(&frame[12]) != 0x0800) return false;
  const std::byte* ip = &frame[kEthernet];
  const std::uint32_t header = (load8(ip) & 0xf) * 4;
  const std::uint32_t total = load16(ip + 2);
  const bool fragment = (load16(ip + 6) & 0x3fff) != 0;
  if (load8(ip) >> 4 != 4 || header < 20 || fragment || kEthernet + total > frame.size())
    return false;
  out.tcp = ip[9] == std::byte{6};
  if (!out.tcp && ip[9] != std::byte{17}) return false;
  if (total < header + (out.tcp ? 20U : 8U)) return false;
  out.l4 = kEthernet + header;
  out.end = kEthernet + total;
  out.checksum = out.l4 + (out.tcp ? 16 : 6);
  return true;
}

void fill_checksum(std::span<std::byte> frame, const L4Place& place) {
  store_sum(&frame[place.checksum], 0);
  const std::uint16_t sum = checksum_finish(l4_sum(frame, place));
  // UDP writes a zero sum as all ones: zero means that there is none (RFC 768).
  store_sum(&frame[place.checksum], sum == 0 && !place.tcp ? 0xffff : sum);
}

bool checksum_is_good(std::span<const std::byte> frame, const L4Place& place) {
  if (!place.tcp && load16(&frame[place.checksum]) == 0) return true;
  return checksum_finish(l4_sum(frame, place)) == 0;
}

bool Segmenter::start(std::span<const std::byte> headers, std::uint32_t l4_offset,
                      std::uint32_t payload_len, std::uint32_t segment_size) {
  if (segment_size == 0 || payload_len == 0) return false;
  if (l4_offset < kEthernet + 20 || headers.size() < l4_offset + 20) return false;
  const std::byte* ip = &headers[kEthernet];
  if (load16(&headers[12]) != 0x0800 || load8(ip) >> 4 != 4 || ip[9] != std::byte{6}) return false;
  if (kEthernet + (load8(ip) & 0xf) * 4 != l4_offset) return false;
  if (l4_offset + (load8(&headers[l4_offset + 12]) >> 4) * 4 != headers.size()) return false;
  headers_ = headers;
  l4_offset_ = l4_offset;
  payload_len_ = payload_len;
  segment_size_ = segment_size;
  offset_ = 0;
  ip_id_ = static_cast<std::uint16_t>(load16(ip + 4));
  seq_ = load32(&headers[l4_offset + 4]);
  return true;
}

std::uint32_t Segmenter::payload_len() const {
  return std::min(segment_size_, payload_len_ - offset_);
}

void Segmenter::next(std::byte* out) {
  const std::uint32_t payload = payload_len();
  const bool first = offset_ == 0;
  const bool last = offset_ + payload == payload_len_;
  std::memcpy(out, headers_.data(), headers_.size());

  std::byte* ip = out + kEthernet;
  const auto l4_len = static_cast<std::uint32_t>(headers_.size()) - l4_offset_ + payload;
  store16(ip + 2, l4_offset_ - kEthernet + l4_len);
  store16(ip + 4, ip_id_++);
  store16(ip + 10, 0);
  store_sum(ip + 10, checksum_finish(checksum_add(0, {ip, l4_offset_ - kEthernet})));

  std::byte* tcp = out + l4_offset_;
  store32(tcp + 4, seq_ + offset_);
  std::uint8_t off = last ? 0 : kFin | kPsh;
  if (!first) off |= kCwr;  // RFC 3168: one CWR per window reduction
  tcp[13] &= static_cast<std::byte>(~off);
  store_sum(tcp + 16, static_cast<std::uint16_t>(~checksum_finish(pseudo_header(ip, l4_len))));
  offset_ += payload;
}

}  // namespace stackrig::nmio
