// SPDX-License-Identifier: Apache-2.0
#include "dns/test_peers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace stackrig::dns::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNsd = "/usr/sbin/nsd";
constexpr const char* kKnot = "/usr/sbin/knotd";

sockaddr_in loopback(unsigned short port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

/// A port that nobody has at this moment, neither for UDP nor for TCP.
unsigned short free_port() {
  for (int i = 0; i < 100; ++i) {
    sockaddr_in a = loopback(0);
    socklen_t size = sizeof a;
    const int tcp = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int udp = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    auto* p = reinterpret_cast<sockaddr*>(&a);
    const bool both =
        ::bind(tcp, p, size) == 0 && ::getsockname(tcp, p, &size) == 0 && ::bind(udp, p, size) == 0;
    ::close(tcp);
    ::close(udp);
    if (both) return ntohs(a.sin_port);
  }
  throw std::runtime_error("no free port on loopback");
}

/// In a process group of its own, stdout and stderr into `log`.
pid_t start(const std::vector<std::string>& command, const fs::path& folder, const fs::path& log) {
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork failed");
  if (pid > 0) return pid;
  ::setpgid(0, 0);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(out, 1);
  ::dup2(out, 2);
  if (::chdir(folder.c_str()) == 0) ::execvp(argv[0], argv.data());
  ::_exit(127);
}

std::string text_of(const fs::path& file) {
  std::ifstream f(file);
  return {std::istreambuf_iterator<char>(f), {}};
}

std::string without_dot(const std::string& origin) {
  return origin.size() > 1 && origin.back() == '.' ? origin.substr(0, origin.size() - 1) : origin;
}

}  // namespace

bool is_installed(const std::string& program) {
  if (program.find('/') != std::string::npos) return ::access(program.c_str(), X_OK) == 0;
  return ::access(("/usr/bin/" + program).c_str(), X_OK) == 0;
}

std::string run(const fs::path& folder, const std::vector<std::string>& command) {
  const fs::path log = folder / "run.log";
  const pid_t pid = start(command, folder, log);
  int status = 0;
  ::waitpid(pid, &status, 0);
  std::string text = text_of(log);
  if (status != 0) throw std::runtime_error(command[0] + " failed: " + text);
  return text;
}

Peer::Peer(const fs::path& folder, const std::vector<std::string>& command, unsigned short port)
    : folder_(folder), port_(port) {
  pid_ = start(command, folder, folder / "out.log");
  socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in a = loopback(port);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) {
    throw std::runtime_error("no connection on loopback");
  }
  const timeval patience{.tv_sec = 2, .tv_usec = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  wait_until_it_answers();
}

Peer::~Peer() {
  ::close(socket_);
  ::kill(-pid_, SIGTERM);  // NSD forks: the group
  int status = 0;
  for (int i = 0; i < 500 && ::waitpid(pid_, &status, WNOHANG) == 0; ++i) ::usleep(10'000);
  ::kill(-pid_, SIGKILL);
  ::waitpid(pid_, &status, 0);
}

/// Until the port is open, and then until the zones are loaded (REFUSED and SERVFAIL before that).
void Peer::wait_until_it_answers() {
  const Bytes query = testing::ask("ready.test", type::kSoa);
  for (int i = 0; i < 1500; ++i) {
    std::array<std::uint8_t, 512> reply;
    if (::send(socket_, query.data(), query.size(), 0) > 0) {
      const ssize_t n = ::recv(socket_, reply.data(), reply.size(), 0);
      if (n >= 12 && (reply[3] & 15) == 0) return;
    }
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) break;
    ::usleep(20'000);
  }
  std::string logs;
  for (const auto& f : fs::directory_iterator(folder_)) {
    if (f.path().extension() == ".log") logs += text_of(f.path());
  }
  throw std::runtime_error("the peer did not start: " + logs);
}

Bytes Peer::ask(const Bytes& query) {
  for (int i = 0; i < 5; ++i) {
    ::send(socket_, query.data(), query.size(), 0);
    Bytes reply(kMaxMessage);
    while (true) {
      const ssize_t n = ::recv(socket_, reply.data(), reply.size(), 0);
      if (n < 0) break;
      // An answer to an earlier try has another id.
      if (n >= 2 && std::memcmp(reply.data(), query.data(), 2) != 0) continue;
      reply.resize(static_cast<std::size_t>(n));
      return reply;
    }
  }
  throw std::runtime_error("no answer");
}

Bytes Peer::ask_over_tcp(const Bytes& query) {
  const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in a = loopback(port_);
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const Bytes framed = be16(static_cast<unsigned>(query.size())) + query;
  Bytes reply;
  const auto read = [&](std::size_t n) {
    reply.assign(n, 0);
    return ::recv(s, reply.data(), n, MSG_WAITALL) == static_cast<ssize_t>(n);
  };
  const bool answered = ::connect(s, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0 &&
                        ::send(s, framed.data(), framed.size(), MSG_NOSIGNAL) ==
                            static_cast<ssize_t>(framed.size()) &&
                        read(2) && read(static_cast<std::size_t>(reply[0] << 8 | reply[1]));
  ::close(s);
  if (!answered) throw std::runtime_error("no answer over TCP");
  return reply;
}

Bytes Peer::ask_once(const Bytes& query) {
  ::send(socket_, query.data(), query.size(), 0);
  Bytes last = testing::ask("ready.test", type::kSoa);
  last[0] = 0x77;  // another id than that of `query`
  ::send(socket_, last.data(), last.size(), 0);
  Bytes reply(kMaxMessage);
  const ssize_t n = ::recv(socket_, reply.data(), reply.size(), 0);
  if (n < 2) throw std::runtime_error("no answer");
  if (reply[0] == last[0]) return {};
  reply.resize(static_cast<std::size_t>(n));
  Bytes behind(kMaxMessage);
  ::recv(socket_, behind.data(), behind.size(), 0);
  return reply;
}

std::unique_ptr<Peer> Peer::nsd(const fs::path& folder, const std::vector<ZoneFile>& zones) {
  if (!is_installed(kNsd)) return nullptr;
  const unsigned short port = free_port();
  std::ofstream conf(folder / "nsd.conf");
  conf << "server:\n  ip-address: 127.0.0.1@" << port << "\n  server-count: 1\n  username: \"\"\n"
       << "  chroot: \"\"\n  database: \"\"\n  zonesdir: " << folder
       << "\n  pidfile: " << folder / "pid"
       << "\n  xfrdfile: " << folder / "xfrd"
       << "\n  zonelistfile: " << folder / "list"
       << "\n  xfrdir: " << folder << "\n  logfile: " << folder / "nsd.log"
       << "\n  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n"
       << "remote-control:\n  control-enable: no\n";
  for (const ZoneFile& z : zones) {
    conf << "zone:\n  name: \"" << without_dot(z.origin) << "\"\n  zonefile: " << z.path << "\n";
  }
  conf.close();
  return std::unique_ptr<Peer>(new Peer(folder, {kNsd, "-d", "-c", folder / "nsd.conf"}, port));
}

std::unique_ptr<Peer> Peer::knot(const fs::path& folder, const std::vector<ZoneFile>& zones) {
  if (!is_installed(kKnot)) return nullptr;
  const unsigned short port = free_port();
  std::ofstream conf(folder / "knot.conf");
  conf << "server:\n  rundir: " << folder / "run"
       << "\n  listen: 127.0.0.1@" << port
       << "\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
       << "database:\n  storage: " << folder / "db"
       << "\n"
       << "log:\n  - target: " << folder / "knot.log"
       << "\n    any: info\n"
       << "template:\n  - id: default\n    zonefile-sync: -1\n    journal-content: none\n"
       << "    semantic-checks: off\nzone:\n";
  for (const ZoneFile& z : zones) {
    conf << "  - domain: \"" << z.origin << "\"\n    file: " << z.path << "\n";
  }
  conf.close();
  return std::unique_ptr<Peer>(new Peer(folder, {kKnot, "-c", folder / "knot.conf"}, port));
}

}  // namespace stackrig::dns::testing
