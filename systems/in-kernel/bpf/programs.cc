// SPDX-License-Identifier: Apache-2.0
#include "programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

#include "in_kernel.skel.h"
#include "runtime/errors.h"

namespace stackrig::in_kernel {
namespace {

[[noreturn]] void refuse(const char* what, int error) {
  throw runtime::UsageError(std::string("BPF: ") + what + ": " + std::strerror(error) +
                            "; run as root on Linux 6.14 or newer with CONFIG_BPF_STREAM_PARSER "
                            "and CONFIG_DEBUG_INFO_BTF");
}

template <class T>
std::size_t table_bytes(std::uint32_t count) {
  constexpr std::size_t kPage = 4096;  // mapped in whole pages
  return (count * sizeof(T) + kPage - 1) / kPage * kPage;
}

template <class T>
T* map_table(const bpf_map* map, std::uint32_t count) {
  void* at = ::mmap(nullptr, table_bytes<T>(count), PROT_READ | PROT_WRITE, MAP_SHARED,
                    bpf_map__fd(map), 0);
  if (at == MAP_FAILED) refuse("a table cannot be mapped", errno);
  return static_cast<T*>(at);
}

std::uint64_t load(const __u64& value) {
  return std::atomic_ref<__u64>(const_cast<__u64&>(value)).load(std::memory_order_acquire);
}

}  // namespace

struct Programs::Skeleton {
  in_kernel_bpf* bpf = nullptr;
  ~Skeleton() { in_kernel_bpf__destroy(bpf); }
};

Programs::Programs(Service service, std::uint32_t clients, std::uint32_t backends)
    : skeleton_(std::make_unique<Skeleton>()),
      flow_count_(clients),
      outlet_count_(service == Service::echo ? clients : backends) {
  skeleton_->bpf = in_kernel_bpf__open();
  in_kernel_bpf* const bpf = skeleton_->bpf;
  if (bpf == nullptr) refuse("the programs cannot be opened", errno);
  bpf->rodata->redirect_to_clients = service == Service::echo ? 1 : 0;
  bpf_map__set_max_entries(bpf->maps.clients, clients);
  bpf_map__set_max_entries(bpf->maps.slots, clients);
  bpf_map__set_max_entries(bpf->maps.flows, flow_count_);
  bpf_map__set_max_entries(bpf->maps.outlets, outlet_count_);
  bpf_map__set_max_entries(bpf->maps.backends, backends);
  bpf_map__set_max_entries(bpf->maps.routes, backends);
  bpf_program__set_autoload(bpf->progs.echo_parser, service == Service::echo);
  bpf_program__set_autoload(bpf->progs.echo_verdict, service == Service::echo);
  bpf_program__set_autoload(bpf->progs.forward_parser, service == Service::forward);
  bpf_program__set_autoload(bpf->progs.forward_verdict, service == Service::forward);
  if (const int error = in_kernel_bpf__load(bpf); error != 0)
    refuse("the kernel does not take the programs", -error);
  map_tables();
  attach(service);
  open_detour();
}

Programs::~Programs() {
  if (flows_ != nullptr) ::munmap(flows_, table_bytes<flow>(flow_count_));
  if (outlets_ != nullptr) ::munmap(outlets_, table_bytes<outlet>(outlet_count_));
}

void Programs::map_tables() {
  flows_ = map_table<flow>(skeleton_->bpf->maps.flows, flow_count_);
  outlets_ = map_table<outlet>(skeleton_->bpf->maps.outlets, outlet_count_);
}

void Programs::attach(Service service) {
  const auto& progs = skeleton_->bpf->progs;
  const bool echo = service == Service::echo;
  const int clients = bpf_map__fd(skeleton_->bpf->maps.clients);
  const int parser = bpf_program__fd(echo ? progs.echo_parser : progs.forward_parser);
  const int verdict = bpf_program__fd(echo ? progs.echo_verdict : progs.forward_verdict);
  if (bpf_prog_attach(parser, clients, BPF_SK_SKB_STREAM_PARSER, 0) != 0 ||
      bpf_prog_attach(verdict, clients, BPF_SK_SKB_STREAM_VERDICT, 0) != 0 ||
      bpf_prog_attach(bpf_program__fd(progs.detour_verdict),
                      bpf_map__fd(skeleton_->bpf->maps.detour), BPF_SK_SKB_VERDICT, 0) != 0) {
    refuse("a program cannot be attached", errno);
  }
}

/// Datagrams: a frame stays whole, and the verdict on it has run when send() returns.
void Programs::open_detour() {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  detour_in_ = Fd(pair[0]);
  detour_out_ = Fd(pair[1]);
  // What is on its way counts here until TCP has it.
  set_buffers(pair[0], {.receive = 4096, .send = 16 << 20});
  const std::uint32_t zero = 0;
  const std::uint64_t fd = static_cast<std::uint64_t>(pair[1]);
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->bpf->maps.detour), &zero, &fd, BPF_ANY) != 0)
    refuse("the detour cannot be opened", errno);
}

void Programs::start_outlet(std::uint32_t slot, int fd) {
  outlets_[slot] = outlet{};
  outlets_[slot].base = bytes_written(fd).value_or(0);
}

bool Programs::add_client(std::uint32_t slot, int fd, std::uint32_t size) {
  flows_[slot] = flow{};
  flows_[slot].size = size;
  if (slot < outlet_count_ && skeleton_->bpf->rodata->redirect_to_clients != 0)
    start_outlet(slot, fd);
  const std::uint64_t cookie = cookie_of(fd);
  const std::uint64_t value = static_cast<std::uint64_t>(fd);
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->bpf->maps.slots), &cookie, &slot, BPF_ANY) != 0)
    return false;
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->bpf->maps.clients), &slot, &value, BPF_ANY) != 0) {
    const int error = errno;
    remove_client(slot, fd);
    errno = error;
    return false;
  }
  // A parser looks when data comes, not at what is there; setting this calls it (tcp_set_rcvlowat).
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
  return true;
}

void Programs::remove_client(std::uint32_t slot, int fd) {
  const std::uint64_t cookie = cookie_of(fd);
  bpf_map_delete_elem(bpf_map__fd(skeleton_->bpf->maps.clients), &slot);
  bpf_map_delete_elem(bpf_map__fd(skeleton_->bpf->maps.slots), &cookie);
}

bool Programs::add_backend(std::uint32_t slot, int fd) {
  start_outlet(slot, fd);
  const std::uint64_t value = static_cast<std::uint64_t>(fd);
  return bpf_map_update_elem(bpf_map__fd(skeleton_->bpf->maps.backends), &slot, &value, BPF_ANY) ==
         0;
}

void Programs::remove_backend(std::uint32_t slot) {
  bpf_map_delete_elem(bpf_map__fd(skeleton_->bpf->maps.backends), &slot);
}

bool Programs::route(std::int32_t key, std::uint32_t slot) {
  const std::uint32_t wire = htonl(static_cast<std::uint32_t>(key));
  return bpf_map_update_elem(bpf_map__fd(skeleton_->bpf->maps.routes), &wire, &slot, BPF_ANY) == 0;
}

void Programs::unroute(std::int32_t key) {
  const std::uint32_t wire = htonl(static_cast<std::uint32_t>(key));
  bpf_map_delete_elem(bpf_map__fd(skeleton_->bpf->maps.routes), &wire);
}

Detour Programs::detour(std::uint32_t slot, std::span<const std::byte> frame) {
  auto* const shared = skeleton_->bpf->bss;
  shared->detour_slot = slot;
  shared->detour_result = DETOUR_NOTHING;
  if (::send(detour_in_.get(), frame.data(), frame.size(), MSG_NOSIGNAL) < 0) return Detour::full;
  switch (*static_cast<volatile __u32*>(&shared->detour_result)) {
    case DETOUR_SENT: return Detour::sent;
    case DETOUR_FULL: return Detour::full;
    default: return Detour::gone;
  }
}

std::uint64_t Programs::up(std::uint32_t slot) const {
  return load(flows_[slot].passed) - flows_[slot].consumed;
}

void Programs::consume(std::uint32_t slot, std::uint64_t bytes) {
  // What was done for these bytes is done before the programs take the short way again.
  std::atomic_ref<__u64>(flows_[slot].consumed).fetch_add(bytes, std::memory_order_release);
}

std::uint64_t Programs::waiting(std::uint32_t slot, int fd) const {
  const std::uint64_t queued = load(outlets_[slot].queued);
  const auto written = bytes_written(fd);
  if (!written) return 0;  // it takes nothing any more
  const std::uint64_t done = *written - outlets_[slot].base;
  return queued > done ? queued - done : 0;
}

void Programs::read_counters(std::span<std::uint64_t, COUNTERS> sums) const {
  std::vector<std::uint64_t> by_core(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  const int map = bpf_map__fd(skeleton_->bpf->maps.counters);
  for (std::uint32_t which = 0; which < COUNTERS; ++which) {
    if (bpf_map_lookup_elem(map, &which, by_core.data()) != 0) continue;
    sums[which] = 0;
    for (const std::uint64_t n : by_core) sums[which] += n;
  }
}

}  // namespace stackrig::in_kernel
