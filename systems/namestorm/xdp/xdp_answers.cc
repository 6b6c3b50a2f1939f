// SPDX-License-Identifier: Apache-2.0
#include "xdp/xdp_answers.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

#include "answers.skel.h"
#include "dns/message.h"
#include "nmio/afxdp/port.h"
#include "wire/checksum.h"
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

XdpAnswers::XdpAnswers(const nmio::Port& port, wire::Ipv4Cidr address, std::uint16_t dns_port)
    : skeleton_(std::make_unique<Skeleton>()) {
  const auto hook = nmio::afxdp::xdp_hook(port);
  if (!hook) {
    throw nmio::SetupError("--xdp: port '" + port.describe() +
                           "' has no XDP program; give an afxdp port, or --xdp off");
  }
  skeleton_->bpf = answers_bpf__open();
  answers_bpf* const bpf = skeleton_->bpf;
  if (bpf == nullptr) refuse("the XDP program cannot be opened", errno);
  bpf->rodata->first_address = hook->first_address;
  bpf->rodata->address_count = hook->address_count;
  bpf->rodata->dns_port = dns_port;
  bpf->rodata->broadcast = address.prefix >= 31 ? 0 : address.address.value | ~address.mask();
  std::copy(port.mac().begin(), port.mac().end(), const_cast<std::uint8_t*>(bpf->rodata->own_mac));
  if (const int error = bpf_map__reuse_fd(bpf->maps.sockets, hook->sockets_fd); error != 0)
    refuse("the port's sockets cannot be shared", -error);
  if (const int error = answers_bpf__load(bpf); error != 0)
    refuse("the kernel does not take the XDP program", -error);
  const int program = bpf_program__fd(bpf->progs.namestorm_answers);
  if (bpf_link_update(hook->link_fd, program, nullptr) != 0)
    refuse("the XDP program cannot take the place of the port's", errno);
}

XdpAnswers::~XdpAnswers() = default;

int XdpAnswers::make_map(std::size_t answers) {
  adding_ = 0;
  const auto most = static_cast<std::uint32_t>(std::max<std::size_t>(answers, 1));
  const int map = bpf_map_create(BPF_MAP_TYPE_HASH, "answers", sizeof(answer_key),
                                 sizeof(answer_value), most, nullptr);
  if (map < 0) fail("--xdp: a map for the answers");
  return map;
}

/// Puts an answer into the map, where it fits.
void XdpAnswers::add(int map, const dns::CutAnswer& cut) {
  const std::uint8_t* payload = cut.payload();
  const std::size_t tail_at = dns::Header::kSize + cut.qname_len + 4U;
  const std::size_t tail_len = cut.length - tail_at;
  if (cut.qname_len > ANSWERS_MOST_NAME || tail_len < 1 || tail_len > ANSWERS_MOST_TAIL) return;
  answer_key key{};
  std::memcpy(key.name, payload + dns::Header::kSize, cut.qname_len);
  key.length = cut.qname_len;
  std::memcpy(key.type, payload + dns::Header::kSize + cut.qname_len, sizeof key.type);
  const auto& header = dns::Header::at(payload);
  answer_value value{};
  value.flags = header.flags.raw();
  value.answers = header.answers.raw();
  value.authorities = header.authorities.raw();
  value.additionals = cut.additionals;
  value.tail_len = static_cast<std::uint16_t>(tail_len);
  value.tail_sum = wire::fold(wire::sum(payload + tail_at, tail_len));
  std::memcpy(value.tail, payload + tail_at, tail_len);
  // A question may come twice, where two zones have its name: the first answer is the right one.
  if (bpf_map_update_elem(map, &key, &value, BPF_NOEXIST) == 0) {
    ++adding_;
  } else if (errno != EEXIST) {
    const int error = errno;
    ::close(map);
    errno = error;
    fail("--xdp: an answer for the map");
  }
}

void XdpAnswers::exchange(int map) {
  const std::uint32_t zero = 0;
  const int outer = bpf_map__fd(skeleton_->bpf->maps.current);
  const int result = bpf_map_update_elem(outer, &zero, &map, BPF_ANY);
  const int error = errno;
  ::close(map);  // the outer map holds it
  errno = error;
  if (result != 0) fail("--xdp: the map of the answers");
  size_ = adding_;
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
