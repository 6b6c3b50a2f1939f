// SPDX-License-Identifier: Apache-2.0
// in_kernel_proxy: a reverse HTTP proxy in the kernel, by a BPF program on its sockets (Slick's
// future work). This process accepts, connects and closes; the bytes stay in the kernel.
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "proxy.h"
#include "runtime/counters.h"
#include "runtime/errors.h"
#include "runtime/options.h"
#include "runtime/process.h"
#include "sockets/options.h"

namespace stackrig::in_kernel::proxy {
namespace {

struct Words {
  sockets::Options shared;
  Proxy::Config proxy;
  std::string backend;
  std::string log_level = "warn";
  int receive_kib = 256, send_kib = 1024, wait_ms = 1000, connect_ms = 2000, idle_ms = 75'000;
};

void add_words(CLI::App& app, Words& w) {
  app.add_option("--backend", w.backend, "The server that clients are connected with")
      ->type_name("IP:PORT")
      ->required();
  app.add_option("--spare", w.proxy.pool.spare, "Backend connections kept open for clients to come")
      ->check(CLI::Range(0U, 1U << 16))
      ->capture_default_str();
  app.add_option("--max-backend-connections", w.proxy.pool.most,
                 "At a time; further clients wait, then get 503")
      ->check(CLI::Range(1U, 1U << 20))
      ->capture_default_str();
  app.add_option("--max-connections", w.proxy.most_clients, "Clients at a time")
      ->check(CLI::Range(1U, 1U << 19))
      ->capture_default_str();
  app.add_option("--wait-ms", w.wait_ms, "The longest that a client waits for a backend connection")
      ->check(CLI::Range(1, 600'000))
      ->capture_default_str();
  app.add_option("--connect-timeout-ms", w.connect_ms, "Of a connection to the backend")
      ->check(CLI::Range(1, 600'000))
      ->capture_default_str();
  app.add_option("--idle-timeout-ms", w.idle_ms, "A client through which nothing goes is reset")
      ->check(CLI::Range(100, 86'400'000))
      ->capture_default_str();
  app.add_option("--receive-buffer-kib", w.receive_kib, "Of each socket, either side")
      ->check(CLI::Range(64, 65536))
      ->capture_default_str();
  app.add_option("--send-buffer-kib", w.send_kib, "Of each socket, either side")
      ->check(CLI::Range(64, 65536))
      ->capture_default_str();
  app.add_option("--log-level", w.log_level, "trace, debug, info, warn, error or off")
      ->type_name("LEVEL")
      ->capture_default_str();
}

void check_words(Words& w) {
  const auto backend = wire::parse_endpoint(w.backend);
  if (!backend || backend->port == 0) {
    throw runtime::UsageError("--backend: '" + w.backend +
                              "' is no address and port, such as 10.77.0.101:8080");
  }
  w.proxy.client_buffers = {.receive = w.receive_kib << 10, .send = w.send_kib << 10};
  w.proxy.pool.backend = *backend;
  w.proxy.pool.buffers = w.proxy.client_buffers;
  w.proxy.pool.longest_wait = std::chrono::milliseconds(w.wait_ms);
  w.proxy.pool.connect_timeout = std::chrono::milliseconds(w.connect_ms);
  w.proxy.most_idle = std::chrono::milliseconds(w.idle_ms);
}

int serve(int argc, const char* const* argv) {
  CLI::App app{"Connects HTTP clients with a backend within the kernel.", "in_kernel_proxy"};
  Words w;
  sockets::add_options(app, w.shared);
  add_words(app, w);
  if (!runtime::parse(app, argc, argv)) return runtime::kExitOk;
  check_words(w);
  runtime::start_logging("in_kernel_proxy", w.log_level);
  sockets::apply(w.shared);
  std::vector<Fd> listeners;
  for (const wire::Endpoint& at : w.shared.listen)
    listeners.push_back(sockets::listen_on(at, true));
  const auto page = runtime::make_page(w.shared.telemetry, "in-kernel", "bpf-proxy", 1);
  runtime::catch_stop_signals();
  Proxy proxy(w.proxy, std::move(listeners), *page);
  runtime::announce_ready(w.shared.ready_fd);
  proxy.run(runtime::stop_flag());
  page->finish();
  return runtime::kExitOk;
}

}  // namespace
}  // namespace stackrig::in_kernel::proxy

int main(int argc, char** argv) {
  return stackrig::runtime::guarded("in_kernel_proxy",
                                    [&] { return stackrig::in_kernel::proxy::serve(argc, argv); });
}
