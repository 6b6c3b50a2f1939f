// SPDX-License-Identifier: Apache-2.0
// For tests: the program, clients of it that wait for what they ask for, and sinks.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rigload/test_endpoint.h"
#include "rigload/test_process.h"
#include "sockets/sockets.h"
#include "thrift/forwarder.h"

namespace stackrig::libevent::test {

constexpr wire::Endpoint kAnyPort{{0x7f000001}, 0};
/// Nothing here takes so long; a test that waits so long has failed.
constexpr int kPatienceMs = 20'000;

inline std::string text_of(const thrift::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::string msg(std::int32_t key, std::string_view payload, std::int32_t sequence = 0) {
  thrift::Bytes bytes;
  thrift::write_msg(bytes, sequence, key, payload);
  return text_of(bytes);
}

/// A stream that gives up after kPatienceMs.
class Stream {
 public:
  explicit Stream(sockets::Fd fd) : fd_(std::move(fd)) {}
  explicit Stream(wire::Endpoint to) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in a = sockets::to_sockaddr(to);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a), 0);
    sockets::set_no_delay(fd_.get());
  }
  void send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  /// Exactly so many bytes; fewer where the stream ends, or nothing comes.
  [[nodiscard]] std::string receive(std::size_t count) const {
    std::string text;
    while (text.size() < count && readable()) {
      char buffer[65536];
      const std::size_t most = std::min(sizeof buffer, count - text.size());
      const ssize_t n = ::recv(fd_.get(), buffer, most, 0);
      if (n <= 0) break;
      text.append(buffer, static_cast<std::size_t>(n));
    }
    return text;
  }
  /// The other side has closed, and nothing came before that.
  [[nodiscard]] bool ends() const {
    char c = 0;
    return readable() && ::recv(fd_.get(), &c, 1, 0) <= 0;
  }
  void half_close() const { ::shutdown(fd_.get(), SHUT_WR); }

 private:
  [[nodiscard]] bool readable() const {
    pollfd p{fd_.get(), POLLIN, 0};
    return ::poll(&p, 1, kPatienceMs) == 1;
  }
  sockets::Fd fd_;
};

class Sink {
 public:
  [[nodiscard]] std::int32_t port() const { return sockets::local_of(listener_.get()).port; }
  [[nodiscard]] Stream accept() const {
    return Stream(sockets::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  }

 private:
  sockets::Fd listener_ = sockets::listen_on(kAnyPort, false);
};

/// The program on loopback.
class Server {
 public:
  explicit Server(const std::vector<std::string>& more) {
    at_ = rigload::fake::free_endpoint();
    std::vector<std::string> words = {FORWARDER, "--listen", wire::to_string(at_)};
    words.insert(words.end(), more.begin(), more.end());
    process_ = std::make_unique<rigload::fake::Process>(words, true);
    EXPECT_TRUE(process_->wait_until_ready()) << process_->complained();
  }
  ~Server() {
    process_->signal(SIGTERM);
    EXPECT_EQ(process_->wait(), 0) << process_->complained();
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  [[nodiscard]] wire::Endpoint at() const { return at_; }

 private:
  wire::Endpoint at_;
  std::unique_ptr<rigload::fake::Process> process_;
};

/// Asks the service and waits for its answer.
class Control {
 public:
  explicit Control(const Server& server) : stream_(server.at()) {}

  std::int32_t connect(std::int32_t key, const Sink& sink) {
    return connect(key, "127.0.0.1", sink.port());
  }
  std::int32_t connect(std::int32_t key, std::string_view host, std::int32_t port) {
    thrift::Bytes bytes;
    thrift::write_connect(bytes, ++sequence_, key, host, port);
    return ask(bytes);
  }
  std::int32_t close() {
    thrift::Bytes bytes;
    thrift::write_close(bytes, ++sequence_);
    return ask(bytes);
  }
  [[nodiscard]] const Stream& stream() const { return stream_; }
  /// The next reply.
  thrift::Reply reply() {
    thrift::Reply r;
    text_.clear();
    do {
      const std::string more = stream_.receive(1);
      if (more.empty()) break;
      text_ += more;
      r = thrift::next_reply(std::as_bytes(std::span(text_)));
    } while (r.status == thrift::Status::partial);
    return r;
  }

 private:
  std::int32_t ask(const thrift::Bytes& bytes) {
    stream_.send(text_of(bytes));
    const thrift::Reply r = reply();
    EXPECT_EQ(r.status, thrift::Status::message);
    EXPECT_EQ(r.sequence, sequence_);
    EXPECT_FALSE(r.is_exception);
    return r.value;
  }

  Stream stream_;
  std::string text_;
  std::int32_t sequence_ = 100;
};

}  // namespace stackrig::libevent::test
