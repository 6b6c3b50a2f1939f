// SPDX-License-Identifier: Apache-2.0
// What the measuring programs of nmio have in common: a core, a duration, a way to stop, JSON.
#pragma once

#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>

#include "nmio/clock.h"
#include "nmio/loop.h"

namespace stackrig::nmio::bench {

inline std::atomic<bool> stop{false};

struct Options {
  int core = -1;
  double duration = 0;  ///< seconds; 0: until SIGTERM or SIGINT
  std::string json;     ///< file, "-" for standard output, empty for none
  int ready_fd = -1;
  unsigned burst = 64;

  void add_to(CLI::App& app) {
    app.add_option("--core", core, "CPU to run on");
    app.add_option("--duration", duration, "seconds; 0: until SIGTERM");
    app.add_option("--json", json, "file for the result, - for standard output");
    app.add_option("--ready-fd", ready_fd, "descriptor that gets \"ready\\n\" once it runs");
    app.add_option("--burst", burst, "packets per receive")
        ->check(CLI::Range(1U, LoopConfig::kMaxBurst));
  }

  /// Pins the thread, takes SIGTERM, SIGINT and the duration's SIGALRM as the end, says ready.
  void begin() const {
    if (core >= 0) {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(core, &set);
      if (sched_setaffinity(0, sizeof set, &set) != 0) {
        throw std::runtime_error("core " + std::to_string(core) +
                                 ": there is none; choose another");
      }
    }
    for (const int signal : {SIGTERM, SIGINT, SIGALRM}) {
      struct sigaction action {};
      action.sa_handler = [](int) { stop = true; };
      sigaction(signal, &action, nullptr);
    }
    if (duration > 0) ualarm_after(duration);
    if (ready_fd >= 0) (void)!write(ready_fd, "ready\n", 6);
  }

  void report(const std::string& text) const {
    if (json == "-") {
      std::cout << text << std::endl;
    } else if (!json.empty()) {
      std::ofstream(json) << text << "\n";
    }
  }

 private:
  static void ualarm_after(double seconds) {
    itimerval timer{};
    timer.it_value.tv_sec = static_cast<time_t>(seconds);
    timer.it_value.tv_usec =
        static_cast<suseconds_t>((seconds - static_cast<double>(timer.it_value.tv_sec)) * 1e6);
    setitimer(ITIMER_REAL, &timer, nullptr);
  }
};

/// Reads the command line and runs `f`; exit codes as everywhere in the project.
template <class F>
int run_program(CLI::App& app, int argc, char** argv, F f) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    f();
    return 0;
  } catch (const SetupError& e) {
    std::cerr << app.get_name() << ": " << e.what() << "\n";
    return 2;
  } catch (const std::exception& e) {
    std::cerr << app.get_name() << ": " << e.what() << "\n";
    return 1;
  }
}

/// JSON of the counters that every program here reports.
inline std::string counters_json(const QueueCounters& c) {
  return "{\"rx_packets\":" + std::to_string(c.rx_packets) +
         ",\"tx_packets\":" + std::to_string(c.tx_packets) +
         ",\"rx_dropped\":" + std::to_string(c.rx_dropped) +
         ",\"tx_dropped\":" + std::to_string(c.tx_dropped) +
         ",\"syscalls\":" + std::to_string(c.syscalls) + "}";
}

}  // namespace stackrig::nmio::bench
