// SPDX-License-Identifier: Apache-2.0
#include "rigload/flood.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "wire/ipv4.h"

namespace stackrig::rigload {
namespace {

constexpr std::uint32_t kStepsPerTurn = 64;  ///< so that what comes in is looked at as well
constexpr std::uint16_t kMss = 1460;
constexpr std::uint32_t kBetween = 1U << 20;  ///< of sequence numbers, between a port's connections
constexpr Time kAskAgain = nmio::kMillisecond;

ip::InterfaceConfig interface_of(const FloodConfig& c) {
  ip::InterfaceConfig i;
  i.address = c.address;
  i.addresses = c.addresses;
  i.mac = c.mac;
  i.mtu = c.mtu;
  return i;
}

std::vector<std::byte> request_of(const FloodConfig& c) {
  const char* connection = c.kind == FloodKind::port_reuse ? "close" : "keep-alive";
  const std::string text = "GET " + c.path +
                           " HTTP/1.1\r\nHost: " + wire::to_string(c.target.address) +
                           "\r\nConnection: " + connection + "\r\n\r\n";
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  return {bytes, bytes + text.size()};
}

}  // namespace

std::span<const std::string> flood_kinds() {
  static const std::array<std::string, 7> kKinds = {
      "syn", "ack", "sack", "tiny-window", "slow-read", "half-open", "port-reuse"};
  return kKinds;
}

Flood::Flood(const FloodConfig& config, nmio::PacketMemory& memory, nmio::TxBatch& out)
    : config_(config),
      memory_(memory),
      out_(out),
      interface_(interface_of(config), memory, out),
      random_(config.seed, 0),
      flows_(config.flows),
      request_(request_of(config)) {
  for (Flow& flow : flows_) flow.snd_next = any();
}

// --- at its rate -------------------------------------------------------------------------------

void Flood::on_idle(Time now) {
  interface_.run_timers(now);
  if (began_ == 0) {
    wire::MacAddress mac;
    if (interface_.resolve(config_.target.address, now, mac) != ip::Resolved::yes) {
      ask_again_ = now + kAskAgain;
      return;
    }
    began_ = now;
  }
  for (unsigned i = 0; i < kStepsPerTurn && next_step() <= now; ++i) {
    if (!step(now)) {
      ++counters_.no_room;
      return;
    }
    ++counters_.steps;
  }
}

Time Flood::next_deadline() const {
  return std::min(interface_.next_deadline(), began_ == 0 ? ask_again_ : next_step());
}

/// The one place where a step's moment is rounded: what is waited for and what is due are the same.
Time Flood::next_step() const {
  const double ns = static_cast<double>(counters_.steps + 1) / config_.rate * 1e9;
  return began_ + static_cast<Time>(ns);
}

/// Connections that are kept are opened first, one a step; then they move on in turn.
bool Flood::step(Time now) {
  const std::uint32_t flow = next_flow_;
  bool done = false;
  switch (config_.kind) {
    case FloodKind::syn:
    case FloodKind::half_open:
      done = open(flow, now);
      break;
    case FloodKind::ack:
      done = send({.flow = flow, .seq = any(), .ack = any()}, now);
      break;
    case FloodKind::port_reuse:
      done = flows_[flow].stage == Stage::open || open(flow, now);
      break;
    case FloodKind::sack:
    case FloodKind::tiny_window:
    case FloodKind::slow_read:
      done = flows_[flow].stage == Stage::open ? move_on(flow, now) : open(flow, now);
      break;
  }
  if (done) next_flow_ = flow + 1 == config_.flows ? 0 : flow + 1;
  return done;
}

bool Flood::open(std::uint32_t index, Time now) {
  Flow& flow = flows_[index];
  const std::uint32_t isn = flow.snd_next + kBetween;
  Segment syn{.flow = index, .seq = isn, .flags = wire::kTcpSyn, .window = window()};
  syn.options.mss = kMss;
  syn.options.sack_permitted = config_.kind == FloodKind::sack;
  if (!send(syn, now)) return false;
  flow.snd_next = isn + 1;
  flow.stage = Stage::opening;
  return true;
}

/// What a slow client does at its turn: it says that it has got what has come.
bool Flood::move_on(std::uint32_t index, Time now) {
  if (config_.kind == FloodKind::sack) return send_sack(index, now);
  Flow& flow = flows_[index];
  flow.rcv_next = flow.seen;
  return send({.flow = index, .seq = flow.snd_next, .ack = flow.rcv_next, .window = window()}, now);
}

/// Four single bytes somewhere in what is in flight; now and then a segment is acknowledged, so
/// that more comes.
bool Flood::send_sack(std::uint32_t index, Time now) {
  Flow& flow = flows_[index];
  const std::uint32_t in_flight = flow.seen - flow.rcv_next;
  if (any() % 64 == 0) {
    flow.rcv_next += std::min<std::uint32_t>(in_flight, kMss);
    if (in_flight == 0 && !ask(index, now)) return false;
  }
  Segment s{.flow = index, .seq = flow.snd_next, .ack = flow.rcv_next};
  const std::uint32_t left = std::max(1U, flow.seen - flow.rcv_next);
  s.options.sack_blocks = wire::TcpOptions::kMaxSackBlocks;
  for (wire::SackBlock& block : s.options.sack) {
    block.left = flow.rcv_next + 1 + any() % left;
    block.right = block.left + 1;
  }
  return send(s, now);
}

/// The file once more, on the same connection.
bool Flood::ask(std::uint32_t index, Time now) {
  Flow& flow = flows_[index];
  if (!send({.flow = index,
             .seq = flow.snd_next,
             .ack = flow.rcv_next,
             .flags = wire::kTcpAck | wire::kTcpPsh,
             .payload = request_},
            now))
    return false;
  flow.snd_next += static_cast<std::uint32_t>(request_.size());
  return true;
}

// --- in answer ---------------------------------------------------------------------------------

void Flood::on_burst(std::span<const nmio::RxPacket> burst, Time now) {
  for (const nmio::RxPacket& packet : burst) {
    ip::Datagram d;
    if (interface_.input(packet, now, d) != ip::Input::transport) continue;
    const bool from_target = d.protocol == wire::kProtocolTcp && d.source == config_.target.address;
    if (from_target) react(d, now);
    memory_.give_back(packet.chunk);
  }
}

void Flood::react(const ip::Datagram& d, Time now) {
  // The sum is not looked at: whoever answers us is on our own wire.
  std::size_t header = 0;
  const auto tcp = wire::Tcp::parse({d.l4, d.l4_bytes}, d.source, d.destination, true, &header);
  if (!tcp || tcp->source_port != config_.target.port || tcp->destination_port < kFirstPort) return;
  const std::uint32_t at = d.destination.value - config_.address.address.value;
  const std::uint32_t index = (tcp->destination_port - kFirstPort) * config_.addresses + at;
  if (index >= config_.flows) return;
  ++counters_.received;
  if ((tcp->flags & wire::kTcpRst) != 0) {
    ++counters_.resets;
    flows_[index].stage = Stage::closed;
    return;
  }
  if (config_.kind == FloodKind::syn || config_.kind == FloodKind::ack) return;
  if ((tcp->flags & wire::kTcpSyn) != 0) return opened(index, *tcp, now);
  if (keeps_open() || config_.kind == FloodKind::port_reuse) {
    data(index, *tcp, d.l4_bytes - static_cast<std::uint32_t>(header), now);
  }
}

void Flood::opened(std::uint32_t index, const wire::Tcp& tcp, Time now) {
  Flow& flow = flows_[index];
  if (flow.stage != Stage::opening || tcp.acknowledgement != flow.snd_next) return;
  flow.rcv_next = flow.seen = tcp.sequence + 1;
  Segment ack{.flow = index, .seq = flow.snd_next, .ack = flow.rcv_next, .window = window()};
  if (config_.kind != FloodKind::half_open) {
    ack.payload = request_;
    ack.flags |= wire::kTcpPsh;
  }
  if (!send(ack, now)) return;  // the SYN-ACK will come again
  flow.snd_next += static_cast<std::uint32_t>(ack.payload.size());
  flow.stage = Stage::open;
  ++counters_.opened;
}

void Flood::data(std::uint32_t index, const wire::Tcp& tcp, std::uint32_t bytes, Time now) {
  Flow& flow = flows_[index];
  if (flow.stage != Stage::open) return;
  const std::uint32_t end = tcp.sequence + bytes;
  if (static_cast<std::int32_t>(end - flow.seen) > 0) flow.seen = end;
  if (config_.kind != FloodKind::port_reuse) return;  // it moves on at its turn
  const bool in_order = tcp.sequence == flow.rcv_next;
  if (!in_order && bytes == 0) return;
  if (in_order) flow.rcv_next = end;
  if (in_order && (tcp.flags & wire::kTcpFin) != 0) {
    ++flow.rcv_next;
    if (!send({.flow = index,
               .seq = flow.snd_next,
               .ack = flow.rcv_next,
               .flags = wire::kTcpFin | wire::kTcpAck},
              now))
      return;
    ++flow.snd_next;
    flow.stage = Stage::closed;
    ++counters_.completed;
  } else if (bytes != 0) {
    send({.flow = index, .seq = flow.snd_next, .ack = flow.rcv_next}, now);
  }
}

// --- both --------------------------------------------------------------------------------------

bool Flood::keeps_open() const {
  return config_.kind == FloodKind::sack || config_.kind == FloodKind::tiny_window ||
         config_.kind == FloodKind::slow_read;
}

std::uint16_t Flood::window() const {
  switch (config_.kind) {
    case FloodKind::tiny_window:
      return 1;
    case FloodKind::slow_read:
      return kMss;
    default:
      return 65535;
  }
}

bool Flood::send(const Segment& s, Time now) {
  constexpr std::size_t kHeaders = wire::EthernetHeader::kSize + wire::Ipv4Header::kSize;
  if (!out_.has_room()) return false;
  const nmio::ChunkId chunk = memory_.take();
  if (chunk == nmio::kNoChunk) return false;
  const wire::Ipv4Address source{config_.address.address.value + s.flow % config_.addresses};
  const wire::Tcp tcp{
      .source_port = static_cast<std::uint16_t>(kFirstPort + s.flow / config_.addresses),
      .destination_port = config_.target.port,
      .sequence = s.seq,
      .acknowledgement = s.ack,
      .flags = s.flags,
      .window = s.window,
      .options = s.options};
  std::byte* frame = memory_.data(chunk) + ip::Interface::kHeadroom;
  const std::size_t l4 = tcp.header_length() + s.payload.size();
  wire::Ipv4 ip{.source = source, .destination = config_.target.address};
  ip.payload_length = static_cast<std::uint16_t>(l4);
  ip.emit({frame + wire::EthernetHeader::kSize, wire::Ipv4Header::kSize});
  const std::size_t header =
      tcp.emit({frame + kHeaders, l4}, source, config_.target.address, s.payload);
  if (!s.payload.empty())
    std::memcpy(frame + kHeaders + header, s.payload.data(), s.payload.size());
  interface_.send(frame, static_cast<std::uint32_t>(kHeaders + l4), chunk, config_.target.address,
                  now);
  ++counters_.sent;
  return true;
}

}  // namespace stackrig::rigload
