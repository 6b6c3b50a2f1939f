// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

#include "echo.h"
#include "forward.h"

namespace stackrig::in_kernel {
namespace {

constexpr std::chrono::milliseconds kCountEvery{100};

}  // namespace

class Server::Listener final : public Watched {
 public:
  Listener(Server& server, Fd fd) : server_(server), fd_(std::move(fd)) {
    set_buffers(fd_.get(), server.config_.buffers);  // connections inherit them
    if (!server.programs_.guard(fd_.get()))
      throw std::system_error(errno, std::generic_category(), "SO_ATTACH_BPF");
    watch();
  }
  void ready(std::uint32_t /*events*/) override { server_.accept_all(fd_.get()); }
  /// No descriptors left: what waits is asked for again after a while, not at once.
  void pause() {
    server_.poller_.change(fd_.get(), 0, *this);
    server_.poller_.call_at(*this, Clock::now() + kCountEvery);
  }
  void due() override { server_.poller_.change(fd_.get(), EPOLLIN, *this); }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  void watch() {
    if (!server_.poller_.add(fd_.get(), EPOLLIN, *this))
      throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
  Server& server_;
  Fd fd_;
};

/// Connections that the programs have handed up.
class Server::Takings final : public Watched {
 public:
  explicit Takings(Server& server) : server_(server) {
    if (!server.poller_.add(server.programs_.taken_fd(), EPOLLIN, *this))
      throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
  void ready(std::uint32_t /*events*/) override {
    for (const std::uint32_t slot : server_.programs_.taken()) {
      if (server_.clients_[slot]) server_.clients_[slot]->taken();
    }
  }

 private:
  Server& server_;
};

Server::Server(const Config& config, std::vector<Fd> listeners, telemetry::Page& page)
    : config_(config),
      programs_(config.programs),
      telemetry_(page, config.programs.service),
      backends_(programs_, poller_, telemetry_.counters(), config.backends,
                config.programs.backends),
      slots_(config.programs.clients),
      context_{programs_, poller_, telemetry_.counters(),
               [this](Client& client) {
                 slots_.give_back(client.slot(), Clock::now());
                 poller_.retire(std::move(clients_[client.slot()]));
               }},
      clients_(config.programs.clients),
      takings_(std::make_unique<Takings>(*this)) {
  for (Fd& fd : listeners) listeners_.push_back(std::make_unique<Listener>(*this, std::move(fd)));
}

Server::~Server() = default;

void Server::accept_all(int listener) {
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      accepted(Fd(fd));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      for (const auto& one : listeners_) {
        if (one->fd() == listener) one->pause();
      }
    }
    if (errno != EINTR && errno != ECONNABORTED) return;
  }
}

void Server::accepted(Fd fd) {
  Counters& counters = telemetry_.counters();
  const auto slot = slots_.take(Clock::now());
  if (!slot) {
    ++counters.refused;
    return;
  }
  ++counters.accepted;
  std::unique_ptr<Client> made;
  if (config_.programs.service == Service::echo) {
    made = std::make_unique<EchoClient>(context_, std::move(fd), *slot);
  } else {
    made = std::make_unique<ForwardClient>(context_, backends_, std::move(fd), *slot);
  }
  clients_[*slot] = std::move(made);
  clients_[*slot]->start();
}

void Server::run(const std::atomic<bool>& stop) {
  auto counted = Clock::now();
  while (!stop.load(std::memory_order_relaxed)) {
    poller_.turn(kCountEvery);
    const auto now = Clock::now();
    if (now - counted < kCountEvery) continue;
    counted = now;
    telemetry_.update(programs_);
  }
  telemetry_.update(programs_);
}

}  // namespace stackrig::in_kernel
