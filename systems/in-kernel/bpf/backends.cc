// SPDX-License-Identifier: Apache-2.0
#include "backends.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace stackrig::in_kernel {

/// Connecting, then open (it has a slot), then draining. Gone at any time.
class Backends::Backend final : public Watched {
 public:
  enum class State : std::uint8_t { refused, connecting, open, draining };

  Backend(Backends& all, std::int32_t the_key, std::function<void(int)> done)
      : key(the_key), all_(all), done_(std::move(done)) {}

  void connect(wire::Endpoint to) {
    fd = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd.get() < 0) return refuse(errno);
    set_buffers(fd.get(), all_.config_.buffers);
    const sockaddr_in address = sockets::to_sockaddr(to);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno != EINPROGRESS) {
      return refuse(errno);
    }
    if (!all_.poller_.add(fd.get(), EPOLLOUT | EPOLLRDHUP, *this)) return refuse(errno);
    all_.poller_.call_at(*this, Clock::now() + all_.config_.connect_timeout);
  }

  void ready(std::uint32_t events) override {
    if (state == State::connecting) return connected(events);
    // A sink has nothing to say: when it ends its side it is done with ours too.
    if ((events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0) all_.retire(*this);
  }

  void due() override {
    if (state == State::draining) return look();
    all_.failed(*this, state == State::refused ? error_ : ETIMEDOUT);
  }

  void look() {
    const auto now = Clock::now();
    const std::uint64_t left = all_.programs_.waiting(*slot, fd.get());
    if (left != last_left_) {
      last_left_ = left;
      give_up_at_ = now + all_.config_.drain_timeout;
    }
    // A program that had found the route before it was taken away has ended by the second look.
    if ((left == 0 && looks_++ > 0) || now >= give_up_at_) return all_.retire(*this);
    all_.poller_.call_at(*this, now + std::chrono::milliseconds(1));
  }

  void begin_drain(std::shared_ptr<Closing> its_closing) {
    if (its_closing) closing = std::move(its_closing);
    if (state == State::draining) return;
    state = State::draining;
    give_up_at_ = Clock::now() + all_.config_.drain_timeout;
    all_.poller_.call_at(*this, Clock::now() + std::chrono::milliseconds(1));
  }

  /// Tells whoever asked for it, once.
  void tell(int error) {
    if (auto done = std::exchange(done_, {})) done(error);
  }

  Fd fd;
  std::int32_t key;
  State state = State::connecting;
  std::optional<std::uint32_t> slot;
  std::shared_ptr<Closing> closing;

 private:
  void refuse(int error) {
    state = State::refused;
    error_ = error;
    all_.poller_.call_at(*this, Clock::now());
  }

  void connected(std::uint32_t events) {
    if ((events & (EPOLLERR | EPOLLHUP)) == 0) return all_.established(*this);
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    all_.failed(*this, error != 0 ? error : ECONNREFUSED);
  }

  Backends& all_;
  std::function<void(int)> done_;
  int error_ = 0;
  unsigned looks_ = 0;
  std::uint64_t last_left_ = 0;
  Clock::time_point give_up_at_;
};

Backends::Backends(Programs& programs, Poller& poller, Counters& counters, const Config& config,
                   std::uint32_t most)
    : programs_(programs), poller_(poller), counters_(counters), config_(config), slots_(most) {
}

Backends::~Backends() = default;

void Backends::connect(std::int32_t key, wire::Endpoint to, std::function<void(int)> done) {
  auto made = std::make_unique<Backend>(*this, key, std::move(done));
  Backend& backend = *made;
  all_.emplace(&backend, std::move(made));
  backend.connect(to);
}

void Backends::established(Backend& backend) {
  backend.slot = slots_.take(Clock::now());
  if (!backend.slot) return failed(backend, ENOBUFS);
  const auto old = by_key_.find(backend.key);
  if (!programs_.add_backend(*backend.slot, backend.fd.get()) ||
      !programs_.route(backend.key, *backend.slot) ||
      !poller_.change(backend.fd.get(), EPOLLRDHUP | EPOLLET, backend)) {
    return failed(backend, errno);
  }
  poller_.never_call(backend);
  backend.state = Backend::State::open;
  ++counters_.backends_opened;
  ++counters_.backends_now;
  Backend* const replaced = old == by_key_.end() ? nullptr : old->second;
  by_key_[backend.key] = &backend;
  if (replaced != nullptr) drain(*replaced, nullptr);
  backend.tell(0);
}

void Backends::failed(Backend& backend, int error) {
  ++counters_.backends_failed;
  spdlog::info("backend of key {}: {}", backend.key, std::strerror(error));
  if (backend.slot) {
    programs_.remove_backend(*backend.slot);
    slots_.give_back(*backend.slot, Clock::now());
    backend.slot.reset();
    // A route to it may be there, in place of an older one.
    const auto old = by_key_.find(backend.key);
    if (old != by_key_.end()) {
      programs_.route(backend.key, *old->second->slot);
    } else {
      programs_.unroute(backend.key);
    }
  }
  backend.tell(error);
  retire(backend);
}

/// Ends one, whatever it was about to do.
void Backends::retire(Backend& backend) {
  const auto found = by_key_.find(backend.key);
  if (found != by_key_.end() && found->second == &backend) {
    programs_.unroute(backend.key);
    by_key_.erase(found);
  }
  if (backend.slot) {
    const std::uint64_t left = programs_.waiting(*backend.slot, backend.fd.get());
    counters_.lost_bytes += left;
    if (backend.state == Backend::State::open) ++counters_.backends_gone;
    --counters_.backends_now;
    programs_.remove_backend(*backend.slot);
    slots_.give_back(*backend.slot, Clock::now());
  }
  const auto closing = std::move(backend.closing);
  const auto it = all_.find(&backend);
  std::unique_ptr<Backend> owned = std::move(it->second);
  all_.erase(it);
  owned->fd.reset();  // with what TCP has yet to send, and then a FIN
  poller_.retire(std::move(owned));
  if (closing) finish(closing);
}

void Backends::drain(Backend& backend, std::shared_ptr<Closing> closing) {
  backend.begin_drain(std::move(closing));
}

void Backends::close_all(std::function<void(std::int32_t)> done) {
  const auto closing = std::make_shared<Closing>();
  closing->done = std::move(done);
  closing->count = static_cast<std::int32_t>(by_key_.size());
  for (const auto& [key, backend] : by_key_) {
    programs_.unroute(key);
    ++closing->left;
    drain(*backend, closing);
  }
  by_key_.clear();
  ++closing->left;
  finish(closing);
}

void Backends::finish(const std::shared_ptr<Closing>& closing) {
  if (--closing->left == 0) closing->done(closing->count);
}

std::optional<std::uint32_t> Backends::slot_of(std::int32_t key) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  return found->second->slot;
}

}  // namespace stackrig::in_kernel
