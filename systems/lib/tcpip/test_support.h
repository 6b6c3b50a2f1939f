// SPDX-License-Identifier: Apache-2.0
// For tests: one stack, segments in, segments out, time in the test's hand.
//
//   Script s;                           // a stack at 10.0.0.1; the test is the peer, 10.0.0.2:4000
//   s.listen(80);
//   s.in({.flags = kSyn, .seq = 1000});
//   Out o = s.out();                    // fails the test where there is none
//   s.advance(kSecond);                 // fires timers on the way
//   s.expect_silence();
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ip/interface.h"
#include "nmio/offload.h"
#include "nmio/packet_memory.h"
#include "tcpip/seq.h"
#include "tcpip/stack.h"
#include "wire/frame.h"

namespace stackrig::tcpip::testing {

using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kSecond;

inline constexpr std::uint8_t kFin = wire::kTcpFin, kSyn = wire::kTcpSyn, kRst = wire::kTcpRst,
                              kPsh = wire::kTcpPsh, kAck = wire::kTcpAck;

inline const wire::MacAddress kOurMac{{2, 0, 0, 0, 0, 1}};
inline const wire::MacAddress kPeerMac{{2, 0, 0, 0, 0, 2}};
inline constexpr wire::Ipv4Address kOurIp{0x0a000001};
inline constexpr wire::Ipv4Address kPeerIp{0x0a000002};

/// An owner whose bytes lie in a string: kind copy. `ready` false: not ready.
class StringOwner final : public ByteOwner {
 public:
  explicit StringOwner(std::string text, bool with_sum = false)
      : text_(std::move(text)), with_sum_(with_sum) {}

  Fetched fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                std::uint32_t max_segment, std::span<Segment> out) override {
    ++fetches;
    last_cookie = cookie;
    if (!ready) return {0, false};
    Fetched f;
    while (limit != 0 && f.segments < out.size()) {
      EXPECT_LE(offset + limit, text_.size());
      const auto len = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, max_segment));
      Segment g;
      g.kind = Segment::Kind::copy;
      g.data = reinterpret_cast<std::byte*>(text_.data()) + offset;
      g.len = len;
      g.sum_known = with_sum_;
      if (with_sum_) g.payload_sum = wire::fold(wire::sum(g.data, len));
      out[f.segments++] = g;
      offset += len;
      limit -= len;
    }
    return f;
  }
  void acked(std::uint64_t, std::uint64_t offset) override { acked_to = offset; }
  void released(std::uint64_t cookie) override { released_cookies.push_back(cookie); }

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::uint64_t size() const { return text_.size(); }

  bool ready = true;
  unsigned fetches = 0;
  std::uint64_t last_cookie = 0;
  std::uint64_t acked_to = 0;
  std::vector<std::uint64_t> released_cookies;

 private:
  std::string text_;
  bool with_sum_;
};

/// What the application under the stack saw, and what it does.
struct App {
  // does
  bool accept = true;
  std::size_t take_at_most = ~std::size_t{0};  ///< of each span that is offered
  std::function<void(Tcb&, std::string_view)> on_bytes;
  std::function<void(Tcb&)> on_remote_close;
  std::function<void(Tcb&)> on_accepted;
  std::function<void(Tcb&)> on_connected;
  std::function<void(Tcb&, std::uint64_t)> on_sent;
  // saw
  Tcb* tcb = nullptr;
  unsigned accepted = 0, connected = 0, remote_closes = 0, offers = 0;
  std::string received;
  std::vector<std::uint64_t> sent;
  std::vector<Ended> ended;
};

inline bool accept_fn(void* p, Tcb& t) {
  App& a = *static_cast<App*>(p);
  ++a.accepted;
  a.tcb = &t;
  if (a.on_accepted) a.on_accepted(t);
  return a.accept;
}
inline void connect_fn(void* p, Tcb& t) {
  App& a = *static_cast<App*>(p);
  ++a.connected;
  if (a.on_connected) a.on_connected(t);
}
inline std::size_t recv_fn(void* p, Tcb& t, std::span<const std::byte> bytes) {
  App& a = *static_cast<App*>(p);
  ++a.offers;
  const std::size_t n = std::min(bytes.size(), a.take_at_most);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), n);
  a.received += text;
  if (a.on_bytes) a.on_bytes(t, text);
  return n;
}
inline void sent_fn(void* p, Tcb& t, std::uint64_t cookie) {
  App& a = *static_cast<App*>(p);
  a.sent.push_back(cookie);
  if (a.on_sent) a.on_sent(t, cookie);
}
inline void remote_closed_fn(void* p, Tcb& t) {
  App& a = *static_cast<App*>(p);
  ++a.remote_closes;
  if (a.on_remote_close) a.on_remote_close(t);
}
inline void closed_fn(void* p, Tcb&, Ended why) {
  App& a = *static_cast<App*>(p);
  a.ended.push_back(why);
  a.tcb = nullptr;
}
inline void set_callbacks(Stack& stack, Tcb& t, App& app) {
  stack.tcp_app(t, &app);
  stack.tcp_recv(t, recv_fn);
  stack.tcp_sent(t, sent_fn);
  stack.tcp_remote_closed(t, remote_closed_fn);
  stack.tcp_closed(t, closed_fn);
}

/// A segment from the peer. Options are none unless said so.
struct In {
  std::uint8_t flags = kAck;
  Seq seq = 0;
  Seq ack = 0;
  std::string payload;
  std::uint16_t window = 65535;
  wire::TcpOptions options;
  wire::Ipv4Address from = kPeerIp;
  std::uint8_t tos = 0;
  std::uint16_t from_port = 4000;
  std::uint16_t to_port = 80;
};

/// A segment that the stack sent.
struct Out {
  wire::TcpFrame frame;
  bool any = false;
  [[nodiscard]] const wire::Tcp& tcp() const { return frame.tcp; }
  [[nodiscard]] std::uint8_t flags() const { return frame.tcp.flags; }
  [[nodiscard]] Seq seq() const { return frame.tcp.sequence; }
  [[nodiscard]] Seq ack() const { return frame.tcp.acknowledgement; }
  [[nodiscard]] std::uint32_t window() const { return frame.tcp.window; }
  [[nodiscard]] std::string payload() const {
    return {reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size()};
  }
};

inline Config script_config() {
  Config c;
  c.address = {kOurIp, 24};
  c.mac = kOurMac;
  c.max_connections = 64;
  c.max_time_wait = 64;
  c.max_backlog = 16;
  c.max_held_chunks = 64;
  c.secret[0] = 0x0706050403020100;
  c.secret[1] = 0x0f0e0d0c0b0a0908;
  return c;
}

class Script {
 public:
  explicit Script(const Config& config = script_config(), std::uint32_t chunks = 512)
      : memory(nmio::PacketMemory::create({.chunks = chunks, .huge_pages = false})),
        stack(config, *memory, batch),
        config_(config) {
    batch.room = nmio::TxBatch::kCapacity;
    stack.tcpip_init(now);
  }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;
  ~Script() {
    hold_sent = false;
    collect();
    device_done();
    if (check_chunks) {
      EXPECT_EQ(memory->free_count() + stack.counters().held_chunks_now, memory->total_count())
          << "a chunk was lost";
    }
  }

  Tcb& listen(std::uint16_t port = 80) {
    Tcb* l = stack.tcp_new();
    EXPECT_NE(l, nullptr);
    EXPECT_EQ(stack.tcp_bind(*l, kOurIp, port), Result::ok);
    set_callbacks(stack, *l, app);
    stack.tcp_accept(*l, accept_fn);
    EXPECT_EQ(stack.tcp_listen(*l), Result::ok);
    return *l;
  }

  /// A frame as it came from the wire.
  void in_frame(const std::vector<std::byte>& frame, std::uint16_t flags = 0) {
    burst_frames({frame}, flags);
  }
  void burst_frames(const std::vector<std::vector<std::byte>>& frames, std::uint16_t flags = 0) {
    std::vector<nmio::RxPacket> packets;
    for (const auto& f : frames) {
      const nmio::ChunkId chunk = memory->take();
      ASSERT_NE(chunk, nmio::kNoChunk);
      std::byte* data = memory->data(chunk) + 128;
      std::copy(f.begin(), f.end(), data);
      packets.push_back({data, static_cast<std::uint32_t>(f.size()), chunk, 0, flags});
    }
    stack.input(packets, now);
    stack.poll_output(now);
    collect();
  }
  [[nodiscard]] wire::TcpFrame frame_of(const In& s) const {
    wire::TcpFrame f;
    f.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeIpv4};
    f.ip.source = s.from;
    f.ip.tos = s.tos;
    f.ip.destination = kOurIp;
    f.tcp.source_port = s.from_port;
    f.tcp.destination_port = s.to_port;
    f.tcp.sequence = s.seq;
    f.tcp.acknowledgement = s.ack;
    f.tcp.flags = s.flags;
    f.tcp.window = s.window;
    f.tcp.options = s.options;
    f.payload = wire::bytes_of(s.payload);
    f.ip.payload_length = static_cast<std::uint16_t>(f.tcp.header_length() + f.payload.size());
    return f;
  }
  void in(const In& s) { in_frame(frame_of(s).emit()); }
  /// All in one burst.
  void in_burst(const std::vector<In>& segments) {
    std::vector<std::vector<std::byte>> frames;
    frames.reserve(segments.size());
    for (const In& s : segments) frames.push_back(frame_of(s).emit());
    burst_frames(frames);
  }

  /// The next segment that the stack sent.
  Out out() {
    if (sent.empty()) {
      ADD_FAILURE() << "the stack sent nothing";
      return {};
    }
    const std::vector<std::byte> bytes = std::move(sent.front());
    sent.pop_front();
    auto f = wire::TcpFrame::parse(bytes);
    if (!f) {
      ADD_FAILURE() << "not a good TCP segment: " << wire::describe(bytes);
      return {};
    }
    if (f->tcp.options.timestamps) last_ts = f->tcp.options.timestamps->value;
    return {std::move(*f), true};
  }
  void expect_silence() {
    for (const auto& s : sent) ADD_FAILURE() << "unexpected: " << wire::describe(s);
    sent.clear();
  }
  /// The last of all segments sent since; the others are forgotten.
  Out last_out() {
    while (sent.size() > 1) sent.pop_front();
    return out();
  }
  void forget() { sent.clear(); }

  /// Time goes on; timers fire at their deadlines, not at the end only.
  void advance(Time by) {
    const Time until = now + by;
    while (true) {
      const Time next = std::max(stack.next_deadline(), now);
      if (next > until) break;
      now = next == now ? std::min(until, now + kMicrosecond) : next;
      tick();
      if (now == until) break;
    }
    now = until;
    tick();
  }
  void tick() {
    stack.run_timers(now);
    stack.poll_output(now);
    collect();
  }
  /// Time until the stack sends something, at most `limit`.
  Time until_output(Time limit) {
    const Time from = now;
    while (sent.empty() && now < from + limit) {
      advance(std::min(from + limit - now, kMillisecond));
    }
    return now - from;
  }

  /// Takes what was put into the batch: frames into `sent`, chunks home. Large ones are cut as a
  /// device would.
  void collect() {
    std::vector<std::byte> bytes;
    nmio::TxPacket first{};
    for (unsigned i = 0; i < batch.count; ++i) {
      const nmio::TxPacket& p = batch.packets[i];
      if (bytes.empty()) first = p;
      bytes.insert(bytes.end(), p.data, p.data + p.len);
      if (hold_sent) {
        in_device.push_back(p.chunk);
      } else {
        memory->give_back(p.chunk);
      }
      if ((p.flags & nmio::TxPacket::kMore) != 0) continue;
      finish_frame(std::move(bytes), first);
      bytes.clear();
    }
    batch.count = 0;
    batch.room = room;
  }
  void device_done() {
    for (const nmio::ChunkId c : in_device) memory->give_back(c);
    in_device.clear();
  }

  /// Handshake as the peer; returns after the ACK, which comes a round trip after the SYN-ACK.
  /// Segments of the stack are consumed.
  void establish(wire::TcpOptions options = {}, std::uint16_t window = 65535, Time round_trip = 0) {
    in({.flags = kSyn, .seq = irs, .window = window, .options = options});
    const Out synack = out();
    ASSERT_EQ(synack.flags(), kSyn | kAck);
    iss = synack.seq();
    now += round_trip;
    ts_theirs = synack.tcp().options.timestamps;
    ts_on = options.timestamps && ts_theirs;
    if (ts_on) {
      const std::uint32_t value = options.timestamps->value;
      options = {};
      options.timestamps = wire::Timestamps{value, ts_theirs->value};
    } else {
      options = {};
    }
    in({.flags = kAck, .seq = irs + 1, .ack = iss + 1, .window = window, .options = options});
  }
  /// The peer's next segment, by offsets from the first data bytes of both sides.
  [[nodiscard]] In data(std::string payload, std::uint32_t offset = 0, std::uint32_t acked = 0,
                        std::uint8_t flags = kAck) const {
    In s{.flags = flags,
         .seq = irs + 1 + offset,
         .ack = iss + 1 + acked,
         .payload = std::move(payload)};
    if (ts_on) s.options.timestamps = wire::Timestamps{2, last_ts};
    return s;
  }

  std::unique_ptr<nmio::PacketMemory> memory;
  nmio::TxBatch batch{};
  unsigned room = nmio::TxBatch::kCapacity;
  Stack stack;
  App app;
  Time now = 1000 * kSecond;
  std::deque<std::vector<std::byte>> sent;
  bool check_chunks = true;
  bool hold_sent = false;
  std::vector<nmio::ChunkId> in_device;
  Seq irs = 5000;
  Seq iss = 0;
  std::optional<wire::Timestamps> ts_theirs;
  bool ts_on = false;         ///< both sides agreed on timestamps
  std::uint32_t last_ts = 0;  ///< the stack's, of the last segment that out() gave

 private:
  void finish_frame(std::vector<std::byte> bytes, const nmio::TxPacket& first) {
    if ((first.flags & nmio::TxPacket::kSegment) != 0) {
      nmio::Segmenter cut;
      const std::span<const std::byte> headers(bytes.data(), first.header_len);
      const auto payload = static_cast<std::uint32_t>(bytes.size() - first.header_len);
      ASSERT_TRUE(cut.start(headers, first.l4_offset, payload, first.segment_size));
      while (!cut.done()) {
        std::vector<std::byte> one(first.header_len + cut.payload_len());
        std::memcpy(one.data() + first.header_len,
                    bytes.data() + first.header_len + cut.payload_offset(), cut.payload_len());
        cut.next(one.data());
        fill(one);
        sent.push_back(std::move(one));
      }
      return;
    }
    if ((first.flags & nmio::TxPacket::kChecksum) != 0) fill(bytes);
    sent.push_back(std::move(bytes));
  }
  static void fill(std::vector<std::byte>& frame) {
    nmio::L4Place place;
    ASSERT_TRUE(nmio::find_l4(frame, place));
    nmio::fill_checksum(frame, place);
  }
  Config config_;
};

inline wire::TcpOptions mss_option(std::uint16_t mss) {
  wire::TcpOptions o;
  o.mss = mss;
  return o;
}
inline wire::TcpOptions timestamp_option(std::uint32_t value, std::uint32_t echo) {
  wire::TcpOptions o;
  o.timestamps = wire::Timestamps{value, echo};
  return o;
}
inline std::string pattern(std::size_t n, unsigned seed = 0) {
  std::string s(n, 0);
  std::uint32_t x = seed * 2654435761U + 12345;
  for (char& ch : s) {
    x = x * 1664525 + 1013904223;
    ch = static_cast<char>('!' + (x >> 24) % 90);
  }
  return s;
}

}  // namespace stackrig::tcpip::testing
