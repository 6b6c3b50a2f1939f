// SPDX-License-Identifier: Apache-2.0
// The kernel as the tested TCP: system calls on its sockets, a TAP device for its segments.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <system_error>

#include "tcpip/script/tap.h"
#include "tcpip/script/target.h"

namespace stackrig::tcpip::script {
namespace {

constexpr Time kPatience = 3 * nmio::kSecond;
constexpr Time kLook = 2 * nmio::kMillisecond;
/// Longest that may lie between two looks: less than the shortest timer of a script.
constexpr Time kStall = 25 * nmio::kMillisecond;

template <class T>
void option(int fd, int level, int name, T value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

sockaddr_in address_of(wire::Ipv4Address ip, std::uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(ip.value);
  return a;
}

std::string error_text(const std::string& what) {
  return what + ": " + std::generic_category().message(errno);
}

const char* name_of_error(int error) {
  switch (error) {
    case ECONNRESET:
    case EPIPE:
      return "reset";
    case ECONNREFUSED:
      return "refused";
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return "timed-out";
    default:
      return "no";
  }
}

// The state of tested:80 with peer:`port`, as the kernel lists it: TIME_WAIT has no socket to ask.
std::string listed_state(std::uint16_t port) {
  constexpr const char* kNames[] = {
      "none", "established", "syn-sent", "syn-received", "fin-wait-1", "fin-wait-2",  "time-wait",
      "none", "close-wait",  "last-ack", "listen",       "closing",    "syn-received"};
  std::ifstream in("/proc/self/net/tcp");
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string slot, local, remote, state;
    words >> slot >> local >> remote >> state;
    char wanted[32];
    std::snprintf(wanted, sizeof wanted, "%08X:%04X", htonl(kPeerIp.value), unsigned{port});
    if (remote != wanted) continue;
    const auto n = std::stoul(state, nullptr, 16);
    return n < std::size(kNames) ? kNames[n] : "none";
  }
  return "none";
}

class LinuxTarget final : public Target {
 public:
  explicit LinuxTarget(const Settings& settings) : settings_(settings), tap_(settings) {}
  ~LinuxTarget() override {
    for (auto& [port, c] : connections_) close_fd(c.fd);
    close_fd(listener_);
  }
  LinuxTarget(const LinuxTarget&) = delete;
  LinuxTarget& operator=(const LinuxTarget&) = delete;

  // The kernel's timers count in ticks of up to 10 ms, and the machine may be busy: late is never
  // wrong.
  [[nodiscard]] Tolerance tolerance() const override {
    return {
        .early = 12 * nmio::kMillisecond, .early_share = 0.1, .late = kPatience, .late_share = 0.5};
  }
  Time now() override {
    const Time at = Tap::now();
    if (last_look_ != 0 && at - last_look_ > kStall) stalled_ = true;
    return last_look_ = at;
  }
  [[nodiscard]] bool stalled() const override { return stalled_; }

  void wait_until(Time time) override {
    do {
      read_eagerly();
      const Time at = now();
      if (at >= time) break;
      std::deque<Came> before;
      before.swap(tap_.came());  // poll() returns early for what is new
      tap_.poll(std::min(time, at + kLook));
      before.insert(before.end(), std::make_move_iterator(tap_.came().begin()),
                    std::make_move_iterator(tap_.came().end()));
      tap_.came() = std::move(before);
    } while (true);
    collect();
  }
  void inject(const std::vector<std::byte>& frame) override {
    tap_.send(frame);
    read_eagerly();
  }
  std::optional<Came> next(Time time) override {
    collect();
    while (tap_.came().empty() && now() < time) {
      read_eagerly();
      tap_.poll(std::min(time, now() + kLook));
    }
    if (tap_.came().empty()) return std::nullopt;
    Came c = std::move(tap_.came().front());
    tap_.came().pop_front();
    return c;
  }
  const Came* peek() override {
    collect();
    return tap_.came().empty() ? nullptr : &tap_.came().front();
  }

  std::string listen() override {
    listener_ = new_socket();
    if (listener_ < 0) return error_text("socket");
    if (::listen(listener_, static_cast<int>(settings_.backlog)) != 0) return error_text("listen");
    return {};
  }
  std::string unlisten() override {
    close_fd(listener_);
    return {};
  }
  std::string connect(std::uint16_t port) override {
    Connection& c = connections_[port];
    close_fd(c.fd);
    c = Connection{.fd = new_socket(), .lazy = c.lazy};
    if (c.fd < 0) return error_text("socket");
    const sockaddr_in peer = address_of(kPeerIp, port);
    if (::connect(c.fd, reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0 &&
        errno != EINPROGRESS) {
      return error_text("connect");
    }
    return {};
  }
  std::string accept(std::uint16_t port) override {
    const Time until = now() + kPatience;
    for (;;) {
      sockaddr_in peer{};
      socklen_t size = sizeof peer;
      const int fd = accept4(listener_, reinterpret_cast<sockaddr*>(&peer), &size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        Connection& c = connections_[ntohs(peer.sin_port)];
        close_fd(c.fd);
        c = Connection{.fd = fd, .lazy = c.lazy};
        if (settings_.delayed_ack) option(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
        if (ntohs(peer.sin_port) == port) return {};
        continue;
      }
      if (connections_[port].fd >= 0) return {};
      if (now() >= until) return "no connection was accepted";
      wait_until(now() + kLook);
    }
  }
  std::string write(std::uint16_t port, const std::string& bytes) override {
    const Connection& c = connections_[port];
    const ssize_t n = ::send(c.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return error_text("send");
    if (static_cast<std::size_t>(n) != bytes.size()) return "only a part was taken";
    return {};
  }
  std::string read(std::uint16_t port, std::size_t count, std::string& bytes) override {
    Connection& c = connections_[port];
    const Time until = now() + kPatience;
    for (;;) {
      read_into(c, c.lazy ? count - std::min(count, c.received.size()) : ~std::size_t{0});
      if (c.received.size() >= count) break;
      if (now() >= until) return std::to_string(c.received.size()) + " bytes came";
      tap_poll_quietly();
    }
    if (!c.lazy && c.received.size() > count) {
      return std::to_string(c.received.size()) + " bytes came";
    }
    bytes = c.received.substr(0, count);
    c.received.erase(0, count);
    return {};
  }
  std::string read_eof(std::uint16_t port) override {
    Connection& c = connections_[port];
    const Time until = now() + kPatience;
    while (!c.eof && now() < until) {
      read_into(c, ~std::size_t{0});
      if (!c.eof) tap_poll_quietly();
    }
    if (!c.received.empty()) return std::to_string(c.received.size()) + " bytes more came";
    return c.eof ? "" : "the peer's FIN was not told";
  }
  void lazy(std::uint16_t port, bool on) override { connections_[port].lazy = on; }
  std::string shutdown(std::uint16_t port) override {
    return ::shutdown(connections_[port].fd, SHUT_WR) == 0 ? "" : error_text("shutdown");
  }
  std::string close(std::uint16_t port) override {
    note_error(connections_[port]);
    close_fd(connections_[port].fd);
    return {};
  }
  std::string abort(std::uint16_t port) override {
    Connection& c = connections_[port];
    option(c.fd, SOL_SOCKET, SO_LINGER, linger{1, 0});
    close_fd(c.fd);
    c.aborted = true;
    return {};
  }
  std::string state(std::uint16_t port) override { return listed_state(port); }
  std::string ended(std::uint16_t port) override {
    Connection& c = connections_[port];
    if (c.aborted) return "aborted";
    read_eagerly();
    note_error(c);
    if (c.error != 0) return name_of_error(c.error);
    const std::string state = listed_state(port);
    return state == "none" || state == "time-wait" ? "normally" : "no";
  }

 private:
  struct Connection {
    int fd = -1;
    std::string received;
    bool lazy = false;
    bool eof = false;
    bool aborted = false;
    int error = 0;
  };

  static void close_fd(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }

  int new_socket() const {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return fd;
    option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    option(fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
    if (settings_.window != 65535) {
      option(fd, SOL_SOCKET, SO_RCVBUF, static_cast<int>(settings_.window));
    }
    option(fd, IPPROTO_TCP, TCP_NODELAY, settings_.nagle ? 0 : 1);
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, settings_.congestion.c_str(),
               static_cast<socklen_t>(settings_.congestion.size()));
    if (settings_.keepalive_idle != 0) {
      option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
      option(fd, IPPROTO_TCP, TCP_KEEPIDLE,
             static_cast<int>(settings_.keepalive_idle / nmio::kSecond));
      option(fd, IPPROTO_TCP, TCP_KEEPINTVL,
             static_cast<int>(settings_.keepalive_interval / nmio::kSecond));
      option(fd, IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(settings_.keepalive_count));
    }
    if (settings_.user_timeout != 0) {
      option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
             static_cast<unsigned>(settings_.user_timeout / nmio::kMillisecond));
    }
    const sockaddr_in own = address_of(kTestedIp, kTestedPort);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) {
      ::close(fd);
      return -1;
    }
    return fd;
  }

  void collect() {
    std::deque<Came> before;
    before.swap(tap_.came());
    tap_.poll(0);
    before.insert(before.end(), std::make_move_iterator(tap_.came().begin()),
                  std::make_move_iterator(tap_.came().end()));
    tap_.came() = std::move(before);
  }
  void tap_poll_quietly() {
    collect();
    timespec wait{0, 500'000};
    nanosleep(&wait, nullptr);
  }

  static void read_into(Connection& c, std::size_t count) {
    char buffer[16384];
    while (c.fd >= 0 && count != 0 && !c.eof) {
      const ssize_t n = recv(c.fd, buffer, std::min(count, sizeof buffer), MSG_DONTWAIT);
      if (n > 0) {
        c.received.append(buffer, static_cast<std::size_t>(n));
        count -= static_cast<std::size_t>(n);
        continue;
      }
      if (n == 0) c.eof = true;
      if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) c.error = errno;
      return;
    }
  }
  void read_eagerly() {
    for (auto& [port, c] : connections_) {
      if (!c.lazy && c.error == 0) read_into(c, ~std::size_t{0});
    }
  }
  static void note_error(Connection& c) {
    int error = 0;
    socklen_t size = sizeof error;
    if (c.error != 0 || c.fd < 0) return;
    if (getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0) c.error = error;
  }

  Settings settings_;
  Tap tap_;
  int listener_ = -1;
  Time last_look_ = 0;
  bool stalled_ = false;
  std::map<std::uint16_t, Connection> connections_;
};

}  // namespace

std::unique_ptr<Target> make_linux_target(const Settings& settings) {
  return std::make_unique<LinuxTarget>(settings);
}

std::string why_no_linux_target() {
  if (geteuid() != 0) return "needs root: it makes network namespaces and TAP devices";
  if (access("/dev/net/tun", R_OK | W_OK) != 0) {
    return "/dev/net/tun cannot be opened: the kernel has no TAP devices";
  }
  const pid_t child = fork();
  if (child < 0) return "cannot fork";
  if (child == 0) {
    try {
      make_linux_target({});
    } catch (const std::exception&) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? "" : "a TAP device in a network namespace cannot be made here";
}

}  // namespace stackrig::tcpip::script
