// SPDX-License-Identifier: Apache-2.0
#include "programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "in_kernel.skel.h"
#include "mapped_table.h"
#include "runtime/errors.h"

namespace stackrig::in_kernel {
namespace {

[[noreturn]] void refuse(const char* what, int error) {
  throw runtime::UsageError(std::string("BPF: ") + what + ": " + std::strerror(error) +
                            "; run as root on Linux 6.14 or newer with CONFIG_BPF_STREAM_PARSER "
                            "and CONFIG_DEBUG_INFO_BTF");
}

std::uint64_t load(const __u64& value) {
  return std::atomic_ref<__u64>(const_cast<__u64&>(value)).load(std::memory_order_acquire);
}

}  // namespace

struct Programs::Skeleton {
  in_kernel_bpf* bpf = nullptr;
  ~Skeleton() { in_kernel_bpf__destroy(bpf); }
};

Programs::Programs(const Config& config)
    : skeleton_(std::make_unique<Skeleton>()),
      flow_count_(config.clients),
      outlet_count_(config.service == Service::echo ? config.clients : config.backends),
      echo_(config.service == Service::echo),
      cookies_(config.clients) {
  const std::uint32_t clients = config.clients, backends = config.backends;
  skeleton_->bpf = in_kernel_bpf__open();
  in_kernel_bpf* const bpf = skeleton_->bpf;
  if (bpf == nullptr) refuse("the programs cannot be opened", errno);
  bpf->rodata->most_waiting_bytes = config.waiting_bytes;
  bpf->rodata->most_waiting_frames = config.waiting_frames;
  bpf->rodata->batch = config.batch ? 1 : 0;
  bpf->rodata->most_handed_up_bytes = config.handed_up_bytes;
  bpf->rodata->until_acknowledged = echo_ ? 1 : 0;
  bpf_map__set_max_entries(bpf->maps.clients, clients);
  bpf_map__set_max_entries(bpf->maps.ups, clients);
  bpf_map__set_max_entries(bpf->maps.slots, clients);
  bpf_map__set_max_entries(bpf->maps.flows, flow_count_);
  bpf_map__set_max_entries(bpf->maps.outlets, outlet_count_);
  bpf_map__set_max_entries(bpf->maps.backends, backends);
  bpf_map__set_max_entries(bpf->maps.routes, backends);
  bpf_program__set_autoload(bpf->progs.echo_parser, echo_);
  bpf_program__set_autoload(bpf->progs.echo_verdict, echo_);
  bpf_program__set_autoload(bpf->progs.echo_filter, echo_);
  bpf_program__set_autoload(bpf->progs.forward_parser, !echo_);
  bpf_program__set_autoload(bpf->progs.forward_verdict, !echo_);
  if (const int error = in_kernel_bpf__load(bpf); error != 0)
    refuse("the kernel does not take the programs", -error);
  map_tables();
  attach();
  open_detour();
  ring_ = ring_buffer__new(taken_fd(), on_taken, this, nullptr);
  if (ring_ == nullptr) refuse("what is handed up cannot be told", errno);
}

int Programs::on_taken(void* self, void* slot, std::size_t /*size*/) {
  static_cast<Programs*>(self)->taken_.push_back(*static_cast<const std::uint32_t*>(slot));
  return 0;
}

Programs::~Programs() {
  ring_buffer__free(ring_);
  unmap_table(flows_, flow_count_);
  unmap_table(outlets_, outlet_count_);
}

void Programs::map_tables() {
  flows_ = map_table<flow>(skeleton_->bpf->maps.flows, flow_count_);
  outlets_ = map_table<outlet>(skeleton_->bpf->maps.outlets, outlet_count_);
  if (flows_ == nullptr || outlets_ == nullptr) refuse("a table cannot be mapped", errno);
}

void Programs::attach() {
  const auto& progs = skeleton_->bpf->progs;
  const int clients = bpf_map__fd(skeleton_->bpf->maps.clients);
  const int parser = bpf_program__fd(echo_ ? progs.echo_parser : progs.forward_parser);
  const int verdict = bpf_program__fd(echo_ ? progs.echo_verdict : progs.forward_verdict);
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
  if (!put(skeleton_->bpf->maps.detour, 0, pair[1])) refuse("the detour cannot be opened", errno);
}

void Programs::start_outlet(std::uint32_t slot, int fd) {
  outlets_[slot] = outlet{};
  outlets_[slot].base = bytes_written(fd).value_or(0);
}

bool Programs::put(const bpf_map* map, std::uint32_t slot, int fd) {
  const std::uint64_t value = static_cast<std::uint64_t>(fd);
  return bpf_map_update_elem(bpf_map__fd(map), &slot, &value, BPF_ANY) == 0;
}

bool Programs::guard(int listener) const {
  if (!echo_) return true;
  const int program = bpf_program__fd(skeleton_->bpf->progs.echo_filter);
  return ::setsockopt(listener, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) == 0;
}

void Programs::unguard(int fd) const {
  if (echo_) ::setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, nullptr, 0);
}

/// One end of a pair of datagram sockets, which nobody sends to but the verdict programs.
Fd Programs::open_up(std::uint32_t slot) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return Fd();
  ::close(pair[1]);
  Fd up(pair[0]);
  return put(skeleton_->bpf->maps.ups, slot, up.get()) ? std::move(up) : Fd();
}

bool Programs::add_client(std::uint32_t slot, int fd, std::uint32_t size) {
  const auto& maps = skeleton_->bpf->maps;
  flows_[slot] = flow{};
  flows_[slot].size = size;
  if (echo_) start_outlet(slot, fd);
  cookies_[slot] = cookie_of(fd);
  const int slots = bpf_map__fd(maps.slots);
  if (bpf_map_update_elem(slots, &cookies_[slot], &slot, BPF_ANY) != 0 ||
      !put(maps.clients, slot, fd)) {
    const int error = errno;
    release(slot);
    errno = error;
    return false;
  }
  // A parser looks when data comes, not at what is there; setting this calls it (tcp_set_rcvlowat).
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
  return true;
}

Programs::Up Programs::up(std::uint32_t slot) const {
  const std::uint64_t word = load(flows_[slot].up);
  const Flow flow = (word & FLOW_ENDED) != 0   ? Flow::ended
                    : (word & FLOW_TAKEN) != 0 ? Flow::taken
                                               : Flow::runs;
  return {flow, word & FLOW_PASSED};
}

bool Programs::give_back(std::uint32_t slot, std::uint64_t passed) {
  __u64 expected = passed | FLOW_TAKEN;
  return std::atomic_ref<__u64>(flows_[slot].up)
      .compare_exchange_strong(expected, passed, std::memory_order_acq_rel);
}

/// Taking a socket out of `clients` takes the parser from under a run of it that is under way
/// (kstrp does not hold what that takes), and bytes are lost. So the parser has ended itself
/// before, and the end of its last run is waited for.
bool Programs::stop(std::uint32_t slot, int fd) {
  bytes_received(fd);
  release(slot);
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 || error == TAKEN_ERROR;
}

void Programs::release(std::uint32_t slot) {
  bpf_map_delete_elem(bpf_map__fd(skeleton_->bpf->maps.clients), &slot);
  forget(slot);
}

std::vector<std::uint32_t> Programs::taken() {
  taken_.clear();
  ring_buffer__consume(ring_);
  return std::move(taken_);
}

int Programs::taken_fd() const {
  return bpf_map__fd(skeleton_->bpf->maps.takings);
}

void Programs::forget(std::uint32_t slot) {
  bpf_map_delete_elem(bpf_map__fd(skeleton_->bpf->maps.slots), &cookies_[slot]);
}

std::uint64_t Programs::seen(std::uint32_t slot) const {
  return load(flows_[slot].framed) + flows_[slot].held;
}

bool Programs::add_backend(std::uint32_t slot, int fd) {
  start_outlet(slot, fd);
  return put(skeleton_->bpf->maps.backends, slot, fd);
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
    case DETOUR_SENT:
      return Detour::sent;
    case DETOUR_FULL:
      return Detour::full;
    default:
      return Detour::gone;
  }
}

std::uint64_t Programs::waiting(std::uint32_t slot, int fd) const {
  const std::uint64_t queued = load(outlets_[slot].queued);
  const auto written = bytes_written(fd);
  if (!written) return 0;  // it takes nothing any more
  // Where acknowledgements arrive, `written` may be less than what is not of `queued`.
  const auto waits = static_cast<std::int64_t>(queued - (*written - outlets_[slot].base));
  return static_cast<std::uint64_t>(std::max<std::int64_t>(waits, 0));
}

void Programs::note_sent(std::uint32_t slot, std::uint64_t bytes) {
  if (!echo_) return;
  const std::atomic_ref<__u64> base(outlets_[slot].base);
  base.store(base.load(std::memory_order_relaxed) + bytes, std::memory_order_release);
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
