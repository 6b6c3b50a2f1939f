// SPDX-License-Identifier: Apache-2.0
// Reading messages.
#include "client.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace stackrig::libevent {

Client::Client(event_base* base, sockets::Fd socket, Service& service, Counters& counters)
    : socket_(std::move(socket)),
      service_(service),
      counters_(counters),
      memory_(2 * kReadBytes),
      replies_(::evbuffer_new()),
      readable_(make_event<&Client::on_readable>(base, socket_.get(), EV_READ | EV_PERSIST, this)),
      writable_(
          make_event<&Client::on_writable>(base, socket_.get(), EV_WRITE | EV_PERSIST, this)) {
  ::event_add(readable_.get(), nullptr);
}

/// The beginning of a message goes to the front; memory grows to hold the longest that is allowed.
void Client::make_room() {
  if (memory_.size() - end_ >= kReadBytes) return;
  std::memmove(memory_.data(), memory_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  if (memory_.size() - end_ < kReadBytes) memory_.resize(end_ + 2 * kReadBytes);
}

void Client::on_readable() {
  make_room();
  const ssize_t n = ::recv(socket_.get(), memory_.data() + end_, kReadBytes, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return service_.remove(*this);
  end_ += static_cast<std::size_t>(n);
  take_messages();
}

void Client::take_messages() {
  const Parsed parsed = parse();
  service_.burst_ends();
  if (parsed == Parsed::stopped) {
    stop();
  } else if (parsed == Parsed::malformed) {
    ++counters_.malformed;
    service_.remove(*this);
  }
}

Client::Parsed Client::parse() {
  while (end_ - begin_ >= needed_ && begin_ != end_) {
    const auto bytes = std::span(memory_).subspan(begin_, end_ - begin_);
    const thrift::Request request = thrift::next(bytes);
    needed_ = 0;
    if (request.status == thrift::Status::malformed) return Parsed::malformed;
    if (request.status == thrift::Status::partial) {
      needed_ = request.length;
      break;
    }
    const auto outcome = service_.handle(*this, request, bytes.first(request.length));
    if (outcome != Service::Outcome::again) begin_ += request.length;
    if (outcome != Service::Outcome::done) return Parsed::stopped;
    if (::evbuffer_get_length(replies_.get()) != 0) return Parsed::stopped;
  }
  if (begin_ == end_) begin_ = end_ = 0;
  return Parsed::all;
}

void Client::stop() {
  if (!stopped_) ::event_del(readable_.get());
  stopped_ = true;
}

void Client::resume() {
  if (::evbuffer_get_length(replies_.get()) != 0) return;  // when that has been sent
  if (stopped_) ::event_add(readable_.get(), nullptr);
  stopped_ = false;
  take_messages();
}

void Client::reply(const thrift::Bytes& bytes) {
  ::evbuffer_add(replies_.get(), bytes.data(), bytes.size());
  while (::evbuffer_get_length(replies_.get()) != 0) {
    const int n = ::evbuffer_write(replies_.get(), socket_.get());
    if (n > 0 || (n < 0 && errno == EINTR)) continue;
    if (n < 0 && errno == EAGAIN) {
      ::event_add(writable_.get(), nullptr);
    } else {  // it is gone: reading will say so
      ::evbuffer_drain(replies_.get(), ::evbuffer_get_length(replies_.get()));
    }
    return;
  }
}

void Client::on_writable() {
  ::event_del(writable_.get());
  reply({});
  if (::evbuffer_get_length(replies_.get()) == 0) resume();
}

}  // namespace stackrig::libevent
