// SPDX-License-Identifier: Apache-2.0
// in_kernel: Slick's services in the kernel, by BPF programs on its sockets. This process accepts,
// connects and closes; what is sent on stays in the kernel.
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "runtime/counters.h"
#include "runtime/errors.h"
#include "runtime/options.h"
#include "runtime/process.h"
#include "server.h"
#include "sockets/options.h"

namespace stackrig::in_kernel {
namespace {

struct Words {
  sockets::Options shared;
  Server::Config server;
  std::string service;
  std::string log_level = "warn";
  int receive_kib = 256, send_kib = 2048, backend_send_kib = 4096;
  std::uint32_t waiting_kib = 1024;
};

void add_words(CLI::App& app, Words& w) {
  app.add_option("--service", w.service,
                 "echo: buffers of a fixed size come back whole (Slick 3.2); forward: Thrift "
                 "messages go to the backend of their key (3.3)")
      ->type_name("echo|forward")
      ->required();
  app.add_flag("--batch", w.server.programs.batch,
               "Echo: buffers that came together go back together; without it one at a time, as in "
               "the paper");
  app.add_option("--max-connections", w.server.programs.clients, "Clients at a time")
      ->check(CLI::Range(1U, 1U << 20))
      ->capture_default_str();
  app.add_option("--max-backends", w.server.programs.backends, "Backends at a time (forward)")
      ->check(CLI::Range(1U, 1U << 20))
      ->capture_default_str();
  app.add_option("--receive-buffer-kib", w.receive_kib,
                 "What a client may send beyond what could be sent on")
      ->check(CLI::Range(128, 65536))
      ->capture_default_str();
  app.add_option("--send-buffer-kib", w.send_kib, "Towards a client")
      ->check(CLI::Range(64, 65536))
      ->capture_default_str();
  app.add_option("--backend-send-buffer-kib", w.backend_send_kib, "Towards a backend (forward)")
      ->check(CLI::Range(64, 65536))
      ->capture_default_str();
  app.add_option("--waiting-kib", w.waiting_kib,
                 "What waits for a socket's send buffer before those who send more are slowed down")
      ->check(CLI::Range(64U, 65536U))
      ->capture_default_str();
  app.add_option("--waiting-frames", w.server.programs.waiting_frames, "The same in frames")
      ->check(CLI::Range(16U, 1U << 20))
      ->capture_default_str();
  app.add_option("--log-level", w.log_level, "trace, debug, info, warn, error or off")
      ->type_name("LEVEL")
      ->capture_default_str();
}

void check_words(Words& w) {
  const std::array<std::string, 2> services = {"echo", "forward"};
  if (w.service != services[0] && w.service != services[1]) {
    throw runtime::UsageError("--service: there is no '" + w.service + "'; " +
                              runtime::nearest(w.service, services));
  }
  w.server.programs.service = w.service == services[0] ? Service::echo : Service::forward;
  w.server.programs.waiting_bytes = w.waiting_kib << 10;
  w.server.buffers = {.receive = w.receive_kib << 10, .send = w.send_kib << 10};
  w.server.backends.buffers = {.receive = 64 << 10, .send = w.backend_send_kib << 10};
}

/// A client takes two descriptors: its socket and its way up. As many as this process may have.
void allow_descriptors(const Words& w) {
  const rlim_t need =
      2 * rlim_t{w.server.programs.clients} + w.server.programs.backends + 64;  // and a few more
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need) return;
  limit.rlim_cur = std::min(need, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  spdlog::info("descriptors: {} of {} that --max-connections {} may need", limit.rlim_cur, need,
               w.server.programs.clients);
}

int serve(int argc, const char* const* argv) {
  CLI::App app{"Echoes buffers or forwards Thrift messages within the kernel.", "in_kernel"};
  Words w;
  sockets::add_options(app, w.shared);
  add_words(app, w);
  if (!runtime::parse(app, argc, argv)) return runtime::kExitOk;
  check_words(w);
  runtime::start_logging("in_kernel", w.log_level);
  sockets::apply(w.shared);
  allow_descriptors(w);
  std::vector<Fd> listeners;
  for (const wire::Endpoint& at : w.shared.listen)
    listeners.push_back(sockets::listen_on(at, true));
  const auto page = runtime::make_page(w.shared.telemetry, "in-kernel", "bpf", 1);
  runtime::catch_stop_signals();
  Server server(w.server, std::move(listeners), *page);
  runtime::announce_ready(w.shared.ready_fd);
  server.run(runtime::stop_flag());
  page->finish();
  return runtime::kExitOk;
}

}  // namespace
}  // namespace stackrig::in_kernel

int main(int argc, char** argv) {
  return stackrig::runtime::guarded("in_kernel",
                                    [&] { return stackrig::in_kernel::serve(argc, argv); });
}
