// SPDX-License-Identifier: Apache-2.0
// The kernel's TCP sockets, as servers that run on them open them.
#pragma once

#include <netinet/in.h>
#include <unistd.h>

#include <utility>

#include "wire/address.h"

namespace stackrig::sockets {

/// A file descriptor that is closed with its owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;

  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

sockaddr_in to_sockaddr(wire::Endpoint e);

/// A listening socket; SO_REUSEADDR, so that a restart finds its port. Throws runtime::UsageError
/// where the address is not this machine's, or the port is taken; `word` is what gave it.
Fd listen_on(wire::Endpoint at, bool non_blocking, const char* word = "--listen");

/// Where a socket is bound: the port that was taken where 0 was asked for.
wire::Endpoint local_of(int fd);

/// A message leaves when it is written, not when the last one is acknowledged (RFC 9293 3.7.4).
void set_no_delay(int fd);

}  // namespace stackrig::sockets
