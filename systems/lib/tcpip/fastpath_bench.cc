// SPDX-License-Identifier: Apache-2.0
// What the core itself costs: a server fed by a script, no device, no loop.
//
//   tcpip_fastpath_bench close|keepalive|bulk [count] [batch] [options...]
//     software-checksums   nothing is offloaded          tso        the device cuts large packets
//     no-timestamps        RFC 7323 off                  memcpy     Sandstorm's other variant
//     no-sack              the peer does not offer it
//
// Cycles per connection (SYN to FIN: three packets in, three out) or request are those of the
// server's calls only. Instructions:
//   stackrig bench tcp-fastpath-instructions, or
//   valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*server_turn*'
//   tcpip_fastpath_bench ...    (of a build whose -march valgrind knows)
#include <x86intrin.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "nmio/packet_memory.h"
#include "tcpip/frame_owner.h"
#include "tcpip/stack.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"

namespace {

using namespace stackrig;
using nmio::ChunkId;
using tcpip::Stack;
using tcpip::Tcb;

struct Options {
  bool close = true, bulk = false, software = false, timestamps = true, sack = true, memcpy = false,
       tso = false;
  std::uint64_t count = 1'000'000;
  unsigned batch = 64;
};

struct Server {
  Stack* stack = nullptr;
  tcpip::PackagedContent* content = nullptr;
  bool close = false;
  nmio::Time now = 0;
  std::uint64_t received = 0;
};

std::uint64_t cycles_in_server = 0;

[[gnu::noinline]] void server_turn(Stack& stack, std::span<const nmio::RxPacket> burst,
                                   nmio::Time now) {
  const std::uint64_t from = __rdtsc();
  stack.input(burst, now);
  stack.run_timers(now);
  stack.poll_output(now);
  cycles_in_server += __rdtsc() - from;
}

/// One end of a connection that the script plays.
struct Peer {
  std::uint32_t address = 0;
  std::uint16_t port = 0;
  std::uint32_t seq = 0, ack = 0, ts_echo = 0;
};

class Bench {
 public:
  explicit Bench(const Options& o) : o_(o), memory_(nmio::PacketMemory::create({.chunks = 16384})) {
    tcpip::Config c;
    c.address = {{0x0a000001}, 8};
    c.mac = {{2, 0, 0, 0, 0, 1}};
    c.max_connections = 4096;
    c.timestamps = o.timestamps;
    c.secret[0] = 1;
    c.secret[1] = 2;
    c.offload.tx_checksum = !o.software;
    c.offload.scatter_gather = c.offload.segment = o.tso;
    stack_ = std::make_unique<Stack>(c, *memory_, batch_);
    tcpip::PackagedContent::Config pc;
    pc.mode = o.memcpy ? tcpip::SendMode::memcpy : tcpip::SendMode::precopy;
    content_ = std::make_unique<tcpip::PackagedContent>(*memory_, pc);
    const std::vector<std::byte> head(200), body(o.bulk ? std::size_t{1} << 20 : 64);
    content_->add(head, body);
    server_ = {stack_.get(), content_.get(), o.close, 0, 0};
    Tcb* l = stack_->tcp_new();
    stack_->tcp_bind(*l, {}, 80);
    stack_->tcp_app(*l, &server_);
    stack_->tcp_recv(*l, [](void* p, Tcb& t, std::span<const std::byte> b) {
      auto& s = *static_cast<Server*>(p);
      s.received += b.size();
      s.stack->tcp_write(t, *s.content, 0, s.content->bytes(0), s.now);
      if (s.close) s.stack->tcp_close(t, s.now);
      return b.size();
    });
    stack_->tcp_listen(*l);
    peers_.resize(o.batch);
  }

  void run() {
    const std::uint64_t from = __rdtsc();
    if (o_.bulk) {
      run_bulk();
    } else if (o_.close) {
      run_close();
    } else {
      run_keepalive();
    }
    const double n = static_cast<double>(o_.count);
    std::printf("%s: %llu, batch %u: %.0f cycles each in the server (TSC), %.0f in all\n",
                o_.bulk    ? "bulk bytes"
                : o_.close ? "connections"
                           : "requests",
                static_cast<unsigned long long>(o_.count), o_.batch,
                static_cast<double>(cycles_in_server) / n,
                static_cast<double>(__rdtsc() - from) / n);
    if (o_.bulk) {
      std::printf("%.3f cycles per byte\n", static_cast<double>(cycles_in_server) / n);
    }
    if (!problem_.empty()) {
      std::fprintf(stderr, "tcpip_fastpath_bench: %s\n", problem_.c_str());
      std::exit(1);
    }
  }

 private:
  static constexpr std::uint32_t kRequestBytes = 80;

  void send(Peer& p, std::uint8_t flags, std::uint32_t payload) {
    const ChunkId chunk = memory_->take();
    if (chunk == nmio::kNoChunk) {
      problem_ = "out of chunks";
      return;
    }
    std::byte* f = memory_->data(chunk) + 64;
    const bool ts = o_.timestamps;
    wire::TcpOptions options;
    if ((flags & wire::kTcpSyn) != 0) {
      options.mss = 1460;
      options.window_scale = 7;
      options.sack_permitted = o_.sack;
    }
    if (ts) options.timestamps = wire::Timestamps{ms_, p.ts_echo};
    const std::size_t option_bytes = options.size();
    const auto tcp_bytes = static_cast<std::uint16_t>(20 + option_bytes + payload);
    wire::Ethernet{{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}}.emit({f, 14});
    wire::Ipv4 ip;
    ip.source = {p.address};
    ip.destination = {0x0a000001};
    ip.payload_length = tcp_bytes;
    ip.emit({f + 14, 20});
    auto& h = wire::TcpHeader::at(f + 34);
    h.source_port.set(p.port);
    h.destination_port.set(80);
    h.sequence.set(p.seq);
    h.acknowledgement.set(p.ack);
    h.set_header_length(20 + option_bytes);
    h.flags = flags;
    h.window.set(65535);
    h.urgent.set(0);
    options.emit({f + 54, 40});
    if (payload != 0) std::memset(f + 54 + option_bytes, 'G', payload);
    const auto frame_bytes = static_cast<std::uint32_t>(34 + tcp_bytes);
    std::uint16_t rx_flags = nmio::RxPacket::kChecksumGood;
    if (o_.software) {
      rx_flags = 0;
      h.checksum.set_raw(0);
      h.checksum.set_raw(wire::finish(
          wire::pseudo_header_sum(ip.source, ip.destination, wire::kProtocolTcp, tcp_bytes) +
          wire::sum(f + 34, tcp_bytes)));
    }
    burst_.push_back({f, frame_bytes, chunk, 0, rx_flags});
    p.seq += payload + ((flags & (wire::kTcpSyn | wire::kTcpFin)) != 0 ? 1 : 0);
  }

  // The server's turn; its answers move the peers' acknowledgements.
  unsigned turn() {
    now_ += 20 * nmio::kMicrosecond;
    ms_ = static_cast<std::uint32_t>(now_ / nmio::kMillisecond);
    server_.now = now_;
    batch_.count = 0;
    batch_.room = nmio::TxBatch::kCapacity;
    server_turn(*stack_, burst_, now_);
    burst_.clear();
    unsigned packets = 0;
    bool in_packet = false;
    for (unsigned i = 0; i < batch_.count; ++i) {
      const nmio::TxPacket& t = batch_.packets[i];
      if (!in_packet) take_answer(t, i);
      in_packet = (t.flags & nmio::TxPacket::kMore) != 0;
      packets += in_packet ? 0 : 1;
      memory_->give_back(t.chunk);
    }
    return packets;
  }
  void take_answer(const nmio::TxPacket& t, unsigned first) {
    const auto& h = wire::TcpHeader::at(t.data + 34);
    const std::uint32_t source = h.destination_port.get();
    const std::uint32_t address = wire::Ipv4Header::at(t.data + 14).destination.get().value;
    // Peers of a batch have consecutive ports of one address, or several.
    Peer* p = nullptr;
    const std::uint32_t guess = (source - peers_[0].port) & 0xffff;
    if (guess < peers_.size() && peers_[guess].port == source && peers_[guess].address == address) {
      p = &peers_[guess];
    }
    if (p == nullptr) {
      problem_ = "an answer to nobody";
      return;
    }
    std::uint32_t bytes = t.len;
    for (unsigned i = first; (batch_.packets[i].flags & nmio::TxPacket::kMore) != 0; ++i) {
      bytes += batch_.packets[i + 1].len;
    }
    const auto header = static_cast<std::uint32_t>(34 + h.header_length());
    p->ack = h.sequence.get() + (bytes - header) +
             ((h.flags & (wire::kTcpSyn | wire::kTcpFin)) != 0 ? 1 : 0);
    if (o_.timestamps) {
      std::uint32_t value;
      const std::size_t at = 34 + h.header_length() - 8;
      std::memcpy(&value, t.data + at, 4);
      p->ts_echo = __builtin_bswap32(value);
    }
  }
  void new_peers() {
    for (Peer& p : peers_) {
      if (next_port_ < 1024 || next_port_ + o_.batch > 65535) {
        if (&p == peers_.data() || next_port_ == 0) {
          next_port_ = 1024;
          next_address_ = (next_address_ + 1) % 4;
        }
      }
      p = {0x0a000002 + next_address_, static_cast<std::uint16_t>(next_port_++), isn_ += 70000, 0,
           0};
    }
  }
  void expect(unsigned got, unsigned wanted, const char* what) {
    if (got != wanted && problem_.empty()) {
      problem_ = std::string(what) + ": " + std::to_string(got) + " packets, expected " +
                 std::to_string(wanted);
    }
  }
  void handshake() {
    new_peers();
    for (Peer& p : peers_) send(p, wire::kTcpSyn, 0);
    expect(turn(), o_.batch, "SYN-ACKs");
  }
  void run_close() {
    for (std::uint64_t done = 0; done < o_.count && problem_.empty(); done += o_.batch) {
      handshake();
      for (Peer& p : peers_) send(p, wire::kTcpAck | wire::kTcpPsh, kRequestBytes);
      expect(turn(), o_.batch, "answers");
      for (Peer& p : peers_) send(p, wire::kTcpAck | wire::kTcpFin, 0);
      expect(turn(), o_.batch, "last ACKs");
    }
  }
  void run_keepalive() {
    handshake();
    cycles_in_server = 0;
    for (std::uint64_t done = 0; done < o_.count && problem_.empty(); done += o_.batch) {
      for (Peer& p : peers_) send(p, wire::kTcpAck | wire::kTcpPsh, kRequestBytes);
      expect(turn(), o_.batch, "answers");
    }
  }
  void run_bulk() {
    handshake();
    cycles_in_server = 0;
    const std::uint64_t turns_wanted = o_.count;
    std::uint64_t sent = 0;
    for (Peer& p : peers_) send(p, wire::kTcpAck | wire::kTcpPsh, kRequestBytes);
    while (sent < turns_wanted && problem_.empty()) {
      const std::vector<Peer> before = peers_;
      turn();
      for (std::size_t i = 0; i < peers_.size(); ++i) {
        const std::uint32_t bytes = peers_[i].ack - before[i].ack;
        sent += bytes;
        done_[i % 64] += bytes;
        const bool again = done_[i % 64] >= content_->bytes(0);
        if (again) done_[i % 64] = 0;
        send(peers_[i], wire::kTcpAck, again ? kRequestBytes : 0);
      }
    }
  }

  Options o_;
  std::unique_ptr<nmio::PacketMemory> memory_;
  nmio::TxBatch batch_{};
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<tcpip::PackagedContent> content_;
  Server server_;
  std::vector<Peer> peers_;
  std::vector<nmio::RxPacket> burst_;
  nmio::Time now_ = 1000 * nmio::kSecond;
  std::uint32_t ms_ = 0;
  std::uint32_t next_port_ = 1024;
  std::uint32_t next_address_ = 0;
  std::uint32_t isn_ = 1;
  std::uint64_t done_[64] = {};
  std::string problem_;
};

}  // namespace

int main(int argc, char** argv) {
  Options o;
  unsigned numbers = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string_view a = argv[i];
    if (a == "close") {
      o.close = true;
    } else if (a == "keepalive") {
      o.close = false;
    } else if (a == "bulk") {
      o.close = false;
      o.bulk = true;
      o.batch = 4;
    } else if (a == "software-checksums") {
      o.software = true;
    } else if (a == "no-timestamps") {
      o.timestamps = false;
    } else if (a == "no-sack") {
      o.sack = false;
    } else if (a == "memcpy") {
      o.memcpy = true;
    } else if (a == "tso") {
      o.tso = true;
    } else if (numbers++ == 0) {
      o.count = std::strtoull(argv[i], nullptr, 10);
    } else {
      o.batch = static_cast<unsigned>(std::strtoul(argv[i], nullptr, 10));
    }
  }
  if (o.count == 0 || o.batch == 0 || o.batch > 256) {
    std::fprintf(stderr, "tcpip_fastpath_bench: count and batch: from 1 on, batch at most 256\n");
    return 2;
  }
  Bench(o).run();
  return 0;
}
