// SPDX-License-Identifier: Apache-2.0
// nmio_afxdp_bare_echo: what an echo costs with nothing around it: one AF_XDP socket set up by
// libxdp, its inline ring helpers, buffers that go straight from ring to ring. Only the XDP program
// is nmio's, so that both echoes receive the same frames.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/mman.h>
#include <xdp/xsk.h>

#include "nmio/afxdp/interface.h"
#include "nmio/afxdp/program.h"
#include "nmio/bench/echo_frame.h"
#include "nmio/bench/options.h"

namespace {

using namespace stackrig::nmio;

struct Settings {
  std::string interface;
  std::string address;
  std::string mode = "native";
  std::uint32_t ring = 2048;
  std::uint32_t frames = 8192;
  bool polled = false;
};

/// One socket, its memory and its rings.
struct Bare {
  explicit Bare(const Settings& s) {
    const std::size_t bytes = std::size_t{s.frames} * XSK_UMEM__DEFAULT_FRAME_SIZE / 2;
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) throw SetupError("no memory for the frames");
    memory = static_cast<std::byte*>(p);
    xsk_umem_config umem_config{};
    umem_config.fill_size = umem_config.comp_size = s.ring;
    umem_config.frame_size = XSK_UMEM__DEFAULT_FRAME_SIZE / 2;
    check("UMEM", xsk_umem__create(&umem, memory, bytes, &fill, &completion, &umem_config));
    xsk_socket_config config{};
    config.rx_size = config.tx_size = s.ring;
    config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
    config.bind_flags = XDP_USE_NEED_WAKEUP;
    int error = -EBUSY;
    for (int tries = 0; tries < 100 && error == -EBUSY; ++tries) {
      if (tries != 0) usleep(20'000);
      error = xsk_socket__create(&socket, s.interface.c_str(), 0, umem, &rx, &tx, &config);
    }
    check("socket", error);
    std::uint32_t at = 0;
    const std::uint32_t n = xsk_ring_prod__reserve(&fill, s.ring, &at);
    for (std::uint32_t i = 0; i < n; ++i) {
      *xsk_ring_prod__fill_addr(&fill, at + i) = std::uint64_t{i} * umem_config.frame_size;
    }
    xsk_ring_prod__submit(&fill, n);
  }
  static void check(const char* what, int error) {
    if (error != 0) throw SetupError(std::string(what) + ": " + std::strerror(-error));
  }

  /// Completed buffers go straight back to the fill ring.
  void recycle() {
    std::uint32_t from = 0;
    const std::uint32_t n = xsk_ring_cons__peek(&completion, 64, &from);
    if (n == 0) return;
    std::uint32_t to = 0;
    if (xsk_ring_prod__reserve(&fill, n, &to) != n) {
      xsk_ring_cons__cancel(&completion, n);
      return;
    }
    for (std::uint32_t i = 0; i < n; ++i) {
      *xsk_ring_prod__fill_addr(&fill, to + i) =
          *xsk_ring_cons__comp_addr(&completion, from + i) & ~std::uint64_t{2047};
    }
    xsk_ring_prod__submit(&fill, n);
    xsk_ring_cons__release(&completion, n);
    outstanding -= n;
  }

  void kick() {
    ++kicks;
    (void)sendto(xsk_socket__fd(socket), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
  }

  /// A burst in, turned round, out.
  bool turn(unsigned burst) {
    recycle();
    std::uint32_t from = 0;
    const std::uint32_t n = xsk_ring_cons__peek(&rx, burst, &from);
    if (n == 0) {
      if (outstanding != 0 && xsk_ring_prod__needs_wakeup(&tx)) kick();
      return false;
    }
    std::uint32_t to = 0;
    if (xsk_ring_prod__reserve(&tx, n, &to) != n) {
      xsk_ring_cons__cancel(&rx, n);
      kick();
      return true;
    }
    for (std::uint32_t i = 0; i < n; ++i) {
      const xdp_desc* d = xsk_ring_cons__rx_desc(&rx, from + i);
      bench::turn_round(memory + d->addr, d->len);
      xdp_desc* out = xsk_ring_prod__tx_desc(&tx, to + i);
      out->addr = d->addr;
      out->len = d->len;
      out->options = 0;
    }
    xsk_ring_prod__submit(&tx, n);
    xsk_ring_cons__release(&rx, n);
    outstanding += n;
    echoed += n;
    if (xsk_ring_prod__needs_wakeup(&tx)) kick();
    return true;
  }

  std::byte* memory = nullptr;
  xsk_umem* umem = nullptr;
  xsk_socket* socket = nullptr;
  xsk_ring_prod fill{};
  xsk_ring_cons completion{};
  xsk_ring_cons rx{};
  xsk_ring_prod tx{};
  std::uint64_t echoed = 0;
  std::uint64_t kicks = 0;
  std::uint32_t outstanding = 0;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Echoes UDP frames on a bare AF_XDP socket", "nmio_afxdp_bare_echo");
  bench::Options options;
  options.add_to(app);
  Settings s;
  app.add_option("--interface", s.interface, "network interface")->required();
  app.add_option("--address", s.address, "IPv4 address to claim")->required();
  app.add_option("--mode", s.mode, "native or generic")
      ->check(CLI::IsMember({"native", "generic"}));
  app.add_option("--ring", s.ring, "descriptors per ring");
  app.add_option("--chunks", s.frames, "packet buffers");
  app.add_flag("--poll", s.polled, "block when idle; else spin");
  return bench::run_program(app, argc, argv, [&] {
    in_addr address{};
    if (inet_pton(AF_INET, s.address.c_str(), &address) != 1)
      throw SetupError("--address " + s.address + ": no IPv4 address");
    const auto interface = afxdp::look_up(s.interface);
    const auto mode = s.mode == "native" ? afxdp::Mode::native : afxdp::Mode::generic;
    afxdp::Program program(interface, mode, ntohl(address.s_addr), 1);
    Bare bare(s);
    program.add_socket(0, xsk_socket__fd(bare.socket));
    options.begin();
    const Time start = Clock::monotonic();
    while (!bench::stop.load(std::memory_order_relaxed)) {
      if (bare.turn(options.burst) || !s.polled) continue;
      pollfd p = {xsk_socket__fd(bare.socket), POLLIN, 0};
      poll(&p, 1, 10);
    }
    const double seconds = static_cast<double>(Clock::monotonic() - start) / 1e9;
    options.report("{\"schema\":1,\"tool\":\"nmio_afxdp_bare_echo\",\"interface\":\"" +
                   s.interface + "\",\"duration_s\":" + std::to_string(seconds) + ",\"echoed\":" +
                   std::to_string(bare.echoed) + ",\"kicks\":" + std::to_string(bare.kicks) + "}");
  });
}
