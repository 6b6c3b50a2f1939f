// SPDX-License-Identifier: Apache-2.0
// nmio_echo: UDP frames go back where they came from, over any port and the loop that every system
// uses. Its peer in the bar nmio-afxdp-echo is nmio_afxdp_bare_echo.
#include "nmio/bench/echo_frame.h"
#include "nmio/bench/options.h"
#include "nmio/port.h"

namespace {

using namespace stackrig::nmio;

struct Echo {
  Queue& queue;
  TxBatch& batch;

  void on_burst(std::span<const RxPacket> burst, Time) {
    for (const RxPacket& p : burst) {
      if (batch.has_room() && bench::turn_round(p.data, p.len)) {
        batch.push({.data = p.data, .len = p.len, .chunk = p.chunk});
      } else {
        queue.memory().give_back(p.chunk);
      }
    }
  }
  void on_idle(Time) {}
  [[nodiscard]] Time next_deadline() const { return kNever; }
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Echoes UDP frames over a port", "nmio_echo");
  bench::Options options;
  options.add_to(app);
  std::string uri;
  app.add_option("--port", uri, "port URI")->required();
  LoopConfig config;
  bool adaptive = false;
  app.add_flag("--adaptive", adaptive, "block when idle; else spin");
  app.add_option("--tx-interval-us", config.tx_interval, "between doorbells under load")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, Time>{{"us", 1}}));
  config.tx_interval = 80;
  return bench::run_program(app, argc, argv, [&] {
    config.tx_interval *= kMicrosecond;
    config.burst = options.burst;
    config.idle = adaptive ? LoopConfig::Idle::adaptive : LoopConfig::Idle::spin;
    auto port = Port::open(uri);
    std::cerr << port->describe() << "\n";
    TxBatch batch;
    Echo echo{port->queue(0), batch};
    LoopCounters counters;
    options.begin();
    const Time start = Clock::monotonic();
    run(port->queue(0), batch, echo, config, counters, bench::stop);
    const double seconds = static_cast<double>(Clock::monotonic() - start) / 1e9;
    const double cycles = static_cast<double>(counters.busy_cycles + counters.idle_cycles);
    options.report(
        "{\"schema\":1,\"tool\":\"nmio_echo\",\"port\":\"" + uri +
        "\",\"duration_s\":" + std::to_string(seconds) + ",\"busy_ratio\":" +
        std::to_string(static_cast<double>(counters.busy_cycles) / std::max(1.0, cycles)) +
        ",\"turns\":" + std::to_string(counters.turns) +
        ",\"counters\":" + bench::counters_json(port->queue(0).counters()) + "}");
  });
}
