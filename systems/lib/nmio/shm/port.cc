// SPDX-License-Identifier: Apache-2.0
#include "nmio/shm/port.h"

#include <sys/eventfd.h>

#include <bit>
#include <functional>
#include <system_error>
#include <vector>

#include "nmio/shm/link.h"
#include "nmio/shm/queue.h"

namespace stackrig::nmio::shm {
namespace {

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint32_t kLargeChunk = 16384;
constexpr std::uint32_t kFrameShift = 1024;  ///< a frame starts at most so far into its chunk
constexpr std::size_t kMaxName = 80;         // of the 107 that an abstract address has room for

struct Settings {
  std::string name;
  Side side = Side::server;
  unsigned queues = 1;
  std::uint64_t rate = 0;
  std::uint32_t mtu = 1500;
  Time wait = 0;
  QueueConfig queue;
};

Settings read(const PortUri& uri) {
  UriKeys keys(uri);
  Settings s;
  s.name = uri.name;
  if (s.name.size() > kMaxName) {
    throw SetupError("port '" + uri.text + "': the name is too long; at most " +
                     std::to_string(kMaxName) + " characters");
  }
  const std::vector<std::string> sides = {"server", "client"};
  if (keys.text("side", "").empty()) {
    throw SetupError("port '" + uri.text + "': which side? add side=server or side=client");
  }
  s.side = static_cast<Side>(keys.choice("side", 0, sides));
  s.queues = static_cast<unsigned>(keys.number("queues", 1, 1, Hello::kMaxQueues));
  s.rate = keys.rate("rate", 0);
  s.mtu = static_cast<std::uint32_t>(keys.number("mtu", 1500, 68, 65521));
  s.wait = keys.number("wait", 10, 0, 3600) * kSecond;
  keys.ipv4("address");
  keys.number("addresses", 1, 1, 1U << 16);

  QueueConfig& q = s.queue;
  q.chunks = static_cast<std::uint32_t>(keys.number("chunks", 8192, 16, 1U << 24));
  q.ring = static_cast<std::uint32_t>(keys.power_of_two("ring", 2048, 16, Hello::kMaxRing));
  q.segment = keys.flag("tso", true);
  const std::vector<std::string> sums = {"on", "off", "verify"};
  const unsigned sum = keys.choice("csum", 0, sums);
  q.checksum = sum != 1;
  q.verify_checksum = sum == 2;
  const bool large_receive = keys.flag("lro", false);
  if (large_receive && sum != 0) {
    throw SetupError("port '" + uri.text +
                     "': lro=on needs csum=on: a piece has no sum of its own");
  }
  q.pause = keys.flag("pause", false);
  const std::vector<std::string> pages = {"huge", "plain"};
  q.huge_pages = keys.choice("pages", 0, pages) == 0;
  keys.finish();

  q.max_frame = s.mtu + kEthernet;
  q.chunk_size = std::max(large_receive ? kLargeChunk : 2048U, std::bit_ceil(q.max_frame));
  q.large_receive = large_receive ? q.chunk_size - kFrameShift : 0;
  return s;
}

class ShmPort final : public Port {
 public:
  explicit ShmPort(const Settings& s) : settings_(s) {
    Local local;
    local.hello = {.side = s.side, .queues = s.queues, .ring = s.queue.ring, .rate = s.rate};
    for (unsigned i = 0; i < s.queues; ++i) {
      wake_.emplace_back(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      if (!wake_.back().is_open()) {
        throw std::system_error(errno, std::generic_category(), "shm: no eventfd to be had");
      }
      QueueConfig config = s.queue;
      config.index = i;
      queues_.push_back(std::make_unique<ShmQueue>(config, wake_.back().get()));
      local.memories.push_back(&queues_.back()->memory());
      local.wake_fds.push_back(wake_.back().get());
    }
    local.hello.memory_bytes = local.memories[0]->mapped_bytes();
    link_ = std::make_unique<Link>(s.name, std::move(local));
    for (auto& q : queues_) q->attach(link_.get());

    // 02: locally administered; the rest names the wire, the last byte the side.
    const std::uint64_t h = std::hash<std::string>{}(s.name);
    for (unsigned i = 0; i < 4; ++i) mac_[1 + i] = static_cast<std::uint8_t>(h >> (8 * i));
    mac_[0] = 0x02;
    mac_[5] = s.side == Side::server ? 1 : 2;

    std::string why;
    if (s.side == Side::client && s.wait != 0 && !link_->wait_for_peer(s.wait, why)) {
      throw SetupError("shm:" + s.name + ": no connection in " + std::to_string(s.wait / kSecond) +
                       " s: " + why);
    }
  }

  [[nodiscard]] unsigned queues() const override { return settings_.queues; }
  [[nodiscard]] Queue& queue(unsigned index) override { return *queues_.at(index); }
  [[nodiscard]] std::span<const std::uint8_t, 6> mac() const override { return mac_; }
  [[nodiscard]] std::uint32_t mtu() const override { return settings_.mtu; }

  [[nodiscard]] std::string describe() const override {
    const QueueConfig& q = settings_.queue;
    const PacketMemory& m = queues_[0]->memory();
    const char* sum = q.verify_checksum ? "verify" : q.checksum ? "on" : "off";
    return "shm " + settings_.name + (settings_.side == Side::server ? " server" : " client") +
           ": " + std::to_string(settings_.queues) + " queues, ring " + std::to_string(q.ring) +
           ", mtu " + std::to_string(settings_.mtu) + ", tso " + (q.segment ? "on" : "off") +
           ", lro " + (q.large_receive != 0 ? "on" : "off") + ", csum " + sum + ", rate " +
           (settings_.rate == 0 ? "unlimited" : std::to_string(settings_.rate) + " b/s") +
           ", pause " + (q.pause ? "on" : "off") + ", " +
           (m.on_huge_pages() ? "2 MiB pages" : "plain pages: " + m.plain_pages_reason());
  }

 private:
  Settings settings_;
  std::array<std::uint8_t, 6> mac_{};
  std::vector<Fd> wake_;
  std::vector<std::unique_ptr<ShmQueue>> queues_;
  std::unique_ptr<Link> link_;  // its thread goes first: it refers to the above
};

}  // namespace

std::unique_ptr<Port> open(const PortUri& uri) {
  return std::make_unique<ShmPort>(read(uri));
}

}  // namespace stackrig::nmio::shm
