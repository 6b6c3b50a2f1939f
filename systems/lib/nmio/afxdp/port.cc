// SPDX-License-Identifier: Apache-2.0
#include "nmio/afxdp/port.h"

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "nmio/afxdp/interface.h"
#include "nmio/afxdp/program.h"
#include "nmio/afxdp/queue.h"

namespace stackrig::nmio::afxdp {
namespace {

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint32_t kHeadroom = 256;       // XDP_PACKET_HEADROOM, before each received frame
constexpr std::uint32_t kLargestFrame = 4096;  // a UMEM frame is at most a page
constexpr unsigned kMaxQueues = 64;            // entries of the XDP program's map

struct Settings {
  unsigned queues = 1;
  Mode mode = Mode::automatic;
  std::uint32_t address = 0;
  std::uint32_t addresses = 1;
  QueueConfig queue;
};

Settings read(const PortUri& uri) {
  UriKeys keys(uri);
  Settings s;
  s.queues = static_cast<unsigned>(keys.number("queues", 1, 1, kMaxQueues));
  s.address = keys.ipv4("address");
  s.addresses = static_cast<std::uint32_t>(keys.number("addresses", 1, 1, 1U << 16));
  const std::vector<std::string> takes = {"address", "all"};
  const bool all = keys.choice("take", 0, takes) == 1;
  const std::vector<std::string> modes = {"auto", "native", "generic"};
  s.mode = static_cast<Mode>(keys.choice("mode", 0, modes));
  const std::vector<std::string> zero_copy = {"auto", "off", "on"};
  const unsigned zc = keys.choice("zerocopy", 0, zero_copy);
  const std::vector<std::string> sums = {"software", "offload"};
  const std::vector<std::string> rx_sums = {"check", "trust"};
  const std::vector<std::string> pages = {"huge", "plain"};
  QueueConfig& q = s.queue;
  q.chunks = static_cast<std::uint32_t>(keys.number("chunks", 8192, 64, 1U << 24));
  q.huge_pages = keys.choice("pages", 0, pages) == 0;
  q.trust_checksums = keys.choice("rxcsum", 0, rx_sums) == 1;
  q.socket.ring = static_cast<std::uint32_t>(keys.power_of_two("ring", 2048, 64, 1U << 16));
  q.socket.copy = zc == 1;
  q.socket.zero_copy = zc == 2;
  q.socket.scatter_gather = keys.flag("sg", true);
  q.socket.metadata = keys.choice("csum", 0, sums) == 1;
  keys.finish();
  if (all) {
    s.address = 0;
    s.addresses = ~std::uint32_t{0};  // the whole space but its last, which no host has
  } else if (s.address == 0) {
    throw SetupError("port '" + uri.text +
                     "': which address? add address=A.B.C.D, one that the kernel does not own");
  }
  return s;
}

/// Receive queues without a socket would hand our frames to the kernel, without a word.
void check_queues(const Interface& interface, unsigned queues) {
  if (interface.receive_queues == queues) return;
  const std::string have = std::to_string(interface.receive_queues);
  const std::string want = std::to_string(queues);
  throw SetupError(
      "afxdp:" + interface.name + ": the interface has " + have + " receive queues and the port " +
      want + "; they must be as many: give queues=" + have + ", or ethtool -L " + interface.name +
      " rx " + want + " (a veth is made with numrxqueues " + want + ")");
}

void fit_to_mtu(const Interface& interface, QueueConfig& q) {
  q.max_frame = interface.mtu + kEthernet;
  const std::uint32_t needed = std::bit_ceil(q.max_frame + kHeadroom);
  q.chunk_size = std::max(2048U, needed);
  q.socket.frame_size = std::min(q.chunk_size, kLargestFrame);
  if (q.chunk_size > q.socket.frame_size && !q.socket.scatter_gather) {
    throw SetupError("afxdp:" + interface.name + ": an MTU of " + std::to_string(interface.mtu) +
                     " needs scatter-gather; take sg=off away, or lower the MTU");
  }
}

class AfxdpPort final : public Port {
 public:
  AfxdpPort(const std::string& name, const Settings& settings)
      : interface_(look_up(name)), settings_(settings) {
    check_queues(interface_, settings_.queues);
    fit_to_mtu(interface_, settings_.queue);
    program_ = std::make_unique<Program>(interface_, settings_.mode, settings_.address,
                                         settings_.addresses);
    for (unsigned i = 0; i < settings_.queues; ++i) {
      QueueConfig config = settings_.queue;
      config.socket.queue = i;
      queues_.push_back(std::make_unique<AfxdpQueue>(interface_, config));
      program_->add_socket(i, queues_.back()->socket().fd());
    }
  }

  [[nodiscard]] unsigned queues() const override { return settings_.queues; }
  [[nodiscard]] Queue& queue(unsigned index) override { return *queues_.at(index); }
  [[nodiscard]] std::span<const std::uint8_t, 6> mac() const override { return interface_.mac; }
  [[nodiscard]] std::uint32_t mtu() const override { return interface_.mtu; }

  [[nodiscard]] XdpHook hook() const {
    return {program_->link_fd(), program_->sockets_fd(), settings_.address, settings_.addresses};
  }

  [[nodiscard]] std::string describe() const override {
    const AfxdpQueue& q = *queues_[0];
    const PacketMemory& m = q.memory();
    return "afxdp " + interface_.name + ": " + std::to_string(settings_.queues) + " queues, ring " +
           std::to_string(settings_.queue.socket.ring) + ", mtu " + std::to_string(interface_.mtu) +
           ", " + (program_->mode() == Mode::native ? "native" : "generic") + " mode, " +
           (q.socket().zero_copy() ? "zero copy" : "copy") + ", sg " +
           (q.offload().scatter_gather ? "on" : "off") + ", tx csum " +
           (q.offload().tx_checksum ? "offload" : "software") + ", " +
           (m.on_huge_pages() ? "2 MiB pages" : "plain pages: " + m.plain_pages_reason());
  }

 private:
  Interface interface_;
  Settings settings_;
  std::vector<std::unique_ptr<AfxdpQueue>> queues_;
  std::unique_ptr<Program>
      program_;  // detached first: no frame goes to a socket that is being closed
};

}  // namespace

std::unique_ptr<Port> open(const PortUri& uri) {
  const Settings settings = read(uri);
  return std::make_unique<AfxdpPort>(uri.name, settings);
}

std::optional<XdpHook> xdp_hook(const Port& port) {
  const auto* own = dynamic_cast<const AfxdpPort*>(&port);
  return own != nullptr ? std::optional(own->hook()) : std::nullopt;
}

}  // namespace stackrig::nmio::afxdp
