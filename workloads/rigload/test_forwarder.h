// SPDX-License-Identifier: Apache-2.0
// For tests: a forwarder on loopback, a thread per connection, that may be told to get things
// wrong.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sockets/sockets.h"
#include "thrift/forwarder.h"

namespace stackrig::rigload::fake {

class Forwarder {
 public:
  /// A message, with the key of the backend that it is to go to.
  using Message = std::pair<std::int32_t, std::string>;
  /// What becomes of a sender's n-th message, counted from 0 over all connections.
  using Fault = std::function<std::vector<Message>(std::uint64_t n, const Message& message)>;

  explicit Forwarder(Fault fault = {}) : fault_(std::move(fault)) {
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~Forwarder() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
      for (auto& [key, fd] : backends_) ::shutdown(fd.get(), SHUT_RDWR);
    }
    for (std::thread& t : threads_) t.join();
  }
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  [[nodiscard]] std::string target() const {
    return wire::to_string(sockets::local_of(listener_.get()));
  }

  std::atomic<std::int32_t> connect_error{0};  ///< answers to connect
  std::atomic<std::int32_t> close_more{0};     ///< added to the answer to close
  std::atomic<bool> resets{false};             ///< a sender is reset at its first message

 private:
  void accept_all() {
    for (;;) {
      const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const std::lock_guard lock(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd] { serve(fd); });
    }
  }

  void serve(int fd) {
    thrift::Bytes bytes;
    std::byte buffer[65536];
    for (bool goes_on = true; goes_on;) {
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      bytes.insert(bytes.end(), buffer, buffer + n);
      std::size_t at = 0;
      for (;;) {
        const auto rest = std::span(bytes).subspan(at);
        const thrift::Request r = thrift::next(rest);
        if (r.status != thrift::Status::message) break;
        goes_on = goes_on && handle(fd, r, rest.first(r.length));
        at += r.length;
      }
      bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    }
    const std::lock_guard lock(mutex_);
    std::erase(open_, fd);
    ::close(fd);
  }

  bool handle(int fd, const thrift::Request& r, std::span<const std::byte> message) {
    if (r.kind == thrift::Kind::msg) return forward(fd, r.key, message);
    thrift::Bytes reply;
    if (r.kind == thrift::Kind::connect) {
      thrift::write_connect_reply(reply, r.sequence, connect(r));
    } else {
      const std::lock_guard lock(mutex_);
      thrift::write_close_reply(reply, r.sequence,
                                static_cast<std::int32_t>(backends_.size()) + close_more);
      backends_.clear();
    }
    return send_all(fd, {reinterpret_cast<const char*>(reply.data()), reply.size()});
  }

  std::int32_t connect(const thrift::Request& r) {
    if (connect_error != 0) return connect_error;
    sockets::Fd backend(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in to = sockets::to_sockaddr(
        {*wire::parse_ipv4(std::string(r.host)), static_cast<std::uint16_t>(r.port)});
    if (::connect(backend.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      return errno;
    const std::lock_guard lock(mutex_);
    backends_[r.key] = std::move(backend);
    return 0;
  }

  bool forward(int fd, std::int32_t key, std::span<const std::byte> bytes) {
    if (resets) {
      const linger by_reset{1, 0};
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &by_reset, sizeof by_reset);
      return false;
    }
    const Message message{key, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
    const std::lock_guard lock(mutex_);
    const std::uint64_t n = count_++;
    for (const auto& [to, text] : fault_ ? fault_(n, message) : std::vector{message}) {
      if (const auto found = backends_.find(to); found != backends_.end())
        send_all(found->second.get(), text);
    }
    return true;
  }

  static bool send_all(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  Fault fault_;
  sockets::Fd listener_ = sockets::listen_on({{0x7f000001}, 0}, false);
  std::thread acceptor_;
  std::mutex mutex_;
  std::vector<int> open_;
  std::map<std::int32_t, sockets::Fd> backends_;
  std::uint64_t count_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace stackrig::rigload::fake
