// SPDX-License-Identifier: Apache-2.0
#include "pool.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace stackrig::in_kernel::proxy {
namespace {

constexpr std::chrono::milliseconds kRetryAfter{200};

}  // namespace

/// Connecting, then idle, until it is taken or something happens to it.
class Pool::Connection final : public Watched {
 public:
  explicit Connection(Pool& pool) : pool_(pool) {}

  bool connect() {
    fd = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return false;
    set_buffers(fd.get(), pool_.config_.buffers);
    sockets::set_no_delay(fd.get());
    const sockaddr_in to = sockets::to_sockaddr(pool_.config_.backend);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
        errno != EINPROGRESS) {
      return false;
    }
    return pool_.poller_.add(fd.get(), EPOLLOUT | EPOLLET, *this);
  }

  void ready(std::uint32_t events) override {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 || idle) return pool_.failed(*this, idle);
    if ((events & EPOLLOUT) == 0) return;
    idle = true;
    since = Clock::now();
    // What comes on it before it has a client is the backend's goodbye.
    pool_.poller_.change(fd.get(), EPOLLIN | EPOLLRDHUP | EPOLLET, *this);
    pool_.established(*this);
  }

  /// The kernel did not even begin to connect.
  void due() override { pool_.failed(*this, false); }

  Fd fd;
  bool idle = false;
  Clock::time_point since = Clock::now();  ///< it has been connecting, or idle
  std::list<std::unique_ptr<Connection>>::iterator place;

 private:
  Pool& pool_;
};

Pool::Pool(Poller& poller, Counters& counters, const Config& config)
    : poller_(poller), counters_(counters), config_(config) {
  fill();
}

Pool::~Pool() = default;

Fd Pool::take(Waiter& waiter) {
  Fd fd;
  if (!idle_.empty() && waiting_.empty()) {
    Connection& connection = *idle_.back();
    fd = std::move(connection.fd);
    idle_.pop_back();
    retire(connection);
  } else {
    waiting_.push_back({&waiter, Clock::now()});
  }
  fill();
  return fd;
}

void Pool::cancel(Waiter& waiter) {
  std::erase_if(waiting_, [&](const Waiting& w) { return w.waiter == &waiter; });
  count();
}

void Pool::closed() {
  --total_;
  fill();
}

void Pool::fill() {
  const auto now = Clock::now();
  const std::size_t spare = now < no_spares_before_ ? 0 : config_.spare;
  const std::size_t wanted = waiting_.size() + spare;
  // Those that fail are tried again by tick(), not here.
  for (std::size_t have = idle_.size() + connecting_; have < wanted && total_ < config_.most;
       ++have)
    connect_one();
  count();
}

void Pool::connect_one() {
  auto made = std::make_unique<Connection>(*this);
  Connection& connection = *made;
  ++total_;
  ++connecting_;
  all_.push_back(std::move(made));
  connection.place = std::prev(all_.end());
  if (!connection.connect()) {
    // Whoever waits is told by the poller, not from here.
    poller_.call_at(connection, Clock::now());
  }
}

void Pool::established(Connection& connection) {
  --connecting_;
  ++counters_.backends_opened;
  no_spares_before_ = {};
  if (waiting_.empty()) {
    idle_.push_back(&connection);
    return count();
  }
  Waiter& waiter = *waiting_.front().waiter;
  waiting_.pop_front();
  Fd fd = std::move(connection.fd);
  retire(connection);
  count();
  waiter.connected(std::move(fd));
}

void Pool::failed(Connection& connection, bool was_idle) {
  if (was_idle) {
    std::erase(idle_, &connection);
  } else {
    --connecting_;
    ++counters_.backends_failed;
    no_spares_before_ = Clock::now() + kRetryAfter;
  }
  --total_;
  retire(connection);
  Waiter* told = nullptr;
  if (!was_idle && !waiting_.empty()) {
    told = waiting_.front().waiter;
    waiting_.pop_front();
  }
  count();
  if (told != nullptr) told->not_connected();
}

/// The poller may still have an event for it.
void Pool::retire(Connection& connection) {
  connection.fd.reset();
  std::unique_ptr<Connection> last = std::move(*connection.place);
  all_.erase(connection.place);
  poller_.retire(std::move(last));
}

void Pool::tick() {
  const auto now = Clock::now();
  for (auto i = all_.begin(); i != all_.end();) {
    Connection& connection = **i++;
    const auto most = connection.idle ? config_.most_idle : config_.connect_timeout;
    if (now - connection.since >= most) failed(connection, connection.idle);
  }
  while (!waiting_.empty() && now - waiting_.front().since >= config_.longest_wait) {
    Waiter& waiter = *waiting_.front().waiter;
    waiting_.pop_front();
    if (connecting_ != 0) {
      waiter.not_connected();
    } else {
      waiter.all_in_use();
    }
  }
  fill();
}

void Pool::count() {
  counters_.backends_now = total_;
  counters_.backends_idle_now = idle_.size();
  counters_.waiting_now = waiting_.size();
}

}  // namespace stackrig::in_kernel::proxy
