// SPDX-License-Identifier: Apache-2.0
// The whole server: the input is a sequence of bursts of datagrams, of segments, of steps of time
// and of reloads. Each datagram is answered as dns::respond() says, or not at all; what a TCP
// connection brings is the beginning of the answers to what was sent on it, and all of them where
// it lives; and in the end every chunk and buffer is home.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "nmio/packet_memory.h"
#include "server.h"
#include "tcpip/stack.h"
#include "test_messages.h"
#include "wire/frame.h"

namespace {

using namespace stackrig;
using namespace stackrig::namestorm;
using namespace stackrig::namestorm::testing;
using nmio::Time;
using Frame = std::vector<std::byte>;

constexpr wire::Ipv4Address kServer{0x0a000001}, kClient{0x0a000002};
constexpr wire::MacAddress kServerMac{{2, 0, 0, 0, 0, 1}}, kClientMac{{2, 0, 0, 0, 0, 2}};
constexpr std::uint16_t kStreamPort = 4000, kNoisePort = 4001;

void require(bool held) {
  if (!held) std::abort();
}

/// Takes numbers off the input; zeros when it is used up.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const std::uint8_t b = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return b;
  }
  std::uint16_t word() { return static_cast<std::uint16_t>(byte() << 8 | byte()); }

  /// A query as it is asked, with some bytes changed; or any bytes.
  Message message() {
    static constexpr const char* kNames[] = {"www.example.com",       "WWW.eXample.com",
                                             "medium.example.com",    "large.example.com",
                                             "huge.example.com",      "alias.example.com",
                                             "x.wild.example.com",    "x.sub.example.com",
                                             "nobody.example.com",    "host7.example.com",
                                             "deep.example.com",      "example.com",
                                             "example.org",           "",
                                             "a.b.c.deep.example.com"};
    static constexpr std::uint16_t kTypes[] = {dns::type::kA,   dns::type::kTxt, dns::type::kNs,
                                               dns::type::kSoa, dns::type::kAny, 28};
    const std::uint8_t how = byte();
    Message m;
    if (how < 32) {
      m.resize(byte());
      for (std::uint8_t& b : m) b = byte();
      return m;
    }
    Ask ask{.id = word()};
    ask.edns = (how & 1) != 0;
    ask.dnssec_ok = (how & 2) != 0;
    if ((how & 4) != 0) ask.payload_size = word();
    if ((how & 8) != 0) ask.flags = word();
    m = query(kNames[byte() % std::size(kNames)], kTypes[byte() % std::size(kTypes)], ask);
    for (unsigned n = (how >> 4) % 4; n != 0; --n) m[word() % m.size()] ^= byte();
    if (how >= 240) m.resize(word() % 1400, byte());
    return m;
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

/// What was asked on one connection, and what came back.
struct Stream {
  bool open = false, gone = false;
  std::uint64_t dropped_before = 0;
  std::uint32_t seq = 1, ack = 0;
  std::vector<std::uint8_t> sent, wanted, got;
  std::size_t parsed = 0;  ///< of `sent`

  void expect(const dns::ZoneSet& zones) {
    while (sent.size() - parsed >= 2) {
      const std::size_t length = std::size_t{sent[parsed]} << 8 | sent[parsed + 1];
      if (sent.size() - parsed - 2 < length) return;
      const auto* from = sent.data() + parsed + 2;
      const Message answer = composed(zones, Message(from, from + length), dns::Transport::tcp);
      if (!answer.empty()) {
        put16(wanted, static_cast<unsigned>(answer.size()));
        wanted.insert(wanted.end(), answer.begin(), answer.end());
      }
      parsed += 2 + length;
    }
  }
};

template <class Key>
class World {
 public:
  explicit World(SendMode mode)
      : memory_(nmio::PacketMemory::create({.chunks = 256, .huge_pages = false})),
        publisher_(std::make_unique<Edition<Key>>(zones_of(0))) {
    tcpip::Config c;
    c.address = {kServer, 24};
    c.mac = kServerMac;
    c.max_connections = 8;
    c.max_backlog = 4;
    c.max_held_chunks = 16;
    c.secret[0] = 3;
    batch_.room = kRoom;
    stack_ = std::make_unique<tcpip::Stack>(c, *memory_, batch_);
    stack_->tcpip_init(now_);
    ServerConfig s;
    s.udp = {.mode = mode, .working_chunks = 128};
    s.tcp = {.query_buffers = 2, .short_answers = 4, .long_answers = 2};
    server_ = std::make_unique<Server<Key>>(s, publisher_, *stack_, c.max_connections, batch_,
                                            nmio::Offload{}, now_);
  }

  void run(Input& in) {
    for (int steps = 0; !in.empty() && steps < 200; ++steps) {
      switch (in.byte() % 8) {
        case 0:
          step(Time{in.word()} * (in.byte() % 32 == 0 ? nmio::kMillisecond : nmio::kMicrosecond));
          break;
        case 1:
          reload();
          break;
        case 2:
        case 3:
          datagrams(in);
          break;
        case 4:
          noise(in);
          break;
        default:
          talk(in);
          break;
      }
    }
    finish();
  }

 private:
  static constexpr unsigned kRoom = 64;

  static std::shared_ptr<const dns::ZoneSet> zones_of(unsigned which) {
    static const std::shared_ptr<const dns::ZoneSet> all[] = {
        zones(), zones(zone_text(2, "192.0.2.81") + "aaa TXT \"first\"\n")};
    return all[which % 2];
  }
  const dns::ZoneSet& served() { return *publisher_.current()->zones; }

  void reload() {
    if (reloads_ == 3) return;
    publisher_.publish(std::make_unique<Edition<Key>>(zones_of(++reloads_)));
  }

  // --- what goes in ----------------------------------------------------------------------------

  void add(const Frame& f) {
    const nmio::ChunkId c = memory_->take();
    if (c == nmio::kNoChunk) return;
    std::byte* at = memory_->data(c) + 64;
    std::copy(f.begin(), f.end(), at);
    burst_.push_back({at, static_cast<std::uint32_t>(f.size()), c, 0, 0});
  }
  void deliver() {
    server_->on_burst(burst_, now_);
    burst_.clear();
    turn();
  }
  void step(Time by) {
    now_ += by;
    turn();
  }
  void turn() {
    server_->on_idle(now_);
    collect();
  }

  void datagrams(Input& in) {
    for (unsigned n = 1 + in.byte() % 40; n != 0; --n) {
      wire::UdpFrame f;
      f.ethernet = {kServerMac, kClientMac};
      f.ip = {.source = kClient, .destination = kServer, .protocol = wire::kProtocolUdp};
      f.udp = {.source_port = ++udp_port_, .destination_port = 53};
      const Message m = in.message();
      const auto bytes = std::as_bytes(std::span(m));
      f.payload.assign(bytes.begin(), bytes.end());
      asked_[udp_port_] = composed(served(), m);
      add(f.emit());
    }
    deliver();
    asked_.clear();
  }

  Frame segment(std::uint16_t port, std::uint8_t flags, std::uint32_t seq, std::uint32_t ack,
                std::span<const std::uint8_t> payload) {
    wire::TcpFrame f;
    f.ethernet = {kServerMac, kClientMac};
    f.ip = {.source = kClient, .destination = kServer, .protocol = wire::kProtocolTcp};
    f.tcp = {.source_port = port, .destination_port = 53, .sequence = seq, .acknowledgement = ack};
    f.tcp.flags = flags;
    f.tcp.window = 65535;
    const auto bytes = std::as_bytes(payload);
    f.payload.assign(bytes.begin(), bytes.end());
    f.ip.payload_length = static_cast<std::uint16_t>(f.tcp.header_length() + f.payload.size());
    return f.emit();
  }

  void noise(Input& in) {
    std::vector<std::uint8_t> payload(in.byte() % 64);
    for (std::uint8_t& b : payload) b = in.byte();
    const std::uint8_t flags = in.byte();
    const auto port = static_cast<std::uint16_t>(kNoisePort + flags % 4);
    add(segment(port, in.byte(), noise_seq_ + in.byte() % 4, noise_ack_, payload));
    noise_seq_ += static_cast<std::uint32_t>(payload.size());
    deliver();
  }

  [[nodiscard]] std::uint64_t dropped() const {
    const DnsCounters& c = server_->counters();
    return c.tcp_no_buffer + c.tcp_timed_out + c.tcp_too_long;
  }
  void connect() {
    stream_ = {};
    stream_.dropped_before = dropped();
    stream_.seq = next_seq_ += 100'000'000;
    add(segment(kStreamPort, wire::kTcpSyn, stream_.seq++, 0, {}));
    deliver();
    if (stream_.open) acknowledge();
  }
  void acknowledge() {
    add(segment(kStreamPort, wire::kTcpAck, stream_.seq, stream_.ack, {}));
    deliver();
  }

  /// More queries on the connection, or bytes that are none, cut into segments anywhere.
  void talk(Input& in) {
    if (!stream_.open || stream_.gone) connect();
    if (!stream_.open) return;
    std::vector<std::uint8_t> bytes;
    for (unsigned n = 1 + in.byte() % 12; n != 0; --n) {
      const Message m = in.message();
      put16(bytes, static_cast<unsigned>(m.size()));
      bytes.insert(bytes.end(), m.begin(), m.end());
    }
    if (in.byte() % 8 == 0) bytes.push_back(in.byte());
    stream_.sent.insert(stream_.sent.end(), bytes.begin(), bytes.end());
    stream_.expect(served());
    std::span<const std::uint8_t> rest(bytes);
    while (!rest.empty() && !stream_.gone) {
      const std::size_t n = std::min<std::size_t>(rest.size(), 1 + in.word() % 1400U);
      add(segment(kStreamPort, wire::kTcpAck, stream_.seq, stream_.ack, rest.first(n)));
      stream_.seq += static_cast<std::uint32_t>(n);
      rest = rest.subspan(n);
      if (in.byte() % 2 == 0 || burst_.size() == 32) deliver();
    }
    deliver();
    // All that is due comes before another edition may.
    for (std::size_t before = ~std::size_t{0}; !stream_.gone && before != stream_.got.size();) {
      before = stream_.got.size();
      acknowledge();
      step(50 * nmio::kMillisecond);
    }
    require(stream_.gone || dropped() != stream_.dropped_before || stream_.got == stream_.wanted);
  }

  // --- what comes out --------------------------------------------------------------------------

  void collect() {
    std::vector<Frame> frames;
    for (unsigned i = 0; i < batch_.count; ++i) {
      const nmio::TxPacket& p = batch_.packets[i];
      frames.emplace_back(p.data, p.data + p.len);
      memory_->give_back(p.chunk);
    }
    batch_.count = 0;
    batch_.room = kRoom;
    for (const Frame& f : frames) {
      if (const auto udp = wire::UdpFrame::parse(f)) {
        on_datagram(*udp);
      } else if (const auto tcp = wire::TcpFrame::parse(f)) {
        on_segment(*tcp);
      } else {
        require(f[12] == std::byte{8} && f[13] == std::byte{6});  // ARP
      }
    }
  }

  void on_datagram(const wire::UdpFrame& f) {
    const auto asked = asked_.find(f.udp.destination_port);
    require(asked != asked_.end());  // and once
    require(std::ranges::equal(std::as_bytes(std::span(asked->second)), f.payload));
    asked_.erase(asked);
  }

  void on_segment(const wire::TcpFrame& f) {
    const bool reset = (f.tcp.flags & wire::kTcpRst) != 0;
    if (f.tcp.destination_port != kStreamPort) {
      if (!reset) noise_ack_ = f.tcp.sequence + 1;
      if (!reset) noise_seq_ = f.tcp.acknowledgement;
      return;
    }
    if (reset || (f.tcp.flags & wire::kTcpFin) != 0) {
      stream_.gone = true;
      return;
    }
    if ((f.tcp.flags & wire::kTcpSyn) != 0) {
      stream_.open = true;
      stream_.ack = f.tcp.sequence + 1;
      return;
    }
    if (f.tcp.sequence != stream_.ack) return;  // comes again
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(f.payload.data());
    stream_.got.insert(stream_.got.end(), bytes, bytes + f.payload.size());
    stream_.ack += static_cast<std::uint32_t>(f.payload.size());
    require(stream_.got.size() <= stream_.wanted.size());
    require(std::equal(stream_.got.begin(), stream_.got.end(), stream_.wanted.begin()));
  }

  void finish() {
    for (int i = 0; i < 100; ++i) step(10 * nmio::kSecond);
    stack_->tcpip_init(now_);
    collect();
    require(server_->tcp().free_query_buffers() == 2);
    require(server_->tcp().free_answer_buffers() == 6);
    std::uint32_t free = 0;
    for (nmio::HomeId h = 0; h < memory_->homes(); ++h) free += memory_->free_count(h);
    require(free == memory_->chunks());
  }

  std::unique_ptr<nmio::PacketMemory> memory_;
  nmio::TxBatch batch_{};
  Publisher<Key> publisher_;
  std::unique_ptr<tcpip::Stack> stack_;
  std::unique_ptr<Server<Key>> server_;
  Time now_ = 1000 * nmio::kSecond;
  unsigned reloads_ = 0;
  std::vector<nmio::RxPacket> burst_;
  std::map<std::uint16_t, Message> asked_;  ///< by port: the answer that may come
  std::uint16_t udp_port_ = 1024;
  Stream stream_;
  std::uint32_t next_seq_ = 1, noise_seq_ = 1, noise_ack_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in({data, size});
  const std::uint8_t which = in.byte();
  const SendMode mode = (which & 1) != 0 ? SendMode::precopy : SendMode::memcpy;
  if ((which & 2) != 0) {
    World<dns::FqdnKey>(mode).run(in);
  } else {
    World<dns::WireKey>(mode).run(in);
  }
  return 0;
}
