// SPDX-License-Identifier: Apache-2.0
// For tests: an HTTP server on loopback, a thread per connection, that answers as test_replies.h
// says.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "rigload/test_replies.h"

namespace stackrig::rigload::fake {

class KernelServer {
 public:
  KernelServer() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof a;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&a), len) != 0 ||
        ::listen(listener_, 1024) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&a), &len) != 0) {
      throw std::runtime_error("no test server on loopback");
    }
    port_ = ntohs(a.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~KernelServer() {
    ::shutdown(listener_, SHUT_RDWR);  // ends accept()
    acceptor_.join();
    ::close(listener_);
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& t : threads_) t.join();
  }
  KernelServer(const KernelServer&) = delete;
  KernelServer& operator=(const KernelServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string target() const { return "127.0.0.1:" + std::to_string(port_); }

  std::atomic<std::uint64_t> accepted{0}, answered{0};
  std::atomic<std::uint32_t> last_source{0};  ///< address of the latest client

 private:
  void accept_all() {
    for (;;) {
      sockaddr_in from{};
      socklen_t len = sizeof from;
      const int fd = ::accept4(listener_, reinterpret_cast<sockaddr*>(&from), &len, SOCK_CLOEXEC);
      if (fd < 0) return;
      ++accepted;
      last_source = ntohl(from.sin_addr.s_addr);
      const std::lock_guard lock(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd] { serve(fd); });
    }
  }

  void serve(int fd) {
    std::string text, path;
    char buffer[4096];
    bool goes_on = true;
    while (goes_on) {
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      text.append(buffer, static_cast<std::size_t>(n));
      bool close = false;
      while (goes_on && take_request(text, path, close))
        goes_on = answer(fd, reply_to(path), close);
    }
    const std::lock_guard lock(mutex_);
    std::erase(open_, fd);
    ::close(fd);
  }

  /// False where the connection is to be closed.
  bool answer(int fd, const Reply& reply, bool close) {
    ++answered;
    for (std::size_t at = 0; at < reply.bytes.size();) {
      const ssize_t n = ::send(fd, reply.bytes.data() + at, reply.bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return false;
      at += static_cast<std::size_t>(n);
    }
    if (reply.then == Reply::Then::reset) {
      const linger by_reset{1, 0};
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &by_reset, sizeof by_reset);
      return false;
    }
    return reply.then == Reply::Then::nothing || (reply.then == Reply::Then::as_asked && !close);
  }

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread acceptor_;
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
};

}  // namespace stackrig::rigload::fake
