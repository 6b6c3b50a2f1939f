// SPDX-License-Identifier: Apache-2.0
#include "nmio/shm/session.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace stackrig::nmio::shm {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// The same file, opened read-only: what the peer gets cannot be mapped for writing.
Fd read_only(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  Fd copy(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!copy.is_open()) fail("cannot open shared memory read-only");
  return copy;
}

/// Refuses memory that its owner could take away under us (SIGBUS), or that is smaller than said.
void check_memory(int fd, std::uint64_t bytes) {
  struct stat about {};
  if (fstat(fd, &about) != 0) fail("cannot look at the peer's memory");
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 ||
      static_cast<std::uint64_t>(about.st_size) < bytes) {
    throw std::runtime_error("the peer's memory is smaller than it says, or may shrink");
  }
}

Fd make_region(std::size_t bytes) {
  Fd fd(memfd_create("stackrig-softnic", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.is_open() || ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    fail("cannot make shared memory");
  }
  return fd;
}

void send_hello(int socket, const Hello& hello) {
  if (send(socket, &hello, sizeof hello, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof hello)) {
    fail("the peer went away in the handshake");
  }
}

Hello receive_hello(int socket, const Hello& own) {
  Hello h;
  const ssize_t n = recv(socket, &h, sizeof h, 0);
  if (n < 0) fail("the peer said nothing in the handshake");
  if (n != static_cast<ssize_t>(sizeof h) || h.magic != Hello::kMagic) {
    throw std::runtime_error("what is at the other end is no soft NIC of this version");
  }
  if (h.busy != 0)
    throw std::runtime_error(
        "another client is connected to the server; stop it or use another server");
  const bool can_be = h.side != own.side && h.queues >= 1 && h.queues <= Hello::kMaxQueues &&
                      std::has_single_bit(h.ring) && h.ring <= Hello::kMaxRing &&
                      h.memory_bytes <= Descriptor::kMaxOffset;
  if (!can_be) throw std::runtime_error("the peer's parameters cannot be");
  return h;
}

/// One byte, and the file descriptors: region, memories, wake-up events.
void send_fds(int socket, std::span<const int> fds) {
  std::byte payload{1};
  iovec io = {&payload, 1};
  std::vector<std::byte> control(CMSG_SPACE(fds.size_bytes()));
  msghdr m{};
  m.msg_iov = &io;
  m.msg_iovlen = 1;
  m.msg_control = control.data();
  m.msg_controllen = control.size();
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  if (sendmsg(socket, &m, MSG_NOSIGNAL) != 1) fail("the peer went away in the handshake");
}

std::vector<Fd> receive_fds(int socket, std::size_t expected) {
  std::byte payload{};
  iovec io = {&payload, 1};
  std::vector<std::byte> control(CMSG_SPACE(expected * sizeof(int)));
  msghdr m{};
  m.msg_iov = &io;
  m.msg_iovlen = 1;
  m.msg_control = control.data();
  m.msg_controllen = control.size();
  if (recvmsg(socket, &m, MSG_CMSG_CLOEXEC) < 0) fail("the peer went away in the handshake");
  std::vector<Fd> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::vector<int> raw(n);
    std::memcpy(raw.data(), CMSG_DATA(c), n * sizeof(int));
    for (const int fd : raw) fds.emplace_back(fd);
  }
  if (fds.size() != expected) throw std::runtime_error("the peer did not hand over its memory");
  return fds;
}

/// The speed of the link is that of its slower end.
std::uint64_t slower(std::uint64_t a, std::uint64_t b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}
Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.release();
  }
  return *this;
}
int Fd::release() {
  return std::exchange(fd_, -1);
}

Mapping::Mapping(int fd, std::size_t bytes, bool writable) : bytes_(bytes) {
  const int rights = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void* p = mmap(nullptr, bytes, rights, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (p == MAP_FAILED) fail("cannot map shared memory");
  base_ = static_cast<std::byte*>(p);
}
Mapping::~Mapping() {
  if (base_ != nullptr) munmap(base_, bytes_);
}
Mapping::Mapping(Mapping&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)), bytes_(other.bytes_) {
}

std::shared_ptr<Session> make_session(const Local& local, Fd socket) {
  const int s = socket.get();
  send_hello(s, local.hello);
  const Hello peer = receive_hello(s, local.hello);
  const RegionLayout own_layout(local.hello.queues, peer.queues, peer.ring);
  const RegionLayout peer_layout(peer.queues, local.hello.queues, local.hello.ring);
  if (own_layout.bytes() > Hello::kMaxRegion) {
    throw std::runtime_error(
        "the peer's queues and rings are too large; ask for fewer or shorter ones");
  }

  const Fd region = make_region(own_layout.bytes());
  std::vector<Fd> shown;
  shown.push_back(read_only(region.get()));
  for (const PacketMemory* m : local.memories) shown.push_back(read_only(m->fd()));
  std::vector<int> raw;
  raw.reserve(shown.size() + local.wake_fds.size());
  for (const Fd& fd : shown) raw.push_back(fd.get());
  raw.insert(raw.end(), local.wake_fds.begin(), local.wake_fds.end());
  send_fds(s, raw);

  std::vector<Fd> fds = receive_fds(s, 1 + 2 * std::size_t{peer.queues});
  check_memory(fds[0].get(), peer_layout.bytes());
  std::vector<Mapping> memories;
  for (unsigned i = 0; i < peer.queues; ++i) {
    check_memory(fds[1 + i].get(), peer.memory_bytes);
    memories.emplace_back(fds[1 + i].get(), peer.memory_bytes, false);
  }
  std::vector<Fd> wake;
  for (unsigned i = 0; i < peer.queues; ++i) {
    // A wake-up must never block us, whatever the peer has done to its counter.
    const int fd = fds[1 + peer.queues + i].get();
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    wake.push_back(std::move(fds[1 + peer.queues + i]));
  }
  return std::make_shared<Session>(
      Session{.peer = peer,
              .own_layout = own_layout,
              .peer_layout = peer_layout,
              .own = Mapping(region.get(), own_layout.bytes(), true),
              .theirs = Mapping(fds[0].get(), peer_layout.bytes(), false),
              .peer_memory = std::move(memories),
              .peer_wake = std::move(wake),
              .socket = std::move(socket),
              .rate = slower(local.hello.rate, peer.rate)});
}

void refuse_busy(const Local& local, Fd socket) {
  Hello hello = local.hello;
  // Its hello is read first: to close a socket with something unread resets it, and our answer is
  // lost.
  Hello theirs;
  (void)!recv(socket.get(), &theirs, sizeof theirs, 0);
  hello.busy = 1;
  // A client that has gone already need not be told.
  (void)send(socket.get(), &hello, sizeof hello, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace stackrig::nmio::shm
