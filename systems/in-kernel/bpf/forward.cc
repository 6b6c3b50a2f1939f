// SPDX-License-Identifier: Apache-2.0
#include "forward.h"

#include <sys/socket.h>

#include <cerrno>

#include "layout.h"

namespace stackrig::in_kernel {
namespace {

constexpr thrift::Limits kLimits{.message = MOST_MESSAGE};

}  // namespace

Client::Before ForwardClient::read_before(std::uint32_t& size) {
  size = 0;  // nothing leads the stream
  return Before::done;
}

Client::Step ForwardClient::handle(std::span<const std::byte> bytes) {
  const thrift::Request request = thrift::next(bytes, kLimits);
  if (request.status == thrift::Status::partial) {
    return {Step::Kind::need_more, request.length - bytes.size()};
  }
  if (request.status == thrift::Status::malformed) {
    ++context().counters.malformed;
    return {Step::Kind::close};
  }
  switch (request.kind) {
    case thrift::Kind::msg:
      return forward(request, bytes.first(request.length));
    case thrift::Kind::connect:
      return connect(request);
    case thrift::Kind::close:
      return close(request);
    case thrift::Kind::unknown:
      break;
  }
  return request.wants_reply ? send(request) : Step{Step::Kind::took, request.length};
}

Client::Step ForwardClient::forward(const thrift::Request& request,
                                    std::span<const std::byte> message) {
  const Step took{Step::Kind::took, request.length};
  const auto slot = backends_.slot_of(request.key);
  if (!slot) {
    ++context().counters.dropped_no_key;
    return took;
  }
  switch (context().programs.detour(*slot, message)) {
    case Detour::sent:
      return took;
    case Detour::full:
      ++context().counters.parked;
      return {Step::Kind::park};
    case Detour::gone:
      ++context().counters.dropped_gone;
      break;
  }
  return took;
}

Client::Step ForwardClient::connect(const thrift::Request& request) {
  if (!call_) {
    call_ = std::make_shared<Call>();
    const auto address = wire::parse_ipv4(request.host);
    if (!address || request.port < 1 || request.port > 65535) {
      call_->result = EINVAL;
    } else {
      backends_.connect(request.key, {*address, static_cast<std::uint16_t>(request.port)},
                        [call = call_](int error) { call->result = error; });
    }
  }
  return answer(request);
}

Client::Step ForwardClient::close(const thrift::Request& request) {
  if (!call_) {
    call_ = std::make_shared<Call>();
    backends_.close_all([call = call_](std::int32_t count) { call->result = count; });
  }
  return answer(request);
}

Client::Step ForwardClient::answer(const thrift::Request& request) {
  return call_->result ? send(request) : Step{Step::Kind::park};
}

/// Nothing else writes to this socket, so a reply may go in parts.
Client::Step ForwardClient::send(const thrift::Request& request) {
  if (reply_.empty()) {
    if (request.kind == thrift::Kind::connect) {
      thrift::write_connect_reply(reply_, request.sequence, *call_->result);
    } else if (request.kind == thrift::Kind::close) {
      thrift::write_close_reply(reply_, request.sequence, *call_->result);
    } else {
      thrift::write_unknown_method(reply_, request.sequence, request.method);
    }
  }
  while (sent_ < reply_.size()) {
    const ssize_t n =
        ::send(fd(), reply_.data() + sent_, reply_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return {Step::Kind::park};
    if (n < 0) return {Step::Kind::close};
    sent_ += static_cast<std::size_t>(n);
  }
  ++context().counters.replies;
  reply_.clear();
  sent_ = 0;
  call_.reset();
  return {Step::Kind::took, request.length};
}

}  // namespace stackrig::in_kernel
