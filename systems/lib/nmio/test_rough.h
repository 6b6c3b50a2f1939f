// SPDX-License-Identifier: Apache-2.0
// A side that treats its port roughly, for tests that count buffers.
#pragma once

#include <random>
#include <utility>
#include <vector>

#include "nmio/port.h"
#include "nmio/test_frames.h"

namespace stackrig::nmio::test {

/// One side of a rough million: sends packets of random sizes, shapes and numbers, keeps some
/// received chunks for a while, flushes and reaps when it likes.
struct Rough {
  Rough(Port& p, unsigned seed) : port(p), random(seed) {}
  Port& port;
  std::mt19937 random;
  std::vector<std::pair<Queue*, ChunkId>> kept;
  std::uint64_t sent = 0;

  void turn() {
    for (unsigned i = 0; i < port.queues(); ++i) {
      Queue& q = port.queue(i);
      receive(q);
      for (unsigned n = random() % 100; n != 0; --n) send(q);
      if (random() % 4 != 0) q.flush();
      if (random() % 4 != 0) q.reap();
    }
    while (!kept.empty() && random() % 64 != 0) let_go();
  }
  void receive(Queue& q) {
    RxPacket burst[64];
    const unsigned n = q.receive({burst, 1 + random() % 64});
    for (unsigned i = 0; i < n; ++i) kept.emplace_back(&q, burst[i].chunk);
  }
  void let_go() {
    kept.back().first->memory().give_back(kept.back().second);
    kept.pop_back();
  }
  void send(Queue& q) {
    PacketMemory& m = q.memory();
    std::vector<TxPacket> parts(random() % 8 == 0 ? 1 + random() % 4 : 1);
    const bool large = random() % 16 == 0;
    const Bytes header = make_frame(
        {.source_port = static_cast<std::uint16_t>(random()), .payload = 400, .tcp = true});
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const ChunkId c = m.take();
      if (c == kNoChunk) {
        while (i-- > 0) m.give_back(parts[i].chunk);
        return;
      }
      std::memcpy(m.data(c), header.data(), header.size());
      const std::uint32_t len = 64 + random() % (parts.size() == 1 ? 1450 : 300);
      parts[i] = {.data = m.data(c), .len = len, .chunk = c, .flags = TxPacket::kMore};
    }
    parts.back().flags = 0;
    if (large) {
      parts[0].flags |= TxPacket::kSegment;
      parts[0].segment_size = static_cast<std::uint16_t>(1 + random() % 600);
      parts[0].l4_offset = 34;
      parts[0].header_len = 54;
    }
    if (q.put(parts) == 0) {
      for (const TxPacket& p : parts) m.give_back(p.chunk);
    }
    ++sent;
  }
};

}  // namespace stackrig::nmio::test
