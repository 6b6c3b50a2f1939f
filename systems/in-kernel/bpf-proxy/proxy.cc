// SPDX-License-Identifier: Apache-2.0
#include "proxy.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

namespace stackrig::in_kernel::proxy {
namespace {

constexpr std::chrono::milliseconds kTick{100};

}  // namespace

class Proxy::Listener final : public Watched {
 public:
  Listener(Proxy& proxy, Fd fd) : proxy_(proxy), fd_(std::move(fd)) {
    set_buffers(fd_.get(), proxy_.config_.client_buffers);  // connections inherit them
    if (!proxy_.poller_.add(fd_.get(), EPOLLIN, *this))
      throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
  void ready(std::uint32_t /*events*/) override { proxy_.accept_all(*this); }
  /// No descriptors left: what waits is asked for again after a while, not at once.
  void pause() {
    proxy_.poller_.change(fd_.get(), 0, *this);
    proxy_.poller_.call_at(*this, Clock::now() + kTick);
  }
  void due() override { proxy_.poller_.change(fd_.get(), EPOLLIN, *this); }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  Proxy& proxy_;
  Fd fd_;
};

/// What the program has passed up.
class Proxy::Notices final : public Watched {
 public:
  explicit Notices(Proxy& proxy) : proxy_(proxy) {
    if (!proxy.poller_.add(proxy.relay_.notices_fd(), EPOLLIN, *this))
      throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
  void ready(std::uint32_t /*events*/) override {
    for (const std::uint32_t slot : proxy_.relay_.notices()) {
      if (const auto& pair = proxy_.pairs_[slot / 2]) pair->noticed();
    }
  }

 private:
  Proxy& proxy_;
};

Proxy::Proxy(const Config& config, std::vector<Fd> listeners, telemetry::Page& page)
    : config_(config),
      relay_(2 * config.most_clients, config.limits),
      telemetry_(page),
      pool_(poller_, telemetry_.counters(), config.pool),
      slots_(config.most_clients),
      context_{relay_,
               poller_,
               pool_,
               telemetry_.counters(),
               config.most_idle,
               config.most_linger,
               [this](Pair& pair) {
                 const std::uint32_t index = pair.slot() / 2;
                 slots_.give_back(index, Clock::now());
                 poller_.retire(std::move(pairs_[index]));
               }},
      pairs_(config.most_clients),
      notices_(std::make_unique<Notices>(*this)) {
  for (Fd& fd : listeners) listeners_.push_back(std::make_unique<Listener>(*this, std::move(fd)));
}

Proxy::~Proxy() = default;

void Proxy::accept_all(Listener& listener) {
  for (;;) {
    const int fd = ::accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      accepted(Fd(fd));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
      return listener.pause();
    if (errno != EINTR && errno != ECONNABORTED) return;
  }
}

void Proxy::accepted(Fd fd) {
  Counters& counters = telemetry_.counters();
  const auto index = slots_.take(Clock::now());
  if (!index) {
    ++counters.refused;
    return;
  }
  ++counters.accepted;
  pairs_[*index] = std::make_unique<Pair>(context_, std::move(fd), 2 * *index);
  pairs_[*index]->start();
}

void Proxy::tick() {
  const auto now = Clock::now();
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    if (pairs_[i]) pairs_[i]->tick(now);
  }
  pool_.tick();
  telemetry_.update(relay_);
}

void Proxy::run(const std::atomic<bool>& stop) {
  auto last = Clock::now();
  while (!stop.load(std::memory_order_relaxed)) {
    poller_.turn(kTick);
    const auto now = Clock::now();
    if (now - last < kTick) continue;
    last = now;
    tick();
  }
  telemetry_.update(relay_);
}

}  // namespace stackrig::in_kernel::proxy
