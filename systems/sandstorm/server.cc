// SPDX-License-Identifier: Apache-2.0
// Sandstorm: connections come, bring requests, get responses, go.
#include "server.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "http/path.h"

namespace stackrig::sandstorm {

using http::Parsed;

Server::Server(const ServerConfig& config, Library& library, tcpip::Stack& stack,
               std::uint32_t max_connections, WallClock wall_clock, Time now)
    : ConnectionServer(stack, max_connections, now),
      config_(config),
      library_(library),
      wall_clock_(wall_clock),
      unix_seconds_(wall_clock()),
      next_second_(now + nmio::kSecond),
      buffer_bytes_(std::size_t{config.limits.request_line} * 2 + config.limits.head),
      buffers_(std::make_unique_for_overwrite<char[]>(buffer_bytes_ * config.request_buffers)) {
  for (std::uint32_t i = config.request_buffers; i-- > 0;) free_buffers_.push_back(i);
  listen(config.tcp_port, "--tcp-port");
}

void Server::place_counters(ServerCounters* where) {
  *where = *counters_;
  counters_ = where;
}

// --- the loop's calls ------------------------------------------------------------------------

void Server::set_time(Time now) {
  now_ = now;
  if (now < next_second_) return;
  unix_seconds_ = wall_clock_();
  next_second_ = now + nmio::kSecond;
}

void Server::on_burst(std::span<const nmio::RxPacket> burst, Time now) {
  set_time(now);  // the loop may have slept for long
  stack_.input(burst, now);
}

void Server::on_idle(Time now) {
  set_time(now);
  run_due();
}

// --- from bytes to requests --------------------------------------------------------------------

/// Takes as many of the bytes as it has use for; what it leaves comes again (tcp_resume()).
std::size_t Server::take(Connection& c, std::span<const std::byte> bytes) {
  const std::string_view all{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  std::size_t taken = 0;
  bool wait = false;
  while (taken < all.size() && !wait && c.tcb != nullptr) {
    if (tcpip::fin_queued(*c.tcb)) return all.size();  // nothing more is answered: passed over
    if (c.skip != 0) {
      const std::size_t n = std::min<std::uint64_t>(c.skip, all.size() - taken);
      c.skip -= n;
      taken += n;
      continue;
    }
    if (tcpip::pending_writes(*c.tcb) >= tcpip::kMaxWrites) {
      c.paused = true;
      ++counters_->paused;
      return taken;
    }
    const std::string_view rest = all.substr(taken);
    taken += c.buffer == kNone ? take_whole(c, rest, wait) : take_buffered(c, rest, wait);
  }
  return taken;
}

/// A request whose head begins with `rest`: nearly always it is whole.
std::size_t Server::take_whole(Connection& c, std::string_view rest, bool& wait) {
  const Parsed p = http::parse_request(rest, config_.limits);
  switch (p.outcome) {
    case Parsed::Outcome::request:
      answer(c, p.request);
      return p.consumed;
    case Parsed::Outcome::partial:
      wait = true;
      if (!start_buffer(c, rest, p.scanned)) stack_.tcp_abort(*c.tcb, now_);
      return rest.size();
    case Parsed::Outcome::error:
      refuse(c, p);
      return rest.size();
  }
  return rest.size();
}

/// A request whose head began in earlier segments.
std::size_t Server::take_buffered(Connection& c, std::string_view rest, bool& wait) {
  const std::size_t before = c.buffered;
  const std::size_t n = std::min(rest.size(), buffer_bytes_ - before);
  std::memcpy(buffer(c.buffer) + before, rest.data(), n);
  c.buffered += static_cast<std::uint32_t>(n);
  const Parsed p = http::parse_request({buffer(c.buffer), c.buffered}, config_.limits, c.scanned);
  switch (p.outcome) {
    case Parsed::Outcome::request: {
      const std::size_t used = p.consumed - before;
      answer(c, p.request);
      release_buffer(c);
      return used;
    }
    case Parsed::Outcome::partial:
      c.scanned = p.scanned;
      wait = true;
      return n;
    case Parsed::Outcome::error:
      release_buffer(c);
      refuse(c, p);
      return rest.size();
  }
  return rest.size();
}

bool Server::start_buffer(Connection& c, std::string_view head, std::uint32_t scanned) {
  if (free_buffers_.empty()) {
    ++counters_->no_request_buffer;
    return false;
  }
  c.buffer = free_buffers_.back();
  free_buffers_.pop_back();
  std::memcpy(buffer(c.buffer), head.data(), head.size());
  c.buffered = static_cast<std::uint32_t>(head.size());
  c.scanned = scanned;
  if (c.waits != Waits::for_head) {
    c.waits = Waits::for_head;
    c.since = now_;
  }
  return true;
}

void Server::release_buffer(Connection& c) {
  if (c.buffer == kNone) return;
  free_buffers_.push_back(c.buffer);
  c.buffer = kNone;
  c.buffered = c.scanned = 0;
}

// --- from requests to responses ------------------------------------------------------------------

void Server::answer(Connection& c, const http::Request& request) {
  c.skip = request.content_length;
  // A chunked body is not read: its connection ends with the answer.
  respond(c, look_up(request), request.method == http::Method::head,
          !request.keep_alive || request.chunked);
}

Library::Answer Server::look_up(const http::Request& request) const {
  const Library::Answer found = find(request);
  if (request.method == http::Method::get || request.method == http::Method::head) return found;
  // As nginx: a method that is not known is never allowed, POST is not allowed on what is there.
  const bool is_there =
      request.method == http::Method::other ? found.status != 400 : found.status == 200;
  return is_there ? library_.error(405) : found;
}

Library::Answer Server::find(const http::Request& request) const {
  if (request.plain_target) return library_.find(request.path);
  const std::optional<std::string> path = http::normalise_path(request.path);
  return path ? library_.find(*path) : library_.error(400);
}

void Server::refuse(Connection& c, const Parsed& p) {
  respond(c, library_.error(p.status), p.request.method == http::Method::head, true);
}

void Server::respond(Connection& c, Library::Answer a, bool head_only, bool close) {
  tcpip::PackagedContent& content = library_.content();
  close = close || a.status == 400;
  ++counters_->requests;
  std::uint64_t& by_class = a.status < 300   ? counters_->status_200
                            : a.status < 400 ? counters_->status_300
                            : a.status < 500 ? counters_->status_400
                                             : counters_->status_500;
  ++by_class;
  const std::uint64_t head = content.head_bytes(a.content);
  const std::uint64_t bytes = head_only ? head : content.bytes(a.content);
  counters_->body_bytes += bytes - head;
  c.waits = Waits::between_requests;
  c.since = now_;
  const std::uint64_t cookie = content.cookie(a.content, make_stamp(unix_seconds_, close));
  if (stack_.tcp_write(*c.tcb, content, cookie, bytes, now_) != tcpip::Result::ok) {
    stack_.tcp_abort(*c.tcb, now_);
    return;
  }
  if (close) stack_.tcp_close(*c.tcb, now_);
}

}  // namespace stackrig::sandstorm
