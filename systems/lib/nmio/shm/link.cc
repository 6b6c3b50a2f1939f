// SPDX-License-Identifier: Apache-2.0
#include "nmio/shm/link.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <exception>
#include <utility>

#include "nmio/port.h"

namespace stackrig::nmio::shm {
namespace {

constexpr int kRetryMs = 20;
constexpr timeval kHandshakePatience = {2, 0};

struct Address {
  sockaddr_un un{};
  socklen_t len = 0;
};

/// In the abstract namespace (first byte 0): no file is left behind. It is one per network
/// namespace.
Address abstract_address(const std::string& name) {
  Address a;
  const std::string full = "stackrig-shm:" + name;
  a.un.sun_family = AF_UNIX;
  std::memcpy(a.un.sun_path + 1, full.data(), full.size());
  a.len = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + full.size());
  return a;
}

Fd make_socket() {
  Fd s(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!s.is_open())
    throw SetupError(std::string("shm: no UNIX socket to be had: ") + std::strerror(errno));
  return s;
}

/// A peer of another user gets nothing: it could read our packets.
bool same_user(int socket) {
  ucred who{};
  socklen_t len = sizeof who;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.uid == geteuid();
}

void set_patience(int socket) {
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &kHandshakePatience, sizeof kHandshakePatience);
}

void wake(int fd) {
  const std::uint64_t one = 1;
  (void)!write(fd, &one, sizeof one);
}

}  // namespace

Link::Link(std::string name, Local local)
    : name_(std::move(name)), local_(std::move(local)), stop_(eventfd(0, EFD_CLOEXEC)) {
  const bool server = local_.hello.side == Side::server;
  if (server) {
    listener_ = make_socket();
    const Address a = abstract_address(name_);
    if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&a.un), a.len) != 0) {
      const char* remedy =
          errno == EADDRINUSE ? "; a server of that name is running: stop it or choose another name"
                              : "";
      throw SetupError("shm:" + name_ + ": cannot be served: " + std::strerror(errno) + remedy);
    }
    if (listen(listener_.get(), 4) != 0) {
      throw SetupError("shm:" + name_ + ": cannot listen: " + std::strerror(errno));
    }
  }
  // Signals are the program's: its threads handle them, this one never.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this, server] { server ? serve() : connect(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Link::~Link() {
  stopping_ = true;
  wake(stop_.get());
  thread_.join();
}

std::shared_ptr<Session> Link::session(std::uint32_t& generation) const {
  const std::lock_guard lock(mutex_);
  generation = generation_.load(std::memory_order_relaxed);
  return session_;
}

bool Link::wait_for_peer(Time patience, std::string& why) const {
  std::unique_lock lock(mutex_);
  const bool there = changed_.wait_for(lock, std::chrono::nanoseconds(patience),
                                       [this] { return session_ != nullptr; });
  if (!there) why = failure_;
  return there;
}

void Link::publish(std::shared_ptr<Session> session) {
  std::shared_ptr<Session> old;  // unmapped outside the lock
  {
    const std::lock_guard lock(mutex_);
    old = std::exchange(session_, std::move(session));
    generation_.fetch_add(1, std::memory_order_release);
  }
  changed_.notify_all();
  for (const int fd : local_.wake_fds) wake(fd);
}

void Link::note_failure(const std::string& why) {
  const std::lock_guard lock(mutex_);
  failure_ = why;
}

bool Link::poll_for(int fd, int milliseconds) {
  pollfd fds[2] = {{stop_.get(), POLLIN, 0}, {fd, POLLIN, 0}};
  poll(fds, fd >= 0 ? 2 : 1, milliseconds);
  return !stopping_;
}

void Link::hold(const std::shared_ptr<Session>& session, int also) {
  const int socket = session->socket.get();
  publish(session);
  while (!stopping_) {
    pollfd fds[3] = {{stop_.get(), POLLIN, 0}, {socket, POLLIN, 0}, {also, POLLIN, 0}};
    poll(fds, also >= 0 ? 3 : 2, -1);
    if (fds[1].revents != 0) break;  // gone: after the handshake a peer says nothing more
    if (also >= 0 && fds[2].revents != 0) {
      Fd second(accept4(also, nullptr, nullptr, SOCK_CLOEXEC));
      if (!second.is_open()) continue;
      set_patience(second.get());
      refuse_busy(local_, std::move(second));
    }
  }
  shutdown(socket, SHUT_RDWR);  // queues may hold the session a little longer: tell the peer now
  publish(nullptr);
}

void Link::serve() {
  while (poll_for(listener_.get(), -1)) {
    Fd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.is_open() || !same_user(client.get())) continue;
    set_patience(client.get());
    try {
      hold(make_session(local_, std::move(client)), listener_.get());
    } catch (const std::exception& e) {
      note_failure(e.what());  // that client's loss: the next may do better
    }
  }
}

void Link::connect() {
  const Address a = abstract_address(name_);
  do {
    try {
      Fd server = make_socket();
      if (::connect(server.get(), reinterpret_cast<const sockaddr*>(&a.un), a.len) != 0) {
        note_failure("no server of that name; start the side=server, or give wait= more seconds");
        continue;
      }
      if (!same_user(server.get())) {
        note_failure("the server belongs to another user");
        continue;
      }
      set_patience(server.get());
      hold(make_session(local_, std::move(server)), -1);
    } catch (const std::exception& e) {
      note_failure(e.what());
    }
  } while (poll_for(-1, kRetryMs));
}

}  // namespace stackrig::nmio::shm
