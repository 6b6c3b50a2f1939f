// SPDX-License-Identifier: Apache-2.0
// Hostile load on a server's TCP (TCP.md; RFC 4987, 5961, 6191, 9293): floods of segments, and
// connections that are opened to be a burden. For a testbed's own servers only: flood_command.cc
// refuses every target that is not on the port's own subnet.
//
// Nothing here is a TCP: a segment is answered from what it says itself, with a few words of memory
// per flow. A flow is an address and a port; `rate` counts segments of a flood, openings of a
// connection, or turns at which a slow client moves on.
//
// Thread: the one that owns the queue.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ip/interface.h"
#include "nmio/packet.h"
#include "nmio/packet_memory.h"
#include "rigload/random.h"
#include "wire/address.h"
#include "wire/tcp.h"

namespace stackrig::rigload {

using nmio::Time;

enum class FloodKind : std::uint8_t {
  syn,          ///< SYNs, each from another flow; SYN-ACKs are not answered
  ack,          ///< ACKs for connections that there are none of
  sack,         ///< ACKs whose SACK blocks name single bytes all over what is in flight
  tiny_window,  ///< connections that ask for a file and take a byte at a time
  slow_read,    ///< connections that ask for a file and take a segment now and then
  half_open,    ///< connections that are opened, and whose client is then gone without a word
  port_reuse,   ///< whole connections, one after the other, from the same few ports
};
/// By the words of the command line: "tiny-window".
std::span<const std::string> flood_kinds();

struct FloodConfig {
  FloodKind kind = FloodKind::syn;
  wire::Endpoint target;
  wire::Ipv4Cidr address;       ///< the first of our own
  std::uint32_t addresses = 1;  ///< consecutive ones
  std::uint32_t flows = 1000;   ///< pairs of address and port, used in turn
  double rate = 10'000;         ///< 1/s
  std::string path = "/";       ///< what is asked for, where something is
  wire::MacAddress mac;
  std::uint32_t mtu = 1500;
  std::uint64_t seed = 1;
};

struct FloodCounters {
  std::uint64_t sent = 0;       ///< segments
  std::uint64_t steps = 0;      ///< of `rate`
  std::uint64_t opened = 0;     ///< SYN-ACKs that were answered
  std::uint64_t completed = 0;  ///< port_reuse: connections that the server has ended
  std::uint64_t received = 0;   ///< segments of the target
  std::uint64_t resets = 0;     ///< of them RST
  std::uint64_t no_room = 0;    ///< steps put off: the ring or the memory was full
};

class Flood {
 public:
  static constexpr std::uint16_t kFirstPort = 1024;
  static constexpr std::uint32_t kPorts = 64511;  ///< per address

  Flood(const FloodConfig& config, nmio::PacketMemory& memory, nmio::TxBatch& out);

  // nmio::LoopApp
  void on_burst(std::span<const nmio::RxPacket> burst, Time now);
  void on_idle(Time now);
  [[nodiscard]] Time next_deadline() const;

  /// True once the target's Ethernet address is known and the flood runs.
  [[nodiscard]] bool is_running() const { return began_ != 0; }
  [[nodiscard]] Time began() const { return began_; }
  [[nodiscard]] const FloodCounters& counters() const { return counters_; }

 private:
  enum class Stage : std::uint8_t { closed, opening, open };
  struct Flow {
    std::uint32_t snd_next = 0;  ///< ours; the next connection's begins further on
    std::uint32_t rcv_next = 0;  ///< what we have said we got
    std::uint32_t seen = 0;      ///< the end of what has come
    Stage stage = Stage::closed;
  };
  struct Segment {
    std::uint32_t flow;
    std::uint32_t seq = 0, ack = 0;
    std::uint8_t flags = wire::kTcpAck;
    std::uint16_t window = 65535;
    wire::TcpOptions options;
    std::span<const std::byte> payload;
  };

  [[nodiscard]] Time next_step() const;
  bool step(Time now);
  bool open(std::uint32_t flow, Time now);
  bool move_on(std::uint32_t flow, Time now);
  bool send_sack(std::uint32_t flow, Time now);
  bool ask(std::uint32_t flow, Time now);
  void react(const ip::Datagram& d, Time now);
  void opened(std::uint32_t flow, const wire::Tcp& tcp, Time now);
  void data(std::uint32_t flow, const wire::Tcp& tcp, std::uint32_t bytes, Time now);
  bool send(const Segment& segment, Time now);
  [[nodiscard]] bool keeps_open() const;
  [[nodiscard]] std::uint16_t window() const;
  std::uint32_t any() { return static_cast<std::uint32_t>(random_.next() >> 32); }

  FloodConfig config_;
  nmio::PacketMemory& memory_;
  nmio::TxBatch& out_;
  ip::Interface interface_;
  Random random_;
  std::vector<Flow> flows_;
  std::vector<std::byte> request_;
  std::uint32_t next_flow_ = 0;
  Time began_ = 0;      ///< 0: the target is not known yet
  Time ask_again_ = 0;  ///< for its Ethernet address
  FloodCounters counters_;
};

}  // namespace stackrig::rigload
