// SPDX-License-Identifier: Apache-2.0
// Signals, readiness, cores, logs, secrets.
#include "runtime/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <system_error>
#include <vector>

#include "hash/random_secret.h"
#include "runtime/errors.h"

namespace stackrig::runtime {
namespace {

std::atomic<bool> g_stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

extern "C" void on_stop_signal(int /*signal*/) {
  g_stop.store(true, std::memory_order_relaxed);
}

}  // namespace

std::atomic<bool>& stop_flag() {
  return g_stop;
}

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // the second one takes the default: the end
  sigemptyset(&action.sa_mask);
  for (const int s : {SIGTERM, SIGINT}) ::sigaction(s, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void check_ready_fd(int fd) {
  if (fd < 0) return;
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
    throw UsageError("--ready-fd " + std::to_string(fd) +
                     ": is not open for writing; pass the number of a pipe's writing end");
  }
}

void announce_ready(int fd) {
  if (fd < 0) return;
  constexpr char kLine[] = "ready\n";
  if (::write(fd, kLine, sizeof kLine - 1) != static_cast<ssize_t>(sizeof kLine - 1)) {
    throw UsageError("--ready-fd " + std::to_string(fd) + ": " + std::strerror(errno) +
                     "; pass the number of a pipe's writing end");
  }
  ::close(fd);
}

void check_core(unsigned core) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
    throw std::system_error(errno, std::generic_category(), "sched_getaffinity");
  }
  if (core < CPU_SETSIZE && CPU_ISSET(core, &allowed)) return;
  std::string cores;
  for (unsigned c = 0; c < CPU_SETSIZE; ++c) {
    if (CPU_ISSET(c, &allowed)) cores += (cores.empty() ? "" : ", ") + std::to_string(c);
  }
  throw UsageError("--core " + std::to_string(core) +
                   ": this process may not run there; it may on " + cores);
}

void pin_to_core(unsigned core) {
  check_core(core);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  const int error = ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
  if (error != 0) {
    throw std::system_error(error, std::generic_category(), "--core " + std::to_string(core));
  }
}

void start_logging(const std::string& program, const std::string& level) {
  const std::vector<std::string> levels = {"trace", "debug", "info", "warn", "error", "off"};
  for (const std::string& known : levels) {
    if (known != level) continue;
    auto logger = std::make_shared<spdlog::logger>(
        program, std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("%n: %l: %v");
    logger->set_level(spdlog::level::from_str(level));
    spdlog::set_default_logger(std::move(logger));
    return;
  }
  throw UsageError("--log-level '" + level + "': no such level; " + nearest(level, levels));
}

std::uint64_t random_secret() {
  return hash::random_secret();
}

std::uint64_t unix_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &t);
  return static_cast<std::uint64_t>(t.tv_sec);
}

}  // namespace stackrig::runtime
