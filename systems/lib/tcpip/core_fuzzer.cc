// SPDX-License-Identifier: Apache-2.0
// The whole core as a state machine: the input is a configuration, then a sequence of segments
// (with timestamps, reports, marks), ICMP errors, calls and steps of time. After it every
// connection ends, and every buffer is home.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "nmio/packet_memory.h"
#include "tcpip/stack.h"
#include "wire/frame.h"

namespace {

using namespace stackrig;
using tcpip::Stack;
using tcpip::Tcb;

/// Takes numbers off the input; zeros when it is used up.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return at_ >= size_; }
  std::uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  std::uint16_t word() { return static_cast<std::uint16_t>(byte() << 8 | byte()); }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

class Bytes final : public tcpip::ByteOwner {
 public:
  tcpip::Fetched fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                       std::uint32_t max_segment, std::span<tcpip::Segment> out) override {
    if (offset + limit > cookie) std::abort();  // the cookie is the length
    if (!ready) return {0, false};
    tcpip::Fetched f;
    while (limit != 0 && f.segments < out.size()) {
      tcpip::Segment g;
      g.data = bytes_.data();
      g.len = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, max_segment));
      out[f.segments++] = g;
      limit -= g.len;
    }
    return f;
  }
  void released(std::uint64_t) override { --pending; }
  int pending = 0;
  bool ready = true;

 private:
  std::array<std::byte, 65536> bytes_{};
};

struct World {
  explicit World(std::uint8_t how)
      : memory(nmio::PacketMemory::create({.chunks = 256, .huge_pages = false})) {
    tcpip::Config c;
    c.address = {{0x0a000001}, 24};
    c.mac = {{2, 0, 0, 0, 0, 1}};
    c.max_connections = 8;
    c.max_time_wait = 4;
    c.max_backlog = 2;
    c.max_held_chunks = 16;
    c.receive_window = 4096;
    c.congestion_control = static_cast<tcpip::CongestionControl>(how % 3);
    c.sack = (how & 4) == 0;
    c.ecn = (how & 8) != 0 ? tcpip::Ecn::request : tcpip::Ecn::accept;
    c.max_sent_ranges = (how & 16) != 0 ? 3 : 0;
    if ((how & 32) != 0) c.keepalive = {5 * nmio::kSecond, nmio::kSecond, 3};
    if ((how & 64) != 0) c.user_timeout = 20 * nmio::kSecond;
    c.user_timeout_option = (how & 128) != 0;
    c.secret[0] = 3;
    stack = std::make_unique<Stack>(c, *memory, batch);
    stack->tcpip_init(now);
    Tcb* l = stack->tcp_new();
    stack->tcp_bind(*l, {}, 80);
    stack->tcp_app(*l, this);
    stack->tcp_accept(*l, [](void* p, Tcb& t) {
      static_cast<World*>(p)->last = &t;
      return true;
    });
    stack->tcp_recv(*l, [](void* p, Tcb& t, std::span<const std::byte> b) {
      return static_cast<World*>(p)->on_bytes(t, b);
    });
    stack->tcp_closed(*l, [](void* p, Tcb& t, tcpip::Ended) {
      auto& w = *static_cast<World*>(p);
      if (w.last == &t) w.last = nullptr;
    });
    stack->tcp_listen(*l);
  }
  std::size_t on_bytes(Tcb& t, std::span<const std::byte> b) {
    switch (mood % 6) {
      case 0:
        write(t, 300);
        stack->tcp_close(t, now);
        return b.size();
      case 1:
        write(t, 5000);
        return b.size();
      case 2:
        return b.size() / 2;
      case 3:
        return 0;
      case 4:
        stack->tcp_abort(t, now);
        return b.size();
      default:
        return b.size();
    }
  }
  void write(Tcb& t, std::uint64_t bytes) {
    if (stack->tcp_write(t, owner, bytes, bytes, now) == tcpip::Result::ok) ++owner.pending;
  }
  void collect() {
    for (unsigned i = 0; i < batch.count; ++i) {
      const auto& p = batch.packets[i];
      const auto f = wire::TcpFrame::parse({p.data, p.len});
      if (f) {
        seq = f->tcp.acknowledgement;
        ack = f->tcp.sequence + static_cast<std::uint32_t>(f->payload.size()) +
              ((f->tcp.flags & (wire::kTcpSyn | wire::kTcpFin)) != 0 ? 1 : 0);
        if (f->tcp.options.timestamps) echo = f->tcp.options.timestamps->value;
        if (!f->payload.empty()) last_data.assign(p.data, p.data + p.len);
        if ((f->tcp.flags & wire::kTcpSyn) != 0) first = f->tcp.sequence + 1;
      } else if (p.data[12] == std::byte{8} && p.data[13] == std::byte{0}) {
        std::abort();  // we sent a segment that is none
      }
      memory->give_back(p.chunk);
    }
    batch.count = 0;
    batch.room = room;
  }
  void step(nmio::Time by) {
    now += by;
    stack->run_timers(now);
    stack->poll_output(now);
    collect();
  }
  void segment(Input& in) {
    wire::TcpFrame f;
    f.ethernet = {{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}};
    f.ip.source = {0x0a000002};
    f.ip.destination = {0x0a000001};
    const std::uint8_t how = in.byte();
    f.tcp.source_port = static_cast<std::uint16_t>(4000 + (how & 3));
    f.tcp.destination_port = (how & 4) != 0 && (how & 8) != 0 ? 81 : 80;
    f.tcp.flags = in.byte();
    // Near what the stack expects, or anywhere.
    f.tcp.sequence =
        seq + ((how & 16) != 0 ? static_cast<std::int8_t>(in.byte()) * (how & 32 ? 1 : 97) : 0);
    f.tcp.acknowledgement = ack + ((how & 64) != 0 ? static_cast<std::int8_t>(in.byte()) * 31 : 0);
    f.tcp.window = in.word();
    if ((how & 128) != 0) f.tcp.options.timestamps = wire::Timestamps{ts += in.byte() & 3, echo};
    if ((f.tcp.flags & wire::kTcpSyn) != 0) {
      f.tcp.options.mss = in.word();
      f.tcp.options.window_scale = in.byte() & 15;
    }
    const std::uint8_t more = in.byte();
    f.ip.tos = more & 3;
    if ((f.tcp.flags & wire::kTcpSyn) != 0) {
      f.tcp.options.sack_permitted = (more & 4) != 0;
    } else {
      // Reports of segments near the beginning of the flight, or of anything.
      f.tcp.options.sack_blocks = more >> 4 & 3;
      for (unsigned i = 0; i < f.tcp.options.sack_blocks; ++i) {
        const std::uint32_t left = ((more & 8) != 0 ? ack : first) + in.byte() * 100U - 3000U;
        f.tcp.options.sack[i] = {left, left + in.byte() * 50U};
      }
    }
    f.payload.resize(in.byte() * std::size_t{in.byte() % 6U});
    f.ip.payload_length = static_cast<std::uint16_t>(f.tcp.header_length() + f.payload.size());
    frame(f.emit());
  }
  void frame(const std::vector<std::byte>& bytes) {
    const nmio::ChunkId c = memory->take();
    if (c == nmio::kNoChunk) return;
    std::byte* at = memory->data(c) + 64;
    std::copy(bytes.begin(), bytes.end(), at);
    const nmio::RxPacket p{at, static_cast<std::uint32_t>(bytes.size()), c, 0, 0};
    stack->input({&p, 1}, now);
    stack->poll_output(now);
    collect();
  }
  // A router says that something that we sent was too long, or something else about it.
  void icmp(Input& in) {
    if (last_data.size() < 14 + 28) return;
    wire::IcmpFrame f;
    f.ethernet = {{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}, wire::kEtherTypeIpv4};
    f.ip.source = {0x0a000003};
    f.ip.destination = {0x0a000001};
    const std::uint8_t how = in.byte();
    f.icmp = {wire::kIcmpUnreachable,
              static_cast<std::uint8_t>((how & 7) != 0 ? wire::kIcmpFragmentationNeeded : how >> 4),
              0, in.word()};
    f.payload.assign(last_data.begin() + 14, last_data.begin() + 14 + 28);
    if ((how & 8) != 0) f.payload[24 + (how >> 4 & 3)] ^= std::byte{in.byte()};
    frame(f.emit());
  }
  void raw(Input& in) {
    std::vector<std::byte> bytes(in.byte());
    for (auto& b : bytes) b = std::byte{in.byte()};
    frame(bytes);
  }

  std::unique_ptr<nmio::PacketMemory> memory;
  nmio::TxBatch batch{};
  std::unique_ptr<Stack> stack;
  Bytes owner;
  nmio::Time now = 1000 * nmio::kSecond;
  unsigned room = 64;
  Tcb* last = nullptr;
  std::uint8_t mood = 5;
  std::uint32_t seq = 1, ack = 0, ts = 1, echo = 0, first = 0;
  std::vector<std::byte> last_data;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  World w(in.byte());
  w.batch.room = w.room;
  for (int steps = 0; !in.empty() && steps < 400; ++steps) {
    const std::uint8_t what = in.byte();
    switch (what % 16) {
      case 0:
        w.step(nmio::Time{in.word()} * nmio::kMillisecond);
        break;
      case 1:
        w.mood = in.byte();
        break;
      case 2:
        w.room = in.byte() % 64;
        w.batch.room = w.room;
        break;
      case 3:
        if (w.last != nullptr) w.write(*w.last, in.byte() + std::uint64_t{1});
        break;
      case 4:
        if (w.last != nullptr) w.stack->tcp_close(*w.last, w.now);
        break;
      case 5:
        if (w.last != nullptr) w.stack->tcp_resume(*w.last, w.now);
        break;
      case 6: {
        Tcb* t = w.stack->tcp_new();
        if (t == nullptr) break;
        w.stack->tcp_bind(*t, {}, static_cast<std::uint16_t>(in.byte() & 1 ? 0 : 99));
        if (w.stack->tcp_connect(*t, {{0x0a000002}, 4000}, w.now) != tcpip::Result::ok) {
          w.stack->tcp_abort(*t, w.now);
        }
        break;
      }
      case 7:
        w.raw(in);
        break;
      case 8:
        w.icmp(in);
        break;
      case 9:
        w.owner.ready = !w.owner.ready;
        if (w.owner.ready && w.last != nullptr) w.stack->tcp_output(*w.last, w.now);
        break;
      case 10:
        w.step(nmio::Time{in.byte()} * 100 * nmio::kMicrosecond);
        break;
      default:
        w.segment(in);
        break;
    }
  }
  w.owner.ready = true;
  w.room = 64;
  w.batch.room = 64;
  for (int i = 0; i < 200; ++i) w.step(30 * nmio::kSecond);
  w.stack->tcpip_init(w.now);
  w.collect();
  if (w.owner.pending != 0) std::abort();
  if (w.memory->free_count() != w.memory->total_count()) std::abort();
  return 0;
}
