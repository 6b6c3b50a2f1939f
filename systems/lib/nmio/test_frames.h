// SPDX-License-Identifier: Apache-2.0
// Frames for tests of ports: Ethernet, IPv4 and TCP or UDP, with a payload that names itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "nmio/offload.h"
#include "nmio/packet_memory.h"
#include "nmio/port.h"

namespace stackrig::nmio::test {

using Bytes = std::vector<std::byte>;
using Mac = std::array<std::uint8_t, 6>;

inline void put16(std::byte* p, std::uint32_t v) {
  p[0] = static_cast<std::byte>(v >> 8);
  p[1] = static_cast<std::byte>(v);
}
inline void put32(std::byte* p, std::uint32_t v) {
  put16(p, v >> 16);
  put16(p + 2, v);
}
inline std::uint32_t get16(const std::byte* p) {
  return std::to_integer<std::uint32_t>(p[0]) << 8 | std::to_integer<std::uint32_t>(p[1]);
}
inline std::uint32_t get32(const std::byte* p) {
  return get16(p) << 16 | get16(p + 2);
}

struct FrameSpec {
  Mac destination{};
  Mac source{};
  std::uint32_t source_ip = 0x0a000001, destination_ip = 0x0a000002;
  std::uint16_t source_port = 1000, destination_port = 80;
  std::size_t payload = 64;
  bool tcp = false;
  std::uint8_t tcp_flags = 0x10;  // ACK
  std::uint32_t seq = 1;
  std::uint8_t fill = 0;  ///< payload byte i is fill + i
};

inline std::size_t header_len(bool tcp) {
  return 14 + 20 + (tcp ? 20 : 8);
}

/// A whole frame; its checksums are right.
inline Bytes make_frame(const FrameSpec& spec) {
  const std::size_t header = header_len(spec.tcp);
  Bytes f(header + spec.payload);
  std::memcpy(f.data(), spec.destination.data(), 6);
  std::memcpy(f.data() + 6, spec.source.data(), 6);
  put16(&f[12], 0x0800);
  std::byte* ip = &f[14];
  ip[0] = std::byte{0x45};
  put16(ip + 2, static_cast<std::uint32_t>(f.size() - 14));
  put16(ip + 4, 0x1234);
  put16(ip + 6, 0x4000);
  ip[8] = std::byte{64};
  ip[9] = spec.tcp ? std::byte{6} : std::byte{17};
  put32(ip + 12, spec.source_ip);
  put32(ip + 16, spec.destination_ip);
  const std::uint16_t sum = checksum_finish(checksum_add(0, {ip, 20}));
  std::memcpy(ip + 10, &sum, 2);
  std::byte* l4 = ip + 20;
  put16(l4, spec.source_port);
  put16(l4 + 2, spec.destination_port);
  if (spec.tcp) {
    put32(l4 + 4, spec.seq);
    l4[12] = std::byte{0x50};
    l4[13] = std::byte{spec.tcp_flags};
    put16(l4 + 14, 0xffff);
  } else {
    put16(l4 + 4, static_cast<std::uint32_t>(8 + spec.payload));
  }
  for (std::size_t i = 0; i < spec.payload; ++i)
    f[header + i] = static_cast<std::byte>(spec.fill + i);
  L4Place place;
  if (find_l4(f, place)) fill_checksum(f, place);
  return f;
}

/// The frame in a chunk of the queue's memory, as a descriptor.
inline TxPacket in_chunk(PacketMemory& memory, std::span<const std::byte> frame) {
  const ChunkId chunk = memory.take();
  std::memcpy(memory.data(chunk), frame.data(), frame.size());
  return {
      .data = memory.data(chunk), .len = static_cast<std::uint32_t>(frame.size()), .chunk = chunk};
}

/// Puts one frame and rings the doorbell; false where the ring had no room (the chunk is given
/// back).
inline bool send_frame(Queue& q, std::span<const std::byte> frame, std::uint16_t flags = 0) {
  TxPacket p = in_chunk(q.memory(), frame);
  p.flags = flags;
  p.l4_offset = 34;
  const bool taken = q.put({&p, 1}) == 1;
  if (!taken) q.memory().give_back(p.chunk);
  q.flush();
  return taken;
}

struct Received {
  Bytes bytes;
  std::uint16_t flags;
  std::uint32_t hash;
};

/// All that waits in a queue; the chunks are given back.
inline std::vector<Received> receive_all(Queue& q) {
  std::vector<Received> all;
  RxPacket burst[32];
  while (const unsigned n = q.receive(burst)) {
    for (unsigned i = 0; i < n; ++i) {
      all.push_back(
          {Bytes(burst[i].data, burst[i].data + burst[i].len), burst[i].flags, burst[i].rss_hash});
      q.memory().give_back(burst[i].chunk);
    }
  }
  return all;
}

}  // namespace stackrig::nmio::test
