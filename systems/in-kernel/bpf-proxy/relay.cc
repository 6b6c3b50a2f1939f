// SPDX-License-Identifier: Apache-2.0
#include "relay.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "in_kernel_proxy.skel.h"
#include "runtime/errors.h"

namespace stackrig::in_kernel::proxy {
namespace {

[[noreturn]] void refuse(const char* what, int error) {
  throw runtime::UsageError(std::string("BPF: ") + what + ": " + std::strerror(error) +
                            "; run as root on Linux 6.5 or newer with CONFIG_BPF_STREAM_PARSER and "
                            "CONFIG_DEBUG_INFO_BTF");
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
  return std::atomic_ref<__u64>(const_cast<__u64&>(value)).load(std::memory_order_seq_cst);
}
void store(__u64& value, std::uint64_t to) {
  std::atomic_ref<__u64>(value).store(to, std::memory_order_seq_cst);
}

}  // namespace

struct Relay::Skeleton {
  in_kernel_proxy_bpf* bpf = nullptr;
  ~Skeleton() { in_kernel_proxy_bpf__destroy(bpf); }
};

Relay::Relay(std::uint32_t slots, const Limits& limits)
    : skeleton_(std::make_unique<Skeleton>()), count_(slots), cookies_(slots) {
  skeleton_->bpf = in_kernel_proxy_bpf__open();
  in_kernel_proxy_bpf* const bpf = skeleton_->bpf;
  if (bpf == nullptr) refuse("the program cannot be opened", errno);
  bpf->rodata->most_waiting_bytes = limits.waiting_bytes;
  bpf->rodata->most_waiting_frames = limits.waiting_segments;
  bpf_map__set_max_entries(bpf->maps.sockets, slots);
  bpf_map__set_max_entries(bpf->maps.slots, slots);
  bpf_map__set_max_entries(bpf->maps.inlets, slots);
  bpf_map__set_max_entries(bpf->maps.outlets, slots);
  if (const int error = in_kernel_proxy_bpf__load(bpf); error != 0)
    refuse("the kernel does not take the program", -error);
  if (bpf_prog_attach(bpf_program__fd(bpf->progs.relay), bpf_map__fd(bpf->maps.sockets),
                      BPF_SK_SKB_VERDICT, 0) != 0) {
    refuse("the program cannot be attached", errno);
  }
  inlets_ = map_table<inlet>(bpf->maps.inlets, count_);
  outlets_ = map_table<outlet>(bpf->maps.outlets, count_);
  ring_ = ring_buffer__new(notices_fd(), on_notice, this, nullptr);
  if (ring_ == nullptr) refuse("what is passed cannot be told", errno);
}

Relay::~Relay() {
  ring_buffer__free(ring_);
  if (inlets_ != nullptr) ::munmap(inlets_, table_bytes<inlet>(count_));
  if (outlets_ != nullptr) ::munmap(outlets_, table_bytes<outlet>(count_));
}

int Relay::on_notice(void* self, void* slot, std::size_t /*size*/) {
  static_cast<Relay*>(self)->noticed_.push_back(*static_cast<const std::uint32_t*>(slot));
  return 0;
}

bool Relay::add(std::uint32_t slot, int fd) {
  const auto& maps = skeleton_->bpf->maps;
  inlets_[slot] = inlet{};
  outlets_[slot] = outlet{};
  outlets_[slot].base = bytes_written(fd).value_or(0);
  cookies_[slot] = cookie_of(fd);
  const std::uint64_t value = static_cast<std::uint64_t>(fd);
  if (bpf_map_update_elem(bpf_map__fd(maps.slots), &cookies_[slot], &slot, BPF_ANY) != 0)
    return false;
  if (bpf_map_update_elem(bpf_map__fd(maps.sockets), &slot, &value, BPF_ANY) == 0) return true;
  const int error = errno;
  bpf_map_delete_elem(bpf_map__fd(maps.slots), &cookies_[slot]);
  errno = error;
  return false;
}

void Relay::open(std::uint32_t slot, int fd, int other_fd) {
  store(inlets_[slot].open, 1);
  store(inlets_[slot + 1].open, 1);
  ask(fd);
  ask(other_fd);
}

/// Setting this calls the verdict (tcp_set_rcvlowat).
void Relay::ask(int fd) {
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
}

void Relay::remove(std::uint32_t slot) {
  bpf_map_delete_elem(bpf_map__fd(skeleton_->bpf->maps.sockets), &slot);
  bpf_map_delete_elem(bpf_map__fd(skeleton_->bpf->maps.slots), &cookies_[slot]);
}

std::uint64_t Relay::seen(std::uint32_t slot) const {
  return load(inlets_[slot].seen);
}

std::uint64_t Relay::passed(std::uint32_t slot) const {
  return load(inlets_[slot].passed);
}

void Relay::give_back(std::uint32_t slot, std::uint64_t bytes) {
  store(inlets_[slot].given_back, bytes);
}

void Relay::note_sent(std::uint32_t slot, std::uint64_t bytes) {
  store(outlets_[slot].base, outlets_[slot].base + bytes);
}

std::uint64_t Relay::waiting(std::uint32_t slot, int fd) const {
  const std::uint64_t queued = load(outlets_[slot].queued);
  const auto written = bytes_written(fd);
  if (!written) return 0;  // it takes nothing any more
  const std::uint64_t done = *written - outlets_[slot].base;
  return queued > done ? queued - done : 0;
}

int Relay::notices_fd() const {
  return bpf_map__fd(skeleton_->bpf->maps.notices);
}

std::vector<std::uint32_t> Relay::notices() {
  noticed_.clear();
  ring_buffer__consume(ring_);
  return std::exchange(noticed_, {});
}

void Relay::read_counters(std::span<std::uint64_t, PROXY_COUNTERS> sums) const {
  std::vector<std::uint64_t> by_core(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  const int map = bpf_map__fd(skeleton_->bpf->maps.counters);
  for (std::uint32_t which = 0; which < PROXY_COUNTERS; ++which) {
    if (bpf_map_lookup_elem(map, &which, by_core.data()) != 0) continue;
    sums[which] = 0;
    for (const std::uint64_t n : by_core) sums[which] += n;
  }
}

}  // namespace stackrig::in_kernel::proxy
