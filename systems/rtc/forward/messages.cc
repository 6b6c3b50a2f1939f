// SPDX-License-Identifier: Apache-2.0
// From messages to backends and answers; who waits for what, and goes on.
#include "forward/forward_service.h"

namespace stackrig::rtc {

using thrift::Kind;
using thrift::Request;

bool ForwardService::handle(Connection& c, const Request& request, Bytes message) {
  if (request.kind == Kind::msg) return forward(c, request, message);
  if (request.wants_reply && c.out.is_open() && c.out.room() < kLongestReply) {
    c.paused = true;  // it does not read what it is told
    return false;
  }
  switch (request.kind) {
    case Kind::connect:
      connect(c, request);
      break;
    case Kind::close:
      close_backends(c, request);
      break;
    default:
      ++counters_->unknown_methods;
      if (!request.wants_reply) break;
      scratch_.clear();
      thrift::write_unknown_method(scratch_, request.sequence, request.method);
      reply(c);
      break;
  }
  return true;
}

// --- messages
// --------------------------------------------------------------------------------------

bool ForwardService::forward(Connection& c, const Request& request, Bytes message) {
  Backend* const b =
      c.backend != kNone ? backends_.still_there(c.backend, c.serial) : backends_.find(request.key);
  if (b == nullptr) {
    ++counters_->no_backend;
    c.backend = kNone;
    return true;
  }
  if (message.size() > b->out.room() || !b->waiting.empty()) {
    if (c.backend == kNone) {
      c.backend = backends_.index_of(*b);
      c.serial = b->serial;
      ++b->senders;
    }
    ++counters_->waited_for_backend;
    wait(c, Waits::backend, &b->waiting);
    return false;
  }
  ++counters_->messages;
  counters_->bytes += message.size();
  backends_.send(*b, message);
  leave_backend(c);
  return true;
}

/// The message that it waited with is where it belongs, or goes nowhere.
void ForwardService::leave_backend(Connection& c) {
  if (c.backend == kNone) return;
  Backend* const b = backends_.still_there(c.backend, c.serial);
  c.backend = kNone;
  if (b != nullptr) backends_.leave(*b);
}

// --- calls
// -----------------------------------------------------------------------------------------

void ForwardService::connect(Connection& c, const Request& request) {
  ++counters_->connects;
  c.sequence = request.sequence;
  const std::int32_t error = backends_.open(request.key, request.host, request.port, index_of(c));
  if (error == 0) {
    wait(c, Waits::opening, nullptr);
    return;
  }
  ++counters_->connects_failed;
  scratch_.clear();
  thrift::write_connect_reply(scratch_, c.sequence, error);
  reply(c);
}

void ForwardService::opened(std::uint32_t asker, std::int32_t error) {
  if (asker == kNone) return;
  Connection& c = connection(asker);
  if (error != 0) ++counters_->connects_failed;
  scratch_.clear();
  thrift::write_connect_reply(scratch_, c.sequence, error);
  make_ready(c);
  reply(c);
}

void ForwardService::close_backends(Connection& c, const Request& request) {
  ++counters_->closes;
  c.sequence = request.sequence;
  // One more than there are: the answer comes when this has ended and so have they.
  c.closed = backends_.close_all(index_of(c));
  c.closing = c.closed + 1;
  wait(c, Waits::closing, nullptr);
  backends_.settle_all();
  closed_for(index_of(c));
}

void ForwardService::closed_for(std::uint32_t closer) {
  Connection& c = connection(closer);
  if (--c.closing != 0) return;
  scratch_.clear();
  thrift::write_close_reply(scratch_, c.sequence, static_cast<std::int32_t>(c.closed));
  make_ready(c);
  reply(c);
}

/// Sends what lies in scratch_.
void ForwardService::reply(Connection& c) {
  if (!c.out.open(pool_, kReplies)) {
    ++counters_->no_memory;
    stack_.tcp_abort(*c.tcb, now_);
    return;
  }
  c.out.append(pool_, scratch_);
  c.out.commit();
  list(c);
}

// --- waiting
// ---------------------------------------------------------------------------------------

/// `list` is nullptr where it is told by its number.
void ForwardService::wait(Connection& c, Waits why, WaitList* list) {
  c.waits = why;
  c.paused = true;
  c.list = list;
  if (list != nullptr) list->add(index_of(c), links());
}

void ForwardService::make_ready(Connection& c) {
  if (c.list != nullptr) c.list->remove(index_of(c), links());
  c.list = &ready_;
  ready_.add(index_of(c), links());
}

void ForwardService::go_on(Backend& backend) {
  while (!backend.waiting.empty()) make_ready(connection(backend.waiting.first()));
}

void ForwardService::wake() {
  for (;;) {
    if (may_have_large()) make_ready(connection(wait_for_large_.first()));
    if (ready_.empty()) return;
    Connection& c = connection(ready_.first());
    ready_.remove(ready_.first(), links());
    c.list = nullptr;
    c.waits = Waits::nothing;
    resume(c);
  }
}

/// Goes on with the message that waits in the buffer, then with the stream behind it.
void ForwardService::resume(Connection& c) {
  c.paused = false;
  if (c.whole && !take_buffered(c)) return;
  if (!c.paused) StreamServer::resume(c);
}

}  // namespace stackrig::rtc
