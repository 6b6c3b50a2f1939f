// SPDX-License-Identifier: Apache-2.0
// From bytes to messages; the turns of the loop.
#include "forward/forward_service.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace stackrig::rtc {

using thrift::Request;
using thrift::Status;

std::span<const CounterInfo<ForwardCounters>> forward_counter_table() {
  using C = ForwardCounters;
  static constexpr auto kTable = std::to_array<CounterInfo<C>>({
      {"forward.messages", "messages", &C::messages},
      {"forward.bytes", "bytes", &C::bytes},
      {"forward.no_backend", "messages", &C::no_backend},
      {"forward.connects", "calls", &C::connects},
      {"forward.connects_failed", "calls", &C::connects_failed},
      {"forward.closes", "calls", &C::closes},
      {"forward.unknown_methods", "calls", &C::unknown_methods},
      {"forward.malformed", "connections", &C::malformed},
      {"forward.cut_short", "connections", &C::cut_short},
      {"forward.in_pieces", "messages", &C::in_pieces},
      {"forward.waited_for_backend", "times", &C::waited_for_backend},
      {"forward.waited_for_buffer", "times", &C::waited_for_buffer},
      {"forward.no_memory", "connections", &C::no_memory},
      {"forward.backends_lost", "backends", &C::backends_lost},
      {"forward.bytes_lost", "bytes", &C::bytes_lost},
      {"forward.timed_out", "connections", &C::timed_out},
      {"forward.connections_now", "connections", &C::connections_now},
      {"forward.backends_now", "backends", &C::backends_now},
  });
  return kTable;
}

ForwardService::ForwardService(const ServiceConfig& config, tcpip::Stack& stack, SendPool& pool,
                               Time now)
    : StreamServer(stack, pool, config.connections, now),
      config_(config),
      limits_{.message = config.largest_message},
      buffers_(config.connections, config.large_messages, limits_.message),
      backends_(config, stack, pool, *this, counters_) {
  scratch_.reserve(kLongestReply);
  listen(config.tcp_port, "--tcp-port");
}

void ForwardService::place_counters(ForwardCounters* where) {
  *where = *counters_;
  counters_ = where;
}

// --- the loop's calls ----------------------------------------------------------------------------

void ForwardService::set_time(Time now) {
  now_ = now;
  backends_.set_time(now);
}

void ForwardService::on_burst(std::span<const nmio::RxPacket> burst, Time now) {
  set_time(now);
  stack_.input(burst, now);
}

void ForwardService::on_idle(Time now) {
  set_time(now);
  pool_.poll();
  wake();
  flush();
  backends_.flush();
  run_due();
  backends_.sweep();
}

Time ForwardService::next_deadline() const {
  if (!ready_.empty() || may_have_large()) return 0;
  return std::min(StreamServer::next_deadline(), backends_.next_deadline());
}

// --- from bytes to messages ----------------------------------------------------------------------

/// Takes whole messages, and the piece of one at the end. What it leaves comes again
/// (tcp_resume()), when that is possible which the connection waits for.
std::size_t ForwardService::take(Connection& c, Bytes bytes) {
  std::size_t taken = 0;
  c.since = now_;
  while (taken < bytes.size() && !c.paused) {
    if (tcpip::fin_queued(*c.tcb)) return bytes.size();  // it was answered wrong: see refuse()
    const Bytes rest = bytes.subspan(taken);
    taken += c.needed == 0 ? take_whole(c, rest) : take_piece(c, rest);
    if (c.tcb == nullptr) return bytes.size();
  }
  return taken;
}

/// A message that begins with `rest`.
std::size_t ForwardService::take_whole(Connection& c, Bytes rest) {
  const Request request = thrift::next(rest, limits_);
  switch (request.status) {
    case Status::message:
      return handle(c, request, rest.first(request.length)) ? request.length : 0;
    case Status::partial:
      c.needed = request.length;
      return take_piece(c, rest);
    case Status::malformed:
      refuse(c);
      return rest.size();
  }
  return rest.size();
}

/// More of a message that comes in pieces: what it has at least, and then what that tells it has.
std::size_t ForwardService::take_piece(Connection& c, Bytes rest) {
  std::size_t used = 0;
  for (;;) {
    if (c.needed > MessageBuffers::kSmallBytes && c.large == kNone && !make_room(c)) return used;
    const std::size_t n = std::min<std::size_t>(c.needed - c.buffered, rest.size() - used);
    std::memcpy(buffer(c) + c.buffered, rest.data() + used, n);
    c.buffered += static_cast<std::uint32_t>(n);
    used += n;
    if (c.buffered < c.needed) return used;
    const Request request = thrift::next({buffer(c), c.buffered}, limits_);
    if (request.status == Status::malformed) {
      refuse(c);
      return rest.size();
    }
    if (request.status == Status::message) {
      c.whole = true;
      ++counters_->in_pieces;
      if (handle(c, request, {buffer(c), c.buffered})) finish_piece(c);
      return used;
    }
    c.needed = request.length;
  }
}

std::byte* ForwardService::buffer(const Connection& c) const {
  return c.large == kNone ? buffers_.small(index_of(c)) : buffers_.large(c.large);
}

/// The message is longer than the connection's own buffer. False where it waits for another.
bool ForwardService::make_room(Connection& c) {
  const std::uint32_t large = buffers_.take_large();
  if (large == kNone) {
    ++counters_->waited_for_buffer;
    wait(c, Waits::buffer, &wait_for_large_);
    return false;
  }
  std::memcpy(buffers_.large(large), buffer(c), c.buffered);
  c.large = large;
  c.large_since = now_;
  return true;
}

void ForwardService::finish_piece(Connection& c) {
  c.needed = c.buffered = 0;
  c.whole = false;
  if (c.large == kNone) return;
  buffers_.give_back_large(c.large);
  c.large = kNone;  // who waits for it has it in wake()
}

/// A message that was put together and had to wait. False where it still has to, or all is over.
bool ForwardService::take_buffered(Connection& c) {
  const Bytes message{buffer(c), c.buffered};
  if (!handle(c, thrift::next(message, limits_), message)) return false;
  finish_piece(c);
  return c.tcb != nullptr;
}

/// Nothing that follows can be understood. Nobody else notices.
void ForwardService::refuse(Connection& c) {
  ++counters_->malformed;
  stack_.tcp_abort(*c.tcb, now_);
}

// --- what StreamServer asks ----------------------------------------------------------------------

void ForwardService::before_close(Connection& c) {
  if (c.needed != 0) ++counters_->cut_short;
}

/// A large buffer is held for so long and no longer, however slowly the bytes come.
bool ForwardService::past_deadline(const Connection& c) const {
  return c.large != kNone && !c.whole && now_ - c.large_since > config_.message_timeout;
}

void ForwardService::forget(Connection& c) {
  if (c.list != nullptr) c.list->remove(index_of(c), links());
  c.list = nullptr;
  if (c.waits == Waits::opening) backends_.abandon(index_of(c));
  if (c.waits == Waits::closing) backends_.forget_closer(index_of(c));
  c.waits = Waits::nothing;
  leave_backend(c);
  finish_piece(c);
}

}  // namespace stackrig::rtc
