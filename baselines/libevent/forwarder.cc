// SPDX-License-Identifier: Apache-2.0
// Forwarding, and the set-up and tear-down of backends.
#include "forwarder.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

namespace stackrig::libevent {
namespace {

int error_of(int fd) {
  int error = 0;
  socklen_t len = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) return errno;
  return error;
}

}  // namespace

Forwarder::Forwarder(const Config& config, std::vector<sockets::Fd> listeners, Counters& counters)
    : config_(config), counters_(counters), base_(::event_base_new()) {
  if (!base_) throw std::bad_alloc();
  for (sockets::Fd& socket : listeners) {
    auto l = std::make_unique<Listener>(Listener{this, std::move(socket), nullptr});
    l->readable = make_event<&Listener::on_readable>(base_.get(), l->socket.get(),
                                                     EV_READ | EV_PERSIST, l.get());
    ::event_add(l->readable.get(), nullptr);
    listeners_.push_back(std::move(l));
  }
  for (const int s : {SIGTERM, SIGINT}) {
    signals_.push_back(make_event<&Forwarder::stop>(base_.get(), s, EV_SIGNAL | EV_PERSIST, this));
    ::event_add(signals_.back().get(), nullptr);
  }
  std::signal(SIGPIPE, SIG_IGN);
}

/// A backend that goes calls the clients that wait for it: not when all go.
Forwarder::~Forwarder() {
  for (auto& [key, backend] : backends_) backend->forget_waiters();
  for (auto& [at, backend] : leaving_) backend->forget_waiters();
}

void Forwarder::run() {
  ::event_base_dispatch(base_.get());
}

void Forwarder::accept(int listener) {
  sockets::Fd fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) return;
  ++counters_.accepted;
  Service& service = *this;
  auto client = std::make_unique<Client>(base_.get(), std::move(fd), service, counters_);
  Client* at = client.get();
  clients_[at] = std::move(client);
}

Service::Outcome Forwarder::handle(Client& client, const thrift::Request& request,
                                   std::span<const std::byte> message) {
  switch (request.kind) {
    case thrift::Kind::msg:
      return forward(client, request.key, message);
    case thrift::Kind::connect:
      return connect(client, request);
    case thrift::Kind::close:
      return close_all(client, request);
    case thrift::Kind::unknown:
      return refuse(client, request);
  }
  return Outcome::done;
}

// --- messages
// --------------------------------------------------------------------------------------

Service::Outcome Forwarder::forward(Client& client, std::int32_t key,
                                    std::span<const std::byte> message) {
  const auto found = backends_.find(key);
  if (found == backends_.end()) {
    ++counters_.dropped;
    return Outcome::done;
  }
  Backend& backend = *found->second;
  if (backend.full()) {
    ++counters_.pauses;
    backend.wait_for_room([&client] { client.resume(); });
    return Outcome::again;
  }
  ++counters_.messages;
  counters_.bytes += message.size();
  if (!config_.batched) {
    backend.write(message);
  } else {
    if (backend.empty()) touched_.push_back(key);
    backend.add(message);
  }
  return Outcome::done;
}

void Forwarder::burst_ends() {
  for (const std::int32_t key : touched_) {
    const auto found = backends_.find(key);
    if (found != backends_.end()) found->second->flush();
  }
  touched_.clear();
}

Service::Outcome Forwarder::refuse(Client& client, const thrift::Request& request) {
  ++counters_.unknown;
  if (!request.wants_reply) return Outcome::done;
  thrift::Bytes reply;
  thrift::write_unknown_method(reply, request.sequence, request.method);
  client.reply(reply);
  return Outcome::done;
}

// --- backends
// --------------------------------------------------------------------------------------

Service::Outcome Forwarder::connect(Client& client, const thrift::Request& request) {
  const auto host = wire::parse_ipv4(std::string(request.host));
  int error = host && request.port >= 1 && request.port <= 65535 ? 0 : EINVAL;
  sockets::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) error = errno;
  if (error == 0) {
    const sockaddr_in to = sockets::to_sockaddr({*host, static_cast<std::uint16_t>(request.port)});
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
        errno != EINPROGRESS) {
      error = errno;
    }
  }
  if (error != 0) {
    thrift::Bytes reply;
    thrift::write_connect_reply(reply, request.sequence, error);
    client.reply(reply);
    return Outcome::done;
  }
  if (config_.no_delay) sockets::set_no_delay(fd.get());
  auto c = std::make_unique<Connecting>(
      Connecting{this, &client, request.sequence, request.key, std::move(fd), nullptr});
  c->writable =
      make_event<&Connecting::on_writable>(base_.get(), c->socket.get(), EV_WRITE, c.get());
  ::event_add(c->writable.get(), nullptr);
  Connecting* at = c.get();
  connecting_[at] = std::move(c);
  return Outcome::later;
}

void Forwarder::connected(Connecting& done) {
  const auto c = std::move(connecting_.extract(&done).mapped());
  const int error = error_of(c->socket.get());
  if (error == 0) {
    auto& place = backends_[c->key];
    if (place) retire(std::move(place));
    place = std::make_unique<Backend>(base_.get(), std::move(c->socket), config_.water, counters_,
                                      [this, key = c->key](Backend& b) { gone(key, b); });
  }
  thrift::Bytes reply;
  thrift::write_connect_reply(reply, c->sequence, error);
  c->client->reply(reply);
  c->client->resume();
}

/// A backend without a key: goes when what waits has been sent.
void Forwarder::retire(std::unique_ptr<Backend> backend) {
  Backend* at = backend.get();
  leaving_[at] = std::move(backend);
  at->finish();
}

/// Its own end, or the end of its leaving.
void Forwarder::gone(std::int32_t key, Backend& backend) {
  if (const auto leaving = leaving_.extract(&backend)) return;
  const auto lost = backends_.extract(key);  // its senders find no backend, and go on
}

Service::Outcome Forwarder::close_all(Client& client, const thrift::Request& request) {
  thrift::Bytes reply;
  thrift::write_close_reply(reply, request.sequence, static_cast<std::int32_t>(backends_.size()));
  for (auto& [key, backend] : std::exchange(backends_, {})) retire(std::move(backend));
  client.reply(reply);
  return Outcome::done;
}

}  // namespace stackrig::libevent
