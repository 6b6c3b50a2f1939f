// SPDX-License-Identifier: Apache-2.0
// How exactly the delay box keeps its delays: packets with the time of their sending in them go
// over a veth pair, through a box in a thread of its own, and over another veth pair. Prints, per
// delay, how long packets took beyond it. A measuring program; needs root.
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>

#include "delaybox/box.h"
#include "nmio/afxdp/test_wire.h"
#include "nmio/clock.h"
#include "nmio/test_frames.h"
#include "runtime/errors.h"
#include "runtime/process.h"
#include "telemetry/histogram.h"

namespace stackrig::delaybox {
namespace {

using namespace nmio;

constexpr std::size_t kStamp = 54;  // into the payload

struct Options {
  double seconds = 2;
  std::uint64_t rate = 20'000;  ///< packets per second
  bool spin = false;
  unsigned box_core = 1, own_core = 0;
};

/// The box as its program runs it, until `stop`.
void run_box(Box& box, const Options& o, const std::atomic<bool>& stop) {
  runtime::pin_to_core(o.box_core);
  prctl(PR_SET_TIMERSLACK, 1UL);  // as the program does
  while (!stop) {
    if (box.turn() || o.spin) continue;
    const Time now = Clock::now();
    box.wait(now, now + 10 * kMillisecond);
  }
}

/// Sends and receives; returns what each packet took beyond `delay`.
void measure(Queue& out, Queue& in, Time delay, const Options& o,
             telemetry::HistogramData& beyond) {
  const auto frame = test::make_frame({.payload = 64, .tcp = true});
  const Time gap = kSecond / o.rate;
  const Time began = Clock::now(), ends = began + static_cast<Time>(o.seconds * 1e9);
  std::uint64_t sent = 0;
  RxPacket burst[64];
  for (Time now = began; now < ends + 2 * delay + 20 * kMillisecond; now = Clock::now()) {
    if (now < ends && now >= began + sent * gap) {
      TxPacket p = test::in_chunk(out.memory(), frame);
      std::memcpy(out.memory().data(p.chunk) + kStamp, &now, sizeof now);
      if (out.put({&p, 1}) == 1) out.flush();
      ++sent;
    }
    const unsigned n = in.receive(burst);
    const Time arrived = Clock::now();
    for (unsigned i = 0; i < n; ++i) {
      Time then = 0;
      std::memcpy(&then, burst[i].data + kStamp, sizeof then);
      beyond.record(arrived - then > delay ? arrived - then - delay : 0);
      in.memory().give_back(burst[i].chunk);
    }
    out.reap();
  }
  if (beyond.count < sent) {
    std::fprintf(stderr, "%llu of %llu packets did not come back\n",
                 static_cast<unsigned long long>(sent - beyond.count),
                 static_cast<unsigned long long>(sent));
  }
}

void one_delay(const char* words, const Options& o) {
  test::VethWire near, far;
  const auto out = near.open_a("address=10.0.0.1");
  const auto in = far.open_b("address=10.0.0.2");
  const auto box_near = near.open_b("take=all");
  const auto box_far = far.open_a("take=all");
  const BoxConfig config{.to_server = parse_link("delay", words)};
  Box box(box_far->queue(0), box_near->queue(0), config, Clock::now());
  std::atomic<bool> stop{false};
  std::thread thread([&] { run_box(box, o, stop); });
  auto beyond = std::make_unique<telemetry::HistogramData>();
  std::thread ends([&] {  // pinned apart: threads inherit where the main thread may run
    runtime::pin_to_core(o.own_core);
    measure(out->queue(0), in->queue(0), config.to_server.delay_from, o, *beyond);
  });
  ends.join();
  stop = true;
  thread.join();
  const auto us = [&](double q) { return static_cast<double>(beyond->quantile(q)) / 1e3; };
  std::printf(
      "%-12s %8llu packets; beyond it: min %.1f, median %.1f, p99 %.1f, p99.9 %.1f, max %.1f us\n",
      words, static_cast<unsigned long long>(beyond->count), static_cast<double>(beyond->min) / 1e3,
      us(0.5), us(0.99), us(0.999), static_cast<double>(beyond->max) / 1e3);
}

int run(int argc, char** argv) {
  CLI::App app{"How exactly the delay box keeps its delays, over veth.", "delaybox_accuracy"};
  Options o;
  app.add_option("--seconds", o.seconds, "per delay")->capture_default_str();
  app.add_option("--rate", o.rate, "packets per second")->capture_default_str();
  app.add_flag("--spin", o.spin, "the box never blocks");
  CLI11_PARSE(app, argc, argv);
  for (const char* words : {"delay=0ms", "delay=500us", "delay=5ms", "delay=20ms", "delay=50ms"})
    one_delay(words, o);
  return 0;
}

}  // namespace
}  // namespace stackrig::delaybox

int main(int argc, char** argv) {
  return stackrig::runtime::guarded("delaybox_accuracy",
                                    [&] { return stackrig::delaybox::run(argc, argv); });
}
