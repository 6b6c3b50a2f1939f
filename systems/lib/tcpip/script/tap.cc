// SPDX-License-Identifier: Apache-2.0
#include "tcpip/script/tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <system_error>

#include "tcpip/script/flow.h"

namespace stackrig::tcpip::script {
namespace {

constexpr const char* kDevice = "tcs0";

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

Time clock_of(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<Time>(t.tv_sec) * nmio::kSecond + static_cast<Time>(t.tv_nsec);
}

void set(const std::string& name, const std::string& value, bool needed = true) {
  std::ofstream out("/proc/sys/net/" + name);
  out << value << std::flush;
  if (!out && needed) throw std::runtime_error("sysctl net/" + name + " cannot be set");
}

// What the kernel has by default and RFC 9293 does not, and so would make every script differ, is
// off: F-RTO, SACKs that are held back, ACKs that are rate-limited per connection, segments that
// wait for others (cork, TSO).
void set_kernel(const Settings& s) {
  set("ipv6/conf/all/disable_ipv6", "1", false);
  set("ipv4/tcp_timestamps", s.timestamps ? "1" : "0");
  set("ipv4/tcp_window_scaling", s.scaling ? "1" : "0");
  set("ipv4/tcp_sack", s.sack ? "1" : "0");
  set("ipv4/tcp_ecn", s.ecn ? "1" : "0");
  set("ipv4/tcp_retries2", std::to_string(s.retries));
  set("ipv4/tcp_syn_retries", std::to_string(std::max(1U, s.syn_retries)));
  set("ipv4/tcp_synack_retries", std::to_string(s.syn_retries));
  set("ipv4/tcp_syn_linear_timeouts", "0", false);
  set("ipv4/tcp_fin_timeout", std::to_string(std::max<Time>(1, s.fin_timeout / nmio::kSecond)));
  set("ipv4/tcp_mtu_probing", s.mtu_probing ? "1" : "0");
  set("ipv4/tcp_no_metrics_save", "1");
  set("ipv4/tcp_frto", "0");
  set("ipv4/tcp_comp_sack_nr", "0", false);
  set("ipv4/tcp_invalid_ratelimit", "0");
  set("ipv4/tcp_autocorking", "0", false);
  set("ipv4/tcp_tso_win_divisor", "100", false);
}

// Addresses and routes by one run of ip(8).
void set_addresses(const Settings& s) {
  const std::string device = kDevice;
  std::FILE* ip = popen("ip -batch - >/dev/null", "we");
  if (ip == nullptr) fail("ip");
  const std::string route = "10.0.0.0/24 dev " + device + " proto kernel scope link src " +
                            to_string(kTestedIp) + " initcwnd " + std::to_string(s.initial_window) +
                            (s.delayed_ack ? "" : " quickack 1");
  const std::string text =
      "link set lo up\nlink set " + device + " address " + to_string(kTestedMac) + " mtu " +
      std::to_string(s.mtu) + "\naddr add " + to_string(kTestedIp) + "/24 dev " + device +
      "\nlink set " + device + " up\nneigh replace " + to_string(kPeerIp) + " lladdr " +
      to_string(kPeerMac) + " dev " + device + " nud permanent\nroute change " + route + "\n";
  std::fwrite(text.data(), 1, text.size(), ip);
  if (pclose(ip) != 0) throw std::runtime_error("ip -batch failed: is iproute2 installed?");
}

}  // namespace

Tap::Tap(const Settings& settings) {
  if (unshare(CLONE_NEWNET) != 0) fail("a network namespace of its own");
  tap_ = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tap_ < 0) fail("/dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, kDevice, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (ioctl(tap_, TUNSETIFF, &request) != 0) fail("a TAP device");
  set_kernel(settings);
  set_addresses(settings);

  capture_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
  if (capture_ < 0) fail("a packet socket");
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_ALL);
  where.sll_ifindex = static_cast<int>(if_nametoindex(kDevice));
  if (bind(capture_, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) {
    fail("a packet socket on the TAP device");
  }
  const int on = 1;
  if (setsockopt(capture_, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) fail("SO_TIMESTAMPNS");
}

Tap::~Tap() {
  if (capture_ >= 0) ::close(capture_);
  if (tap_ >= 0) ::close(tap_);
}

Time Tap::now() {
  return clock_of(CLOCK_MONOTONIC);
}

void Tap::send(const std::vector<std::byte>& frame) const {
  const ssize_t n = ::write(tap_, frame.data(), frame.size());
  if (n != static_cast<ssize_t>(frame.size())) fail("sending through the TAP device");
}

// False where nothing is there.
bool Tap::receive_one() {
  std::vector<std::byte> frame(65536 + 64);
  char control[128];
  sockaddr_ll from{};
  iovec io{frame.data(), frame.size()};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = recvmsg(capture_, &message, 0);
  if (n < 0) return false;
  frame.resize(static_cast<std::size_t>(n));
  Time at = now();
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec t{};
    std::memcpy(&t, CMSG_DATA(c), sizeof t);
    const Time sent = static_cast<Time>(t.tv_sec) * nmio::kSecond + static_cast<Time>(t.tv_nsec);
    at = sent + clock_of(CLOCK_MONOTONIC) - clock_of(CLOCK_REALTIME);
  }
  const bool ip = frame.size() > 34 && frame[12] == std::byte{0x08} && frame[13] == std::byte{0};
  const bool known = ip && (frame[23] == std::byte{6} || frame[23] == std::byte{1});
  if (from.sll_pkttype == PACKET_OUTGOING && known) came_.push_back({at, std::move(frame)});
  return true;
}

void Tap::poll(Time time) {
  for (;;) {
    char unused[2048];
    while (::read(tap_, unused, sizeof unused) > 0) {
    }
    while (receive_one()) {
    }
    const Time at = now();
    if (!came_.empty() || at >= time) return;
    pollfd fds[] = {{capture_, POLLIN, 0}, {tap_, POLLIN, 0}};
    const Time left = std::min<Time>(time - at, nmio::kSecond);
    const timespec wait{static_cast<time_t>(left / nmio::kSecond),
                        static_cast<long>(left % nmio::kSecond)};
    ppoll(fds, 2, &wait, nullptr);
  }
}

}  // namespace stackrig::tcpip::script
