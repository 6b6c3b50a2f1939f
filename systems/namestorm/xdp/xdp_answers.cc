// SPDX-License-Identifier: Apache-2.0
#include "xdp/xdp_answers.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

#include "answers.skel.h"
#include "nmio/afxdp/port.h"
#include "xdp/layout.h"

namespace stackrig::namestorm {
namespace {

[[noreturn]] void refuse(const std::string& what, int error) {
  throw nmio::SetupError("--xdp: " + what + ": " + std::strerror(error) +
                         "; run as root on Linux 5.18 or newer, or with --xdp off");
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

struct XdpAnswers::Skeleton {
  answers_bpf* bpf = nullptr;
  ~Skeleton() { answers_bpf__destroy(bpf); }
};

namespace {

nmio::afxdp::XdpHook hook_of(const nmio::Port& port) {
  const auto hook = nmio::afxdp::xdp_hook(port);
  if (hook) return *hook;
  throw nmio::SetupError("--xdp: port '" + port.describe() +
                         "' has no XDP program; give an afxdp port, or --xdp off");
}

XdpConfig config_of(const nmio::Port& port, wire::Ipv4Cidr address, std::uint16_t dns_port) {
  const nmio::afxdp::XdpHook hook = hook_of(port);
  XdpConfig c;
  c.sockets_fd = hook.sockets_fd;
  c.first_address = hook.first_address;
  c.address_count = hook.address_count;
  c.broadcast = address.prefix >= 31 ? 0 : address.address.value | ~address.mask();
  c.dns_port = dns_port;
  std::copy(port.mac().begin(), port.mac().end(), c.mac.bytes.begin());
  return c;
}

}  // namespace

XdpAnswers::XdpAnswers(const XdpConfig& config) : skeleton_(std::make_unique<Skeleton>()) {
  skeleton_->bpf = answers_bpf__open();
  answers_bpf* const bpf = skeleton_->bpf;
  if (bpf == nullptr) refuse("the XDP program cannot be opened", errno);
  bpf->rodata->first_address = config.first_address;
  bpf->rodata->address_count = config.address_count;
  bpf->rodata->dns_port = config.dns_port;
  bpf->rodata->broadcast = config.broadcast;
  std::copy(config.mac.bytes.begin(), config.mac.bytes.end(),
            const_cast<std::uint8_t*>(bpf->rodata->own_mac));
  if (const int error = bpf_map__reuse_fd(bpf->maps.sockets, config.sockets_fd); error != 0)
    refuse("the port's sockets cannot be shared", -error);
  if (const int error = answers_bpf__load(bpf); error != 0)
    refuse("the kernel does not take the XDP program", -error);
}

XdpAnswers::XdpAnswers(const nmio::Port& port, wire::Ipv4Cidr address, std::uint16_t dns_port)
    : XdpAnswers(config_of(port, address, dns_port)) {
  if (bpf_link_update(hook_of(port).link_fd, program_fd(), nullptr) != 0)
    refuse("the XDP program cannot take the place of the port's", errno);
}

XdpAnswers::~XdpAnswers() = default;

int XdpAnswers::program_fd() const {
  return bpf_program__fd(skeleton_->bpf->progs.namestorm_answers);
}

void XdpAnswers::exchange(const AnswersMap& map) {
  const std::uint32_t zero = 0;
  const int outer = bpf_map__fd(skeleton_->bpf->maps.current);
  const int fd = map.fd();
  // Without a map nothing of an earlier edition may stay.
  const int result =
      fd >= 0 ? bpf_map_update_elem(outer, &zero, &fd, BPF_ANY) : bpf_map_delete_elem(outer, &zero);
  if (result != 0 && !(fd < 0 && errno == ENOENT)) fail("--xdp: the map of the answers");
}

std::uint64_t XdpAnswers::answers_sent() const {
  std::vector<std::uint64_t> by_core(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  const std::uint32_t which = ANSWERS_SENT;
  const int map = bpf_map__fd(skeleton_->bpf->maps.counters);
  if (bpf_map_lookup_elem(map, &which, by_core.data()) != 0) return 0;
  std::uint64_t sum = 0;
  for (const std::uint64_t n : by_core) sum += n;
  return sum;
}

}  // namespace stackrig::namestorm
