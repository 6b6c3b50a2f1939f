// SPDX-License-Identifier: Apache-2.0
#include "tcpip/simulation/spread.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace stackrig::tcpip::simulation {
namespace {

constexpr unsigned kFailuresKept = 8;

/// What a process tells, in memory that it shares: it is there even when the process dies.
struct Report {
  std::uint64_t at;  ///< the seed that runs
  std::uint64_t seeds, normally, otherwise, segments, retransmits, bytes;
  unsigned failures;
  std::uint64_t failed[kFailuresKept];
  char problem[kFailuresKept][200];
};

void note_failure(Report& r, std::uint64_t seed, const std::string& problem) {
  if (r.failures == kFailuresKept) return;
  r.failed[r.failures] = seed;
  std::snprintf(r.problem[r.failures], sizeof r.problem[0], "%s", problem.c_str());
  ++r.failures;
}

void run_some(Report& r, std::uint64_t first, std::uint64_t end, unsigned step) {
  for (std::uint64_t seed = first; seed < end && r.failures < kFailuresKept; seed += step) {
    r.at = seed;
    const Outcome o = simulate(make_plan(seed));
    ++r.seeds;
    r.normally += o.normally;
    r.otherwise += o.otherwise;
    r.segments += o.segments;
    r.retransmits += o.retransmits;
    r.bytes += o.bytes;
    if (!o.good) note_failure(r, seed, o.problem);
  }
}

}  // namespace

Total run_seeds(std::uint64_t first, std::uint64_t count, unsigned jobs) {
  jobs = std::max(1U, jobs);
  void* shared = mmap(nullptr, sizeof(Report) * jobs, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw std::runtime_error("no shared memory for the processes");
  auto* reports = static_cast<Report*>(shared);
  std::vector<pid_t> children;
  const pid_t parent = getpid();
  for (unsigned i = 0; i < jobs; ++i) {
    const pid_t pid = fork();
    if (pid < 0) throw std::runtime_error("no process for the simulation");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      run_some(reports[i], first + i, first + count, jobs);
      _exit(0);
    }
    children.push_back(pid);
  }
  Total t;
  for (unsigned i = 0; i < jobs; ++i) {
    int status = 0;
    waitpid(children[i], &status, 0);
    Report& r = reports[i];
    if (status != 0) note_failure(r, r.at, "the process died");
    t.seeds += r.seeds;
    t.normally += r.normally;
    t.otherwise += r.otherwise;
    t.segments += r.segments;
    t.retransmits += r.retransmits;
    t.bytes += r.bytes;
    for (unsigned f = 0; f < r.failures; ++f) t.failures.push_back({r.failed[f], r.problem[f]});
  }
  munmap(shared, sizeof(Report) * jobs);
  std::sort(t.failures.begin(), t.failures.end(),
            [](const auto& a, const auto& b) { return a.seed < b.seed; });
  return t;
}

std::string replay_command(std::uint64_t seed) {
  return "tcp-sim --seed " + std::to_string(seed) + " --show";
}

}  // namespace stackrig::tcpip::simulation
