// SPDX-License-Identifier: Apache-2.0
#include "nmio/afxdp/interface.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "nmio/port.h"
#include "nmio/uri.h"

namespace stackrig::nmio::afxdp {
namespace {

class ControlSocket {
 public:
  explicit ControlSocket(const std::string& name)
      : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0)
      throw SetupError(name + ": no socket to ask the kernel with: " + std::strerror(errno));
    name.copy(request_.ifr_name, sizeof request_.ifr_name - 1);
  }
  ~ControlSocket() { close(fd_); }
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  bool ask(unsigned long what) { return ioctl(fd_, what, &request_) == 0; }
  ifreq& request() { return request_; }

 private:
  int fd_;
  ifreq request_{};
};

std::vector<std::string> all_interfaces() {
  std::vector<std::string> names;
  if (auto* list = if_nameindex()) {
    for (auto* i = list; i->if_index != 0; ++i) names.emplace_back(i->if_name);
    if_freenameindex(list);
  }
  return names;
}

/// Drivers without channels (ENOTSUP) have one queue each way.
void read_channels(ControlSocket& socket, Interface& out) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  socket.request().ifr_data = reinterpret_cast<char*>(&channels);
  if (!socket.ask(SIOCETHTOOL)) return;
  out.receive_queues = std::max(1U, channels.combined_count + channels.rx_count);
  out.transmit_queues = std::max(1U, channels.combined_count + channels.tx_count);
}

}  // namespace

Interface look_up(const std::string& name) {
  Interface i;
  i.name = name;
  i.index = name.size() < IFNAMSIZ ? if_nametoindex(name.c_str()) : 0;
  if (i.index == 0) {
    throw SetupError("afxdp:" + name + ": no such interface; " +
                     nearest_hint(name, all_interfaces()));
  }
  ControlSocket socket(name);
  if (!socket.ask(SIOCGIFHWADDR) || socket.request().ifr_hwaddr.sa_family != ARPHRD_ETHER) {
    throw SetupError("afxdp:" + name + ": is no Ethernet interface; choose one that is");
  }
  std::memcpy(i.mac.data(), socket.request().ifr_hwaddr.sa_data, i.mac.size());
  if (!socket.ask(SIOCGIFFLAGS) || (socket.request().ifr_flags & IFF_UP) == 0) {
    throw SetupError("afxdp:" + name + ": is down; ip link set " + name + " up");
  }
  if (!socket.ask(SIOCGIFMTU)) {
    throw SetupError("afxdp:" + name + ": has no MTU: " + std::strerror(errno));
  }
  i.mtu = static_cast<std::uint32_t>(socket.request().ifr_mtu);
  read_channels(socket, i);
  return i;
}

}  // namespace stackrig::nmio::afxdp
