// SPDX-License-Identifier: Apache-2.0
// Many connections on one thread by io_uring: each has one receive or one send under way, and one
// system call submits what is new and waits for what is done.
#include <liburing.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <system_error>
#include <unordered_map>

#include "connection.h"
#include "runtime/process.h"
#include "server.h"

namespace stackrig::user_echo {
namespace {

constexpr unsigned kEntries = 4096;
/// As in epoll.cc.
constexpr long kLongestWaitNs = 100'000'000;
constexpr int kMostLastWaits = 20;

class Ring {
 public:
  Ring() {
    // Completions are worked off in the submitting call: no interrupt of this thread (Linux 6.1).
    int error = ::io_uring_queue_init(kEntries, &ring_,
                                      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error == -EINVAL) error = ::io_uring_queue_init(kEntries, &ring_, 0);
    if (error < 0) throw std::system_error(-error, std::generic_category(), "io_uring");
  }
  ~Ring() { ::io_uring_queue_exit(&ring_); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  /// Never null: where the queue is full, what is in it is submitted.
  io_uring_sqe* entry() {
    io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      ::io_uring_submit(&ring_);
      sqe = ::io_uring_get_sqe(&ring_);
    }
    return sqe;
  }
  io_uring& get() { return ring_; }

 private:
  io_uring ring_{};
};

class UringServer {
 public:
  explicit UringServer(const std::vector<sockets::Fd>& listeners) : listeners_(listeners) {
    for (const sockets::Fd& l : listeners) accept_next(l.get());
  }
  /// Connections that have something under way end before their memory goes: the ring is first.
  ~UringServer() { ring_.reset(); }
  UringServer(const UringServer&) = delete;
  UringServer& operator=(const UringServer&) = delete;

  void run() {
    while (!runtime::stop_flag().load(std::memory_order_relaxed)) take_completions();
    stop_listening();
  }

 private:
  struct Client {
    sockets::Fd fd;
    Connection connection;
    bool sending = false;
  };
  /// user_data: a file descriptor, and whether it is a listener's.
  static constexpr std::uint64_t kIsListener = std::uint64_t{1} << 32;

  void take_completions() {
    io_uring_cqe* first = nullptr;
    __kernel_timespec wait{.tv_sec = 0, .tv_nsec = kLongestWaitNs};
    ::io_uring_submit_and_wait_timeout(&ring_->get(), &first, 1, &wait, nullptr);
    unsigned head = 0, seen = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_->get(), head, cqe) {
      handle(cqe->user_data, cqe->res);
      ++seen;
    }
    ::io_uring_cq_advance(&ring_->get(), seen);
  }

  /// An accept under way holds its socket, and the kernel lets go of it some time after the process
  /// has ended: until then nobody could listen there. So they are ended here, and awaited.
  void stop_listening() {
    stopping_ = true;
    for (const sockets::Fd& l : listeners_) ::shutdown(l.get(), SHUT_RDWR);
    for (int tries = 0; accepts_ != 0 && tries < kMostLastWaits; ++tries) take_completions();
  }

  void accept_next(int listener) {
    if (stopping_) return;
    ++accepts_;
    io_uring_sqe* sqe = ring_->entry();
    ::io_uring_prep_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
    ::io_uring_sqe_set_data64(sqe, kIsListener | static_cast<unsigned>(listener));
  }

  void handle(std::uint64_t data, int result) {
    const int fd = static_cast<int>(data & 0xffff'ffff);
    if ((data & kIsListener) != 0) {
      --accepts_;
      if (result >= 0) add(result);
      return accept_next(fd);
    }
    const auto found = clients_.find(fd);
    Client& client = *found->second;
    if (result == -EINTR || result == -EAGAIN) return move_on(client);
    if (result <= 0) {
      clients_.erase(found);
    } else if (client.sending) {
      client.connection.sent(static_cast<std::size_t>(result));
      move_on(client);
    } else if (client.connection.received(static_cast<std::size_t>(result))) {
      move_on(client);
    } else {
      clients_.erase(found);
    }
  }

  void add(int fd) {
    auto client = std::make_unique<Client>();
    client->fd = sockets::Fd(fd);
    sockets::set_no_delay(fd);
    move_on(*client);
    clients_[fd] = std::move(client);
  }

  /// Sends what is whole, else reads on.
  void move_on(Client& client) {
    io_uring_sqe* sqe = ring_->entry();
    const auto whole = client.connection.whole();
    client.sending = !whole.empty();
    if (client.sending) {
      ::io_uring_prep_send(sqe, client.fd.get(), whole.data(), whole.size(),
                           MSG_NOSIGNAL | MSG_WAITALL);
    } else {
      const auto room = client.connection.room();
      ::io_uring_prep_recv(sqe, client.fd.get(), room.data(), room.size(), 0);
    }
    ::io_uring_sqe_set_data64(sqe, static_cast<unsigned>(client.fd.get()));
  }

  const std::vector<sockets::Fd>& listeners_;
  unsigned accepts_ = 0;  ///< under way
  bool stopping_ = false;
  std::unique_ptr<Ring> ring_ = std::make_unique<Ring>();
  std::unordered_map<int, std::unique_ptr<Client>> clients_;
};

}  // namespace

void serve_uring(const std::vector<sockets::Fd>& listeners, const std::function<void()>& ready) {
  UringServer server(listeners);
  ready();
  server.run();
}

}  // namespace stackrig::user_echo
