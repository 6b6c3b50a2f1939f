// SPDX-License-Identifier: Apache-2.0
// Opening sockets, with reasons where that fails.
#include "sockets/sockets.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "runtime/errors.h"

namespace stackrig::sockets {
namespace {

constexpr int kBacklog = 4096;

std::string remedy_for(int error) {
  switch (error) {
    case EADDRINUSE:
      return "stop what listens there, or choose another port";
    case EADDRNOTAVAIL:
      return "choose an address of this machine (ip address shows them)";
    case EACCES:
      return "ports below 1024 need root (CAP_NET_BIND_SERVICE)";
    default:
      return "see --help";
  }
}

}  // namespace

sockaddr_in to_sockaddr(wire::Endpoint e) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(e.address.value);
  a.sin_port = htons(e.port);
  return a;
}

Fd listen_on(wire::Endpoint at, bool non_blocking, const char* word) {
  const int flags = SOCK_STREAM | SOCK_CLOEXEC | (non_blocking ? SOCK_NONBLOCK : 0);
  Fd fd(::socket(AF_INET, flags, 0));
  const sockaddr_in a = to_sockaddr(at);
  const int on = 1;
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    const int error = errno;
    throw runtime::UsageError(std::string(word) + " " + wire::to_string(at) + ": " +
                              std::strerror(error) + "; " + remedy_for(error));
  }
  return fd;
}

wire::Endpoint local_of(int fd) {
  sockaddr_in a{};
  socklen_t len = sizeof a;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &len);
  return {{ntohl(a.sin_addr.s_addr)}, ntohs(a.sin_port)};
}

void set_no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace stackrig::sockets
