// SPDX-License-Identifier: Apache-2.0
#include "nmio/tap/port.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <string>
#include <vector>

#include "nmio/tap/device.h"
#include "nmio/tap/queue.h"

namespace stackrig::nmio::tap {
namespace {

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint32_t kLargeChunk = 16384;
constexpr std::uint32_t kLargestPiece = 15360;
constexpr unsigned kMaxQueues = 64;

struct Settings {
  DeviceConfig device;
  QueueConfig queue;
};

/// `kernel=A.B.C.D/N`.
void read_kernel(const PortUri& uri, const std::string& text, DeviceConfig& device) {
  if (text.empty()) return;
  const auto slash = text.find('/');
  in_addr address{};
  unsigned prefix = 0;
  const char* end = text.data() + text.size();
  const bool has_prefix = slash != std::string::npos;
  const bool is_number =
      has_prefix && std::from_chars(text.data() + slash + 1, end, prefix).ptr == end;
  if (!is_number || prefix < 1 || prefix > 32 ||
      inet_pton(AF_INET, text.substr(0, slash).c_str(), &address) != 1) {
    throw SetupError("port '" + uri.text + "': kernel=" + text +
                     " cannot be; give an address and a prefix, as in 10.77.0.1/24");
  }
  device.kernel_address = ntohl(address.s_addr);
  device.kernel_prefix = prefix;
}

Settings read(const PortUri& uri) {
  UriKeys keys(uri);
  Settings s;
  s.device.name = uri.name;
  s.device.queues = static_cast<unsigned>(keys.number("queues", 1, 1, kMaxQueues));
  s.device.mtu = static_cast<std::uint32_t>(keys.number("mtu", 0, 68, 65521));
  read_kernel(uri, keys.text("kernel", ""), s.device);
  keys.ipv4("address");
  keys.number("addresses", 1, 1, 1U << 16);

  QueueConfig& q = s.queue;
  q.chunks = static_cast<std::uint32_t>(keys.number("chunks", 8192, 16, 1U << 24));
  q.ring = static_cast<std::uint32_t>(keys.power_of_two("ring", 2048, 16, 1U << 16));
  const bool checksum = keys.flag("csum", true);
  q.segment = keys.flag("tso", checksum);
  const bool large_receive = keys.flag("lro", false);
  if (!checksum && (q.segment || large_receive)) {
    throw SetupError("port '" + uri.text + "': " + (q.segment ? "tso" : "lro") +
                     "=on needs csum=on: who cuts a packet sums its segments");
  }
  q.checksum = checksum;
  const std::vector<std::string> pages = {"huge", "plain"};
  q.huge_pages = keys.choice("pages", 0, pages) == 0;
  keys.finish();
  s.device.checksum = checksum;
  s.device.large_receive = large_receive;
  q.chunk_size = large_receive ? kLargeChunk : 2048;
  q.large_receive = large_receive ? kLargestPiece : 0;
  return s;
}

class TapPort final : public Port {
 public:
  explicit TapPort(const Settings& s) : settings_(s), device_(s.device) {
    QueueConfig& q = settings_.queue;
    q.max_frame = device_.mtu() + kEthernet;
    q.chunk_size = std::max(q.chunk_size, std::bit_ceil(q.max_frame));
    for (unsigned i = 0; i < s.device.queues; ++i) {
      queues_.push_back(std::make_unique<TapQueue>(device_.fd(i), q));
    }
  }

  [[nodiscard]] unsigned queues() const override { return settings_.device.queues; }
  [[nodiscard]] Queue& queue(unsigned index) override { return *queues_.at(index); }
  [[nodiscard]] std::span<const std::uint8_t, 6> mac() const override { return device_.mac(); }
  [[nodiscard]] std::uint32_t mtu() const override { return device_.mtu(); }

  [[nodiscard]] std::string describe() const override {
    const QueueConfig& q = settings_.queue;
    const PacketMemory& m = queues_[0]->memory();
    return "tap " + settings_.device.name + ": " + std::to_string(queues()) + " queues, ring " +
           std::to_string(q.ring) + ", mtu " + std::to_string(mtu()) + ", tso " +
           (q.segment ? "on" : "off") + ", lro " + (q.large_receive != 0 ? "on" : "off") +
           ", csum " + (q.checksum ? "on" : "off") + ", " +
           (m.on_huge_pages() ? "2 MiB pages" : "plain pages: " + m.plain_pages_reason());
  }

 private:
  Settings settings_;
  Device device_;  // outlives its queues
  std::vector<std::unique_ptr<TapQueue>> queues_;
};

}  // namespace

std::unique_ptr<Port> open(const PortUri& uri) {
  return std::make_unique<TapPort>(read(uri));
}

}  // namespace stackrig::nmio::tap
