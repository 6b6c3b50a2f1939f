// SPDX-License-Identifier: Apache-2.0
// Many connections on one thread, told of by epoll.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <system_error>
#include <unordered_map>

#include "connection.h"
#include "runtime/process.h"
#include "server.h"

namespace stackrig::user_echo {
namespace {

/// A stop asked for between the look at the flag and the wait is seen after this long.
constexpr int kLongestWaitMs = 100;

class EpollServer {
 public:
  explicit EpollServer(const std::vector<sockets::Fd>& listeners)
      : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) throw std::system_error(errno, std::generic_category(), "epoll");
    for (const sockets::Fd& l : listeners) {
      listeners_[l.get()] = true;
      watch(l.get(), EPOLLIN, EPOLL_CTL_ADD);
    }
  }

  void run() {
    std::array<epoll_event, 256> events{};
    while (!runtime::stop_flag().load(std::memory_order_relaxed)) {
      const int n = ::epoll_wait(epoll_.get(), events.data(), events.size(), kLongestWaitMs);
      for (int i = 0; i < n; ++i) handle(events[static_cast<std::size_t>(i)]);
    }
  }

 private:
  struct Client {
    sockets::Fd fd;
    Connection connection;
    bool blocked = false;  ///< waits for room to send; nothing is read meanwhile
  };

  void watch(int fd, std::uint32_t what, int how) {
    epoll_event event{};
    event.events = what;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), how, fd, &event);
  }

  void handle(const epoll_event& event) {
    const int fd = event.data.fd;
    if (listeners_.contains(fd)) return accept_one(fd);
    const auto found = clients_.find(fd);
    if (found == clients_.end()) return;
    Client& client = *found->second;
    const bool goes_on = client.blocked ? send_whole(client) : receive(client);
    if (!goes_on) clients_.erase(found);
  }

  void accept_one(int listener) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    auto client = std::make_unique<Client>();
    client->fd = sockets::Fd(fd);
    sockets::set_no_delay(fd);
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    clients_[fd] = std::move(client);
  }

  bool receive(Client& client) {
    const auto room = client.connection.room();
    const ssize_t n = ::recv(client.fd.get(), room.data(), room.size(), 0);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    return client.connection.received(static_cast<std::size_t>(n)) && send_whole(client);
  }

  bool send_whole(Client& client) {
    while (!client.connection.whole().empty()) {
      const auto whole = client.connection.whole();
      const ssize_t n = ::send(client.fd.get(), whole.data(), whole.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) {
        if (!client.blocked) watch(client.fd.get(), EPOLLOUT, EPOLL_CTL_MOD);
        client.blocked = true;
        return true;
      }
      if (n < 0) return errno == EINTR;
      client.connection.sent(static_cast<std::size_t>(n));
    }
    if (client.blocked) watch(client.fd.get(), EPOLLIN, EPOLL_CTL_MOD);
    client.blocked = false;
    return true;
  }

  sockets::Fd epoll_;
  std::unordered_map<int, bool> listeners_;
  std::unordered_map<int, std::unique_ptr<Client>> clients_;
};

}  // namespace

void serve_epoll(const std::vector<sockets::Fd>& listeners, const std::function<void()>& ready) {
  EpollServer server(listeners);
  ready();
  server.run();
}

}  // namespace stackrig::user_echo
