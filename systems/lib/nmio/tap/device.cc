// SPDX-License-Identifier: Apache-2.0
#include "nmio/tap/device.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "nmio/port.h"
#include "nmio/tap/vnet.h"

namespace stackrig::nmio::tap {
namespace {

constexpr const char* kControl = "/dev/net/tun";

[[noreturn]] void refuse(const std::string& name, const std::string& what, int error) {
  std::string remedy;
  switch (error) {
    case EPERM:
    case EACCES:
      remedy = "; run as root, or with CAP_NET_ADMIN";
      break;
    case ENOENT:
    case ENODEV:
    case ENXIO:
      remedy = "; the kernel has no TAP devices here: modprobe tun";
      break;
    case EBUSY:
      remedy = "; another process has it: end that, or choose another name";
      break;
    case EINVAL:
      remedy =
          "; an interface of that name is there and is no TAP device with as many queues: "
          "choose another name, or ip link delete " +
          name;
      break;
    default:
      break;
  }
  throw SetupError("tap:" + name + ": " + what + ": " + std::strerror(error) + remedy);
}

/// Requests about an interface, over a socket of this namespace.
class Control {
 public:
  explicit Control(const std::string& name)
      : name_(name), fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0) refuse(name, "no socket to ask the kernel with", errno);
    name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  }
  ~Control() { close(fd_); }
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  void ask(unsigned long what, const char* meaning) {
    if (ioctl(fd_, what, &request) != 0) refuse(name_, meaning, errno);
  }
  void set_address(unsigned long what, std::uint32_t address, const char* meaning) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(address);
    std::memcpy(&request.ifr_addr, &in, sizeof in);
    ask(what, meaning);
  }
  ifreq request{};

 private:
  const std::string& name_;
  int fd_;
};

/// 02: locally administered; the rest names the wire, as the soft NIC's does.
std::array<std::uint8_t, 6> mac_of(const std::string& name) {
  const std::uint64_t h = std::hash<std::string>{}(name);
  std::array<std::uint8_t, 6> mac{0x02};
  for (unsigned i = 0; i < 5; ++i) mac[1 + i] = static_cast<std::uint8_t>(h >> (8 * i));
  return mac;
}

}  // namespace

Device::Device(const DeviceConfig& config) : mac_(mac_of(config.name)) {
  if (config.name.size() >= IFNAMSIZ) {
    throw SetupError("tap:" + config.name + ": the name is too long; at most " +
                     std::to_string(IFNAMSIZ - 1) + " characters");
  }
  try {
    for (unsigned i = 0; i < config.queues; ++i) open_queue(config);
    bring_up(config);
  } catch (...) {
    close_all();
    throw;
  }
}

Device::~Device() {
  close_all();
}

void Device::close_all() {
  for (const int fd : fds_) close(fd);
  fds_.clear();
}

void Device::open_queue(const DeviceConfig& config) {
  const int fd = open(kControl, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) refuse(config.name, std::string(kControl) + " cannot be opened", errno);
  fds_.push_back(fd);
  ifreq request{};
  config.name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (config.queues > 1) request.ifr_flags |= IFF_MULTI_QUEUE;
  if (ioctl(fd, TUNSETIFF, &request) != 0) {
    refuse(config.name, "the TAP device cannot be had", errno);
  }
  const int header = sizeof(VnetHeader);
  if (ioctl(fd, TUNSETVNETHDRSZ, &header) != 0) {
    refuse(config.name, "the device takes no virtio-net headers", errno);
  }
  unsigned long offloads = config.checksum ? TUN_F_CSUM : 0;
  if (config.large_receive) offloads |= TUN_F_TSO4 | TUN_F_TSO_ECN;
  if (ioctl(fd, TUNSETOFFLOAD, offloads) != 0) {
    refuse(config.name, "the device does not take our offloads", errno);
  }
}

void Device::bring_up(const DeviceConfig& config) {
  Control control(config.name);
  if (config.mtu != 0) {
    control.request.ifr_mtu = static_cast<int>(config.mtu);
    control.ask(SIOCSIFMTU, "the MTU cannot be set");
  }
  control.ask(SIOCGIFMTU, "has no MTU");
  mtu_ = static_cast<std::uint32_t>(control.request.ifr_mtu);
  if (config.kernel_address != 0) {
    control.set_address(SIOCSIFADDR, config.kernel_address, "the kernel's address cannot be set");
    control.set_address(SIOCSIFNETMASK, ~std::uint32_t{0} << (32 - config.kernel_prefix),
                        "the kernel's prefix cannot be set");
  }
  control.ask(SIOCGIFFLAGS, "has no flags");
  control.request.ifr_flags |= IFF_UP;
  control.ask(SIOCSIFFLAGS, "cannot be brought up");
}

}  // namespace stackrig::nmio::tap
