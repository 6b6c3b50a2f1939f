// SPDX-License-Identifier: Apache-2.0
// A veth pair between two network namespaces without names, for tests: they are gone with the
// process, whatever happens to it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "nmio/port.h"

namespace stackrig::nmio::test {

class VethWire {
  template <class F>
  auto in(int ns, F f) {
    struct Back {
      int home;
      ~Back() { enter(home); }
    } back{home_};
    enter(ns);
    return f();
  }

 public:
  /// `queues` each way at both ends: va in the first namespace, vb in the second.
  explicit VethWire(unsigned queues = 1, unsigned mtu = 1500) : home_(open_own()) {
    enter_new(a_);
    enter_new(b_);
    enter(a_);
    const std::string q =
        " numrxqueues " + std::to_string(queues) + " numtxqueues " + std::to_string(queues) + " ";
    run("ip link add va mtu " + std::to_string(mtu) + q + "type veth peer name vb mtu " +
        std::to_string(mtu) + q + " && ip link set vb netns /proc/" + std::to_string(getpid()) +
        "/fd/" + std::to_string(b_) + " && ip addr add 10.99.0.1/24 dev va && ip link set va up");
    enter(b_);
    run("ip addr add 10.99.0.2/24 dev vb && ip link set vb up");
    run("ethtool -K vb tx off >/dev/null");
    enter(a_);
    run("ethtool -K va tx off >/dev/null");
    enter(home_);
  }
  ~VethWire() {
    enter(home_);
    for (const int fd : {a_, b_, home_}) close(fd);
  }
  VethWire(const VethWire&) = delete;
  VethWire& operator=(const VethWire&) = delete;

  /// Runs `f` in a namespace; sockets and ports that it opens stay there.
  template <class F>
  auto in_a(F f) {
    return in(a_, f);
  }
  template <class F>
  auto in_b(F f) {
    return in(b_, f);
  }
  std::unique_ptr<Port> open_a(const std::string& keys) {
    return in_a([&] { return Port::open("afxdp:va?" + keys); });
  }
  std::unique_ptr<Port> open_b(const std::string& keys) {
    return in_b([&] { return Port::open("afxdp:vb?" + keys); });
  }
  static void run(const std::string& command) {
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
  }

 private:
  static int open_own() { return open("/proc/thread-self/ns/net", O_RDONLY); }  // `ip` inherits it
  static void enter(int ns) {
    if (setns(ns, CLONE_NEWNET) != 0) abort();
  }
  static void enter_new(int& ns) {
    if (unshare(CLONE_NEWNET) != 0) abort();
    ns = open_own();
  }
  int home_;
  int a_ = -1;
  int b_ = -1;
};

#define SKIP_UNLESS_ROOT() \
  if (geteuid() != 0)      \
  GTEST_SKIP() << "needs root: it makes network namespaces and attaches XDP programs"

}  // namespace stackrig::nmio::test
