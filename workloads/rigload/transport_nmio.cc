// SPDX-License-Identifier: Apache-2.0
// Our own TCP as a client: what the stack calls back becomes events of slots.
#include "rigload/transport_nmio.h"

#include <algorithm>

#include "nmio/rss.h"

namespace stackrig::rigload {
namespace {

/// Pairs tried for one connection before it waits for the next turn.
constexpr unsigned kBindTries = 16;
/// tcpip::user() of a connection: its slot + 1; 0 once the slot has let go of it.
constexpr std::uint64_t kNoSlot = 0;

bool has_slot(tcpip::Tcb& tcb) {
  return tcpip::user(tcb) != kNoSlot;
}

SlotId slot_of(tcpip::Tcb& tcb) {
  return static_cast<SlotId>(tcpip::user(tcb) - 1);
}

}  // namespace

wire::Endpoint SourcePorts::next() {
  wire::Endpoint source;
  for (std::uint32_t tries = 0; tries < round(); ++tries) {
    source = {{config_.first.value + at_ % config_.addresses},
              static_cast<std::uint16_t>(kFirstPort + at_ / config_.addresses)};
    at_ = at_ + 1 == round() ? 0 : at_ + 1;
    if (config_.queues == 1) break;
    const std::uint32_t hash = nmio::rss_hash_tcp_ipv4(
        config_.target.address.value, source.address.value, config_.target.port, source.port);
    if (nmio::rss_queue(hash, config_.queues) == config_.queue) break;
  }
  return source;
}

NmioTransport::NmioTransport(tcpip::Stack& stack, const SourcePorts::Config& sources,
                             std::uint32_t slots)
    : stack_(stack), sources_(sources), target_(sources.target), tcbs_(slots, nullptr) {
}

StreamTransport::Open NmioTransport::open(SlotId slot, Time now) {
  tcpip::Tcb* tcb = stack_.tcp_new();
  if (tcb == nullptr) return Open::later;
  tcpip::Result bound = tcpip::Result::in_use;
  for (unsigned i = 0; i < kBindTries && bound == tcpip::Result::in_use; ++i) {
    const wire::Endpoint source = sources_.next();
    bound = stack_.tcp_bind(*tcb, source.address, source.port);
    if (bound != tcpip::Result::ok) continue;
    stack_.tcp_app(*tcb, this);
    stack_.tcp_connected(*tcb, connected);
    stack_.tcp_recv(*tcb, received);
    stack_.tcp_remote_closed(*tcb, remote_closed);
    stack_.tcp_closed(*tcb, closed);
    bound = stack_.tcp_connect(*tcb, target_, now);
  }
  if (bound != tcpip::Result::ok) {
    stack_.tcp_abort(*tcb, now);
    return bound == tcpip::Result::wrong_state ? Open::failed : Open::later;
  }
  tcpip::user(*tcb) = slot + 1;
  tcbs_[slot] = tcb;
  return Open::started;
}

bool NmioTransport::send(SlotId slot, const Prepared& request, Time now) {
  const auto cookie = reinterpret_cast<std::uint64_t>(&request);
  return stack_.tcp_write(*tcbs_[slot], *this, cookie, request.len, now) == tcpip::Result::ok;
}

void NmioTransport::close(SlotId slot, Time now) {
  tcpip::Tcb& tcb = *tcbs_[slot];
  tcbs_[slot] = nullptr;
  tcpip::user(tcb) = kNoSlot;
  stack_.tcp_close(tcb, now);
}

void NmioTransport::abort(SlotId slot, Time now) {
  tcpip::Tcb& tcb = *tcbs_[slot];
  tcbs_[slot] = nullptr;
  tcpip::user(tcb) = kNoSlot;
  stack_.tcp_abort(tcb, now);
}

// --- what the stack says
// ---------------------------------------------------------------------------

void NmioTransport::connected(void* app, tcpip::Tcb& tcb) {
  auto& self = *static_cast<NmioTransport*>(app);
  if (has_slot(tcb)) self.events_->on_connected(slot_of(tcb), self.now_);
}

std::size_t NmioTransport::received(void* app, tcpip::Tcb& tcb, std::span<const std::byte> bytes) {
  auto& self = *static_cast<NmioTransport*>(app);
  if (has_slot(tcb)) self.events_->on_bytes(slot_of(tcb), bytes, self.now_);
  return bytes.size();
}

void NmioTransport::remote_closed(void* app, tcpip::Tcb& tcb) {
  auto& self = *static_cast<NmioTransport*>(app);
  if (has_slot(tcb)) self.events_->on_remote_closed(slot_of(tcb), self.now_);
}

void NmioTransport::closed(void* app, tcpip::Tcb& tcb, tcpip::Ended why) {
  auto& self = *static_cast<NmioTransport*>(app);
  if (!has_slot(tcb)) return;
  const SlotId slot = slot_of(tcb);
  self.tcbs_[slot] = nullptr;
  tcpip::user(tcb) = kNoSlot;
  Lost how = Lost::reset;
  if (why == tcpip::Ended::refused) how = Lost::refused;
  if (why == tcpip::Ended::timed_out) how = Lost::unreachable;
  self.events_->on_lost(slot, how, self.now_);
}

/// The bytes of a request, to be copied behind the headers: shorter than a reference to them would
/// cost.
tcpip::Fetched NmioTransport::fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                                    std::uint32_t max_segment, std::span<tcpip::Segment> out) {
  const auto& request = *reinterpret_cast<const Prepared*>(cookie);
  const auto len = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, max_segment));
  out[0] = {.kind = tcpip::Segment::Kind::copy,
            .sum_known = offset == 0 && len == request.len,
            .payload_sum = request.sum,
            .len = len,
            .data = const_cast<std::byte*>(request.data + offset)};
  return {.segments = 1};
}

}  // namespace stackrig::rigload
