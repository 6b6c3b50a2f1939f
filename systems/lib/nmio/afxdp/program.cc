// SPDX-License-Identifier: Apache-2.0
#include "nmio/afxdp/program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "nmio/port.h"
#include "port.skel.h"

namespace stackrig::nmio::afxdp {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& what, int error) {
  std::string remedy;
  switch (error) {
    case EPERM:
    case EACCES:
      remedy = "; run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW";
      break;
    case EBUSY:
    case EEXIST:
      remedy = "; another XDP program is attached: ip link set dev " + name + " xdp off";
      break;
    case EOPNOTSUPP:
      remedy = "; the driver has no XDP: use mode=generic";
      break;
    case EINVAL:
    case ERANGE:
    case E2BIG:
      remedy = "; the kernel or driver refuses it as it is (MTU, offloads): use mode=generic";
      break;
    default:
      break;
  }
  throw SetupError("afxdp:" + name + ": " + what + ": " + std::strerror(error) + remedy);
}

int silent(libbpf_print_level, const char*, va_list) {
  return 0;
}

/// A bpf_link: when its last descriptor is closed, the program is detached.
int attach(int program, unsigned interface, std::uint32_t flags) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
  const int fd = bpf_link_create(program, static_cast<int>(interface), BPF_XDP, &options);
  return fd < 0 ? -errno : fd;
}

}  // namespace

struct Program::Skeleton {
  port_bpf* bpf = nullptr;
  ~Skeleton() { port_bpf__destroy(bpf); }
};

Program::Program(const Interface& interface, Mode mode, std::uint32_t first, std::uint32_t count)
    : skeleton_(std::make_unique<Skeleton>()), name_(interface.name), mode_(mode) {
  libbpf_set_print(silent);  // what it would print, we throw
  skeleton_->bpf = port_bpf__open();
  port_bpf* const bpf = skeleton_->bpf;
  if (bpf == nullptr) refuse(name_, "the XDP program cannot be opened", errno);
  bpf->rodata->first_address = first;
  bpf->rodata->address_count = count;
  if (const int error = port_bpf__load(bpf); error != 0) {
    refuse(name_, "the kernel does not take the XDP program", -error);
  }
  const int program = bpf_program__fd(bpf->progs.stackrig_port);
  if (mode_ != Mode::generic) {
    link_fd_ = attach(program, interface.index, XDP_FLAGS_DRV_MODE);
    if (link_fd_ >= 0) {
      mode_ = Mode::native;
      return;
    }
    if (mode_ == Mode::native || link_fd_ == -EBUSY || link_fd_ == -EEXIST) {
      refuse(name_, "the XDP program cannot be attached to the driver", -link_fd_);
    }
  }
  link_fd_ = attach(program, interface.index, XDP_FLAGS_SKB_MODE);
  if (link_fd_ < 0) refuse(name_, "the XDP program cannot be attached", -link_fd_);
  mode_ = Mode::generic;
}

Program::~Program() {
  if (link_fd_ >= 0) close(link_fd_);
}

int Program::sockets_fd() const {
  return bpf_map__fd(skeleton_->bpf->maps.sockets);
}

void Program::add_socket(unsigned queue, int fd) {
  const int map = sockets_fd();
  if (bpf_map_update_elem(map, &queue, &fd, BPF_ANY) != 0) {
    refuse(name_, "queue " + std::to_string(queue) + " cannot be given its socket", errno);
  }
}

}  // namespace stackrig::nmio::afxdp
