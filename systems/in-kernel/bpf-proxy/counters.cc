// SPDX-License-Identifier: Apache-2.0
#include "counters.h"

#include <array>
#include <span>

#include "runtime/counters.h"

namespace stackrig::in_kernel::proxy {
namespace {

struct Info {
  const char* name;
  const char* unit;
  std::uint64_t Counters::*field;
};

constexpr Info kTable[] = {
    {"clients.accepted", "connections", &Counters::accepted},
    {"clients.open_now", "connections", &Counters::open_now},
    {"clients.waiting_now", "connections", &Counters::waiting_now},
    {"clients.refused", "connections", &Counters::refused},
    {"clients.reset", "connections", &Counters::reset},
    {"clients.idle", "connections", &Counters::idle},
    {"pairs.made", "connections", &Counters::paired},
    {"pairs.user_space", "connections", &Counters::user_space},
    {"loader.bytes", "bytes", &Counters::loader_bytes},
    {"answers.bad_gateway", "responses", &Counters::bad_gateway},
    {"answers.unavailable", "responses", &Counters::unavailable},
    {"backends.open_now", "connections", &Counters::backends_now},
    {"backends.idle_now", "connections", &Counters::backends_idle_now},
    {"backends.opened", "connections", &Counters::backends_opened},
    {"backends.failed", "connections", &Counters::backends_failed},
    {"backends.reset", "connections", &Counters::backends_reset},
};

struct KernelInfo {
  const char* name;
  const char* unit;
};

/// By PROXY_.
constexpr std::array<KernelInfo, PROXY_COUNTERS> kKernel = {{
    {"kernel.segments", "segments"},
    {"kernel.bytes", "bytes"},
    {"kernel.up_bytes", "bytes"},
    {"kernel.congested", "times"},
    {"kernel.overlaps", "segments"},
    {"kernel.flattened", "segments"},
    {"kernel.dropped_gone", "bytes"},
}};

}  // namespace

Telemetry::Telemetry(telemetry::Page& page)
    : counters_(runtime::place<Counters>(page, "", std::span<const Info>(kTable))),
      kernel_(page.place<Kernel>()) {
  page.text("service", "http");
  for (std::size_t i = 0; i < PROXY_COUNTERS; ++i) {
    page.describe(kKernel[i].name, kKernel[i].unit, telemetry::Kind::counter, &kernel_->values[i]);
  }
}

void Telemetry::update(const Relay& relay) {
  relay.read_counters(kernel_->values);
}

}  // namespace stackrig::in_kernel::proxy
