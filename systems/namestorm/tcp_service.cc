// SPDX-License-Identifier: Apache-2.0
// Connections come, ask, are answered, go.
#include "tcp_service.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "dns/message.h"
#include "dns/query.h"
#include "dns/respond.h"

namespace stackrig::namestorm {

namespace {

std::size_t message_length(const std::byte* prefix) {
  return std::to_integer<std::size_t>(prefix[0]) << 8 | std::to_integer<std::size_t>(prefix[1]);
}

}  // namespace

TcpService::TcpService(const TcpConfig& config, std::uint16_t port, tcpip::Stack& stack,
                       std::uint32_t max_connections, const dns::ZoneSet& zones,
                       DnsCounters& counters, Time now)
    : ConnectionServer(stack, max_connections, now),
      config_(config),
      zones_(&zones),
      counters_(&counters),
      answers_(config.short_answers, config.long_answers),
      buffers_(config.query_buffers, kBufferBytes),
      scratch_(std::make_unique_for_overwrite<std::uint8_t[]>(kPrefix + dns::kMaxMessage)) {
  listen(port, "--dns-port");
}

// --- the loop's calls ------------------------------------------------------------------------

void TcpService::input(std::span<const nmio::RxPacket> packets, Time now) {
  now_ = now;
  stack_.input(packets, now);
}

void TcpService::on_idle(Time now) {
  now_ = now;
  run_due();
}

void TcpService::give_up(Connection& c, std::uint64_t& counter) {
  ++counter;
  stack_.tcp_abort(*c.tcb, now_);
}

/// Drops who has held a buffer the longest, so that `c` can have it. False where `c` itself had to
/// go.
bool TcpService::make_room(Connection& c, Connection* longest_holder) {
  give_up(longest_holder != nullptr ? *longest_holder : c, counters_->tcp_no_buffer);
  return c.tcb != nullptr;
}

/// Deadlines that no single byte puts off: one a second would hold a buffer for ever.
bool TcpService::past_deadline(const Connection& c) const {
  if (c.buffer != kNone && now_ - c.query_since > config_.idle_timeout) return true;
  return tcpip::pending_writes(*c.tcb) != 0 && now_ - c.answer_since > config_.answer_timeout;
}

// --- from bytes to queries ---------------------------------------------------------------------

/// Takes as many of the bytes as it has use for; what it leaves comes again (tcp_resume()).
std::size_t TcpService::take(Connection& c, std::span<const std::byte> bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && c.tcb != nullptr) {
    if (tcpip::pending_writes(*c.tcb) >= tcpip::kMaxWrites) {
      c.paused = true;
      ++counters_->tcp_paused;
      return taken;
    }
    const auto rest = bytes.subspan(taken);
    taken += c.buffer == kNone ? take_whole(c, rest) : take_piece(c, rest);
  }
  return taken;
}

/// A query that begins with `rest`: nearly always it is whole.
std::size_t TcpService::take_whole(Connection& c, std::span<const std::byte> rest) {
  if (rest.size() >= kPrefix) {
    const std::size_t length = message_length(rest.data());
    if (rest.size() - kPrefix >= length) {
      answer(c, rest.subspan(kPrefix, length));
      return kPrefix + length;
    }
  }
  return start_buffer(c) ? take_piece(c, rest) : rest.size();
}

/// More of a query that came in pieces, up to its end.
std::size_t TcpService::take_piece(Connection& c, std::span<const std::byte> rest) {
  std::byte* const whole = buffers_.at(c.buffer);
  const auto fill_to = [&](std::size_t end, std::size_t& used) {
    const std::size_t n = std::min(end - c.buffered, rest.size() - used);
    std::memcpy(whole + c.buffered, rest.data() + used, n);
    c.buffered += static_cast<std::uint32_t>(n);
    used += n;
    return c.buffered == end;
  };
  std::size_t used = 0;
  if (c.buffered < kPrefix && !fill_to(kPrefix, used)) return used;
  const std::size_t length = message_length(whole);
  if (length > kMaxQuery) {
    give_up(c, counters_->tcp_too_long);
    return rest.size();
  }
  if (fill_to(kPrefix + length, used)) {
    answer(c, {whole + kPrefix, length});
    release_buffer(c);
  }
  return used;
}

bool TcpService::start_buffer(Connection& c) {
  if (buffers_.free() == 0 && !make_room(c, buffers_.longest_holder())) return false;
  c.buffer = buffers_.take(c);
  c.buffered = 0;
  c.query_since = now_;
  return true;
}

void TcpService::release_buffer(Connection& c) {
  if (c.buffer == kNone) return;
  buffers_.give_back(c.buffer);
  c.buffer = kNone;
  c.buffered = 0;
}

// --- from queries to answers -------------------------------------------------------------------

void TcpService::answer(Connection& c, std::span<const std::byte> message) {
  dns::Query query;
  dns::Rcode rcode{};
  std::uint8_t* const out = scratch_.get() + kPrefix;
  switch (dns::parse_query({reinterpret_cast<const std::uint8_t*>(message.data()), message.size()},
                           query, rcode)) {
    case dns::Parsed::ignore:
      ++counters_->ignored;
      return;
    case dns::Parsed::error:
      ++counters_->tcp_errors;
      send(c, dns::write_error(query, rcode, {out, dns::kMaxMessage}));
      return;
    case dns::Parsed::query:
      ++counters_->tcp_queries;
      send(c, dns::respond(*zones_, query, dns::Transport::tcp, {out, dns::kMaxMessage}));
      return;
  }
}

/// Sends the answer that lies in scratch_, `length` bytes behind the prefix.
void TcpService::send(Connection& c, std::size_t length) {
  c.since = now_;
  scratch_[0] = static_cast<std::uint8_t>(length >> 8);
  scratch_[1] = static_cast<std::uint8_t>(length);
  const std::size_t bytes = kPrefix + length;
  const std::optional<std::uint64_t> cookie = keep(c, {scratch_.get(), bytes});
  if (!cookie) return;
  if (tcpip::pending_writes(*c.tcb) == 0) c.answer_since = now_;
  if (stack_.tcp_write(*c.tcb, answers_, *cookie, bytes, now_) != tcpip::Result::ok) {
    answers_.released(*cookie);
    stack_.tcp_abort(*c.tcb, now_);
  }
}

/// Nothing where no buffer could be had; the connection is gone then.
std::optional<std::uint64_t> TcpService::keep(Connection& c, std::span<const std::uint8_t> bytes) {
  const auto cookie = answers_.add(bytes, c);
  if (cookie || !make_room(c, answers_.longest_holder(bytes.size()))) return cookie;
  return answers_.add(bytes, c);
}

}  // namespace stackrig::namestorm
