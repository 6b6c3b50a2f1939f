// SPDX-License-Identifier: Apache-2.0
#include "nmio/port.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <string>
#include <vector>

#include "nmio/afxdp/port.h"
#include "nmio/shm/port.h"
#include "nmio/sim.h"
#include "nmio/tap/port.h"
#include "nmio/uri.h"

namespace stackrig::nmio {
namespace {

struct Scheme {
  const char* name;
  std::unique_ptr<Port> (*open)(const PortUri&);
};

/// Every backend that a URI can name.
constexpr std::array kSchemes = {
    Scheme{"afxdp", afxdp::open},
    Scheme{"shm", shm::open},
    Scheme{"sim", sim_open},
    Scheme{"tap", tap::open},
};

constexpr Time kBlindPause = 50 * kMicrosecond;
constexpr std::size_t kMostQueues = 64;

}  // namespace

void wait_any(std::span<Queue* const> queues, Time now, Time deadline) {
  if (deadline <= now) return;
  std::array<pollfd, kMostQueues> fds;
  nfds_t n = 0;
  Time nap = deadline - now;
  for (Queue* q : queues) {
    const int fd = n < kMostQueues ? q->prepare_wait() : -1;
    if (fd < 0) {
      nap = std::min(nap, kBlindPause);
    } else {
      fds[n++] = {fd, POLLIN, 0};
    }
  }
  const timespec timeout = {static_cast<std::time_t>(nap / kSecond),
                            static_cast<long>(nap % kSecond)};
  if (!queues.empty()) ++queues[0]->counters().syscalls;
  ppoll(fds.data(), n, &timeout, nullptr);
}

std::unique_ptr<Port> Port::open(std::string_view text) {
  const PortUri uri = parse_uri(text);
  std::vector<std::string> names;
  for (const Scheme& scheme : kSchemes) {
    if (uri.scheme == scheme.name) return scheme.open(uri);
    names.emplace_back(scheme.name);
  }
  throw SetupError("port '" + uri.text + "': no scheme '" + uri.scheme + "'; " +
                   nearest_hint(uri.scheme, names));
}

}  // namespace stackrig::nmio
