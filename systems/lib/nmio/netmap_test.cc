// SPDX-License-Identifier: Apache-2.0
// The thesis' Table 3.1, the half that is libnmio's: an echo made of nothing but its functions.
#include "nmio/netmap.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>

namespace stackrig::nmio {
namespace {

constexpr std::uint32_t kBytes = 64;

struct Echo {
  Netmap* netmap = nullptr;
  unsigned flags = kZeroCopy;
};

/// Sends each packet back: the received slot itself, or a copy of it.
void echo(void* app, std::span<const RxPacket> burst, Time /*now*/) {
  auto& e = *static_cast<Echo*>(app);
  PacketMemory& memory = e.netmap->at(0).queue().memory();
  for (const RxPacket& p : burst) {
    if (p.data != memory.data(p.chunk)) {  // a device may leave room before the frame
      std::memmove(memory.data(p.chunk), p.data, p.len);
    }
    const bool sent = netmap_output(*e.netmap, 0, memory, p.chunk, p.len, e.flags);
    if (!sent || e.flags == kCopy) memory.give_back(p.chunk);
  }
}

TEST(Table31, NetmapFunctionsMakeAnEcho) {
  for (const unsigned flags : {unsigned{kZeroCopy}, unsigned{kCopy}}) {
    const std::string name = "table31-" + std::to_string(::getpid()) + "-" + std::to_string(flags);
    const std::array<std::string, 1> uris = {"shm:" + name + "?side=server&chunks=256&ring=64"};
    const auto netmap = netmap_init(uris);
    Echo app{netmap.get(), flags};
    netmap_input_set_cb(*netmap, 0, echo, &app);
    std::atomic<bool> stop{false};
    std::thread engine([&] { netmap_input(*netmap, 0, stop); });

    const auto peer = Port::open("shm:" + name + "?side=client&chunks=256&ring=64");
    Queue& queue = peer->queue(0);
    const ChunkId chunk = queue.memory().take();
    std::byte* frame = queue.memory().data(chunk);
    std::memset(frame, 0x5a, kBytes);
    const std::array<TxPacket, 1> packet = {TxPacket{frame, kBytes, chunk, 0, 0, 0, 0}};
    unsigned put = 0;
    std::array<RxPacket, 4> burst{};
    unsigned got = 0;
    while (got == 0) {  // the test runner's limit ends a peer that never answers
      if (put == 0) put = queue.put(packet);
      queue.flush();
      queue.reap();
      got = queue.receive(burst);
      if (got == 0) std::this_thread::yield();
    }
    EXPECT_EQ(got, 1U);
    EXPECT_EQ(burst[0].len, kBytes);
    EXPECT_EQ(burst[0].data[kBytes - 1], std::byte{0x5a});
    queue.memory().give_back(burst[0].chunk);
    stop = true;
    engine.join();
    PacketMemory& memory = netmap->at(0).queue().memory();
    EXPECT_LE(memory.total_count() - memory.free_count(), 64U);  // no more than the ring is away
  }
}

TEST(Table31Refusals, AnEngineNeedsACallback) {
  const std::array<std::string, 1> uris = {"shm:table31-none-" + std::to_string(::getpid()) +
                                           "?side=server"};
  const auto netmap = netmap_init(uris);
  const std::atomic<bool> stop{true};
  EXPECT_THROW(netmap_input(*netmap, 0, stop), SetupError);
}

}  // namespace
}  // namespace stackrig::nmio
