// SPDX-License-Identifier: Apache-2.0
// Our core as the tested TCP, in virtual time: the harness is its device, its clock and its
// application.
#include <algorithm>
#include <cstring>
#include <deque>
#include <map>

#include "nmio/packet_memory.h"
#include "tcpip/script/flow.h"
#include "tcpip/script/target.h"
#include "tcpip/stack.h"
#include "wire/frame.h"

namespace stackrig::tcpip::script {
namespace {

/// Bytes of one tcp_write(); it is gone when the core has released it.
class OwnedBytes final : public ByteOwner {
 public:
  OwnedBytes(std::string bytes, unsigned& alive) : bytes_(std::move(bytes)), alive_(alive) {
    ++alive_;
  }
  Fetched fetch(std::uint64_t, std::uint64_t offset, std::uint64_t limit, std::uint32_t max_segment,
                std::span<Segment> out) override {
    Fetched f;
    while (limit != 0 && f.segments < out.size()) {
      Segment& g = out[f.segments++] = {};
      g.data = reinterpret_cast<std::byte*>(bytes_.data()) + offset;
      g.len = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, max_segment));
      offset += g.len;
      limit -= g.len;
    }
    return f;
  }
  void released(std::uint64_t) override { --alive_; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

 private:
  std::string bytes_;
  unsigned& alive_;
};

Config config_of(const Settings& s) {
  Config c;
  c.address = {kTestedIp, 24};
  c.mac = kTestedMac;
  c.mtu = s.mtu;
  c.max_connections = 64;
  c.max_time_wait = 64;
  c.max_backlog = s.backlog;
  c.max_held_chunks = 256;
  c.receive_window = s.window;
  c.timestamps = s.timestamps;
  c.window_scaling = s.scaling;
  c.sack = s.sack;
  c.ecn = s.ecn ? Ecn::request : Ecn::off;
  c.congestion_control =
      s.congestion == "cubic" ? CongestionControl::cubic : CongestionControl::new_reno;
  c.nagle = s.nagle;
  c.delayed_ack = s.delayed_ack ? 40 * nmio::kMillisecond : 0;
  c.max_retransmits = s.retries;
  c.max_syn_retransmits = s.syn_retries;
  c.initial_window_segments = s.initial_window;
  c.time_wait = s.time_wait;
  c.fin_wait_2_timeout = s.fin_timeout;
  c.secret[0] = 0x0706050403020100;
  c.secret[1] = 0x0f0e0d0c0b0a0908;
  return c;
}

const char* name_of_state(State s) {
  constexpr const char* kNames[] = {"none",        "listen",     "syn-sent",   "syn-received",
                                    "established", "fin-wait-1", "fin-wait-2", "close-wait",
                                    "closing",     "last-ack",   "time-wait"};
  return kNames[static_cast<std::size_t>(s)];
}

class CoreTarget final : public Target {
 public:
  explicit CoreTarget(const Settings& settings)
      : memory_(nmio::PacketMemory::create({.chunks = 1024, .huge_pages = false})),
        stack_(config_of(settings), *memory_, batch_) {
    batch_.room = nmio::TxBatch::kCapacity;
    stack_.tcpip_init(now_);
  }

  [[nodiscard]] Tolerance tolerance() const override {
    return {.early = nmio::kMillisecond,
            .early_share = 0.02,
            .late = nmio::kMillisecond,
            .late_share = 0.02};
  }
  Time now() override { return now_; }

  void wait_until(Time time) override {
    while (true) {
      const Time next = std::max(stack_.next_deadline(), now_);
      if (next >= time) break;
      now_ = next == now_ ? std::min(time, now_ + nmio::kMicrosecond) : next;
      turn();
    }
    now_ = std::max(now_, time);
    turn();
  }

  void inject(const std::vector<std::byte>& frame) override {
    receive(frame);
    turn();
  }

  std::optional<Came> next(Time time) override {
    while (came_.empty() && now_ < time) {
      const Time deadline = stack_.next_deadline();
      wait_until(std::min(time, std::max(deadline, now_ + 1)));
    }
    if (came_.empty()) return std::nullopt;
    Came c = std::move(came_.front());
    came_.pop_front();
    return c;
  }
  const Came* peek() override { return came_.empty() ? nullptr : &came_.front(); }

  std::string listen() override {
    Tcb* l = stack_.tcp_new();
    if (l == nullptr) return "no slot";
    stack_.tcp_bind(*l, kTestedIp, kTestedPort);
    set_callbacks(*l);
    stack_.tcp_accept(*l, [](void* p, Tcb& t) {
      Connection& c = static_cast<CoreTarget*>(p)->connection(t);
      c = Connection{.tcb = &t, .lazy = c.lazy};
      return true;
    });
    if (stack_.tcp_listen(*l) != Result::ok) return "the port is taken";
    listener_ = l;
    return {};
  }
  std::string unlisten() override {
    if (listener_ == nullptr) return "nobody listens";
    stack_.tcp_close(*listener_, now_);
    listener_ = nullptr;
    turn();
    return {};
  }
  std::string connect(std::uint16_t port) override {
    Tcb* t = stack_.tcp_new();
    if (t == nullptr) return "no slot";
    stack_.tcp_bind(*t, kTestedIp, kTestedPort);
    set_callbacks(*t);
    const Result r = stack_.tcp_connect(*t, {kPeerIp, port}, now_);
    if (r != Result::ok) return r == Result::in_use ? "the address is in use" : "refused";
    connections_[port] = {.tcb = t};
    turn();
    return {};
  }
  std::string accept(std::uint16_t port) override {
    const auto c = connections_.find(port);
    return c == connections_.end() ? "no connection was accepted" : "";
  }
  std::string write(std::uint16_t port, const std::string& bytes) override {
    Connection& c = connections_[port];
    if (c.tcb == nullptr) return "there is no connection";
    owned_.push_back(std::make_unique<OwnedBytes>(bytes, writes_alive_));
    const Result r = stack_.tcp_write(*c.tcb, *owned_.back(), 0, bytes.size(), now_);
    turn();
    if (r != Result::ok) {
      --writes_alive_;
      return "the write was refused";
    }
    return {};
  }
  std::string read(std::uint16_t port, std::size_t count, std::string& bytes) override {
    Connection& c = connections_[port];
    if (c.lazy && c.tcb != nullptr) {
      c.allowance = count;
      stack_.tcp_resume(*c.tcb, now_);
      turn();
      c.allowance = 0;
    }
    if (c.received.size() < count || (!c.lazy && c.received.size() > count))
      return std::to_string(c.received.size()) + " bytes came";
    bytes = c.received.substr(0, count);
    c.received.erase(0, count);
    return {};
  }
  std::string read_eof(std::uint16_t port) override {
    const Connection& c = connections_[port];
    if (!c.received.empty()) return std::to_string(c.received.size()) + " bytes more came";
    return c.remote_closed ? "" : "the peer's FIN was not told";
  }
  void lazy(std::uint16_t port, bool on) override {
    Connection& c = connections_[port];
    c.lazy = on;
    if (!on && c.tcb != nullptr) stack_.tcp_resume(*c.tcb, now_);
    turn();
  }
  std::string shutdown(std::uint16_t port) override {
    Connection& c = connections_[port];
    if (c.tcb == nullptr) return "there is no connection";
    const Result r = stack_.tcp_close(*c.tcb, now_);
    turn();
    return r == Result::ok ? "" : "wrong state";
  }
  std::string close(std::uint16_t port) override { return shutdown(port); }
  std::string abort(std::uint16_t port) override {
    Connection& c = connections_[port];
    if (c.tcb == nullptr) return "there is no connection";
    stack_.tcp_abort(*c.tcb, now_);
    turn();
    return {};
  }
  std::string state(std::uint16_t port) override {
    const auto c = connections_.find(port);
    if (c != connections_.end() && c->second.tcb != nullptr) {
      return name_of_state(tcpip::state(*c->second.tcb));
    }
    if (stack_.counters().time_wait_now != 0) return "time-wait";
    if (stack_.counters().half_open_now != 0) return "syn-received";
    return "none";
  }
  std::string ended(std::uint16_t port) override { return connections_[port].ended; }

  std::string left_over() override {
    stack_.tcpip_init(now_);
    turn();
    const auto free = memory_->free_count();
    if (free != memory_->total_count()) {
      return std::to_string(memory_->total_count() - free) + " packet buffers did not come back";
    }
    return writes_alive_ == 0 ? "" : "an owner was not told that its bytes are released";
  }

 private:
  struct Connection {
    Tcb* tcb = nullptr;
    std::string received;
    bool lazy = false;
    std::size_t allowance = 0;
    bool remote_closed = false;
    std::string ended = "no";
  };

  Connection& connection(Tcb& t) { return connections_[remote(t).port]; }

  void set_callbacks(Tcb& t) {
    stack_.tcp_app(t, this);
    stack_.tcp_recv(t, [](void* p, Tcb& tcb, std::span<const std::byte> bytes) {
      Connection& c = static_cast<CoreTarget*>(p)->connection(tcb);
      const std::size_t n = c.lazy ? std::min(c.allowance, bytes.size()) : bytes.size();
      c.received.append(reinterpret_cast<const char*>(bytes.data()), n);
      if (c.lazy) c.allowance -= n;
      return n;
    });
    stack_.tcp_remote_closed(t, [](void* p, Tcb& tcb) {
      static_cast<CoreTarget*>(p)->connection(tcb).remote_closed = true;
    });
    stack_.tcp_closed(t, [](void* p, Tcb& tcb, Ended why) {
      constexpr const char* kNames[] = {"normally", "reset", "timed-out", "refused", "aborted"};
      Connection& c = static_cast<CoreTarget*>(p)->connection(tcb);
      c.tcb = nullptr;
      c.ended = kNames[static_cast<std::size_t>(why)];
    });
  }

  void turn() {
    do {
      stack_.run_timers(now_);
      stack_.poll_output(now_);
      for (std::vector<std::byte>& frame : collect()) take(std::move(frame));
    } while (stack_.next_deadline() == 0);
  }

  // What the core has put into the batch, as a device would send it.
  std::vector<std::vector<std::byte>> collect() {
    std::vector<std::vector<std::byte>> frames;
    bool more = false;
    for (const nmio::TxPacket& p : batch_.span()) {
      if (!more) frames.emplace_back();
      frames.back().insert(frames.back().end(), p.data, p.data + p.len);
      memory_->give_back(p.chunk);
      more = (p.flags & nmio::TxPacket::kMore) != 0;
    }
    batch_.count = 0;
    batch_.room = nmio::TxBatch::kCapacity;
    return frames;
  }

  // Neighbours are found without the script.
  void take(std::vector<std::byte> frame) {
    const auto request = wire::ArpFrame::parse(frame);
    if (!request) {
      came_.push_back({now_, std::move(frame)});
      return;
    }
    if (request->arp.operation != wire::kArpRequest || request->arp.target_ip != kPeerIp) return;
    wire::ArpFrame reply;
    reply.ethernet = {kTestedMac, kPeerMac, wire::kEtherTypeArp};
    reply.arp = {wire::kArpReply, kPeerMac, kPeerIp, kTestedMac, kTestedIp};
    receive(reply.emit());
  }

  void receive(const std::vector<std::byte>& frame) {
    const nmio::ChunkId chunk = memory_->take();
    std::byte* data = memory_->data(chunk) + 128;
    std::copy(frame.begin(), frame.end(), data);
    const nmio::RxPacket p{data, static_cast<std::uint32_t>(frame.size()), chunk, 0, 0};
    stack_.input({&p, 1}, now_);
  }

  std::unique_ptr<nmio::PacketMemory> memory_;
  nmio::TxBatch batch_{};
  Stack stack_;
  Time now_ = 1000 * nmio::kSecond;
  std::deque<Came> came_;
  std::map<std::uint16_t, Connection> connections_;
  std::vector<std::unique_ptr<OwnedBytes>> owned_;
  unsigned writes_alive_ = 0;
  Tcb* listener_ = nullptr;
};

}  // namespace

std::unique_ptr<Target> make_core_target(const Settings& settings) {
  return std::make_unique<CoreTarget>(settings);
}

}  // namespace stackrig::tcpip::script
