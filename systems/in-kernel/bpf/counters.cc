// SPDX-License-Identifier: Apache-2.0
#include "counters.h"

#include <array>
#include <string>

#include "runtime/counters.h"

namespace stackrig::in_kernel {
namespace {

struct Info {
  const char* name;
  const char* unit;
  std::uint64_t Counters::*field;
};

constexpr Info kTable[] = {
    {"clients.accepted", "connections", &Counters::accepted},
    {"clients.open_now", "connections", &Counters::open_now},
    {"clients.refused", "connections", &Counters::refused},
    {"clients.reset", "connections", &Counters::reset},
    {"clients.malformed", "connections", &Counters::malformed},
    {"loader.taken", "times", &Counters::taken},
    {"loader.messages", "messages", &Counters::loader_messages},
    {"loader.bytes", "bytes", &Counters::loader_bytes},
    {"loader.replies", "messages", &Counters::replies},
    {"loader.parked", "times", &Counters::parked},
    {"loader.dropped_no_key", "messages", &Counters::dropped_no_key},
    {"loader.dropped_gone", "messages", &Counters::dropped_gone},
    {"backends.open_now", "connections", &Counters::backends_now},
    {"backends.opened", "connections", &Counters::backends_opened},
    {"backends.failed", "connections", &Counters::backends_failed},
    {"backends.gone", "connections", &Counters::backends_gone},
    {"backends.lost_bytes", "bytes", &Counters::lost_bytes},
};

struct KernelInfo {
  const char* name;
  const char* unit;
};

/// By COUNT_.
constexpr std::array<KernelInfo, COUNTERS> kKernel = {{
    {"kernel.messages", "messages"},
    {"kernel.bytes", "bytes"},
    {"kernel.up_bytes", "bytes"},
    {"kernel.taken_other", "times"},
    {"kernel.taken_congested", "times"},
    {"kernel.taken_pieces", "times"},
    {"kernel.taken_nested", "times"},
    {"kernel.dropped_no_key", "messages"},
    {"kernel.dropped_gone", "messages"},
    {"kernel.put_off", "segments"},
    {"detour.messages", "messages"},
    {"detour.bytes", "bytes"},
}};

}  // namespace

Telemetry::Telemetry(telemetry::Page& page, Service service)
    : counters_(runtime::place<Counters>(page, "", std::span<const Info>(kTable))),
      kernel_(page.place<Kernel>()) {
  page.text("service", service == Service::echo ? "echo" : "forward");
  for (std::size_t i = 0; i < COUNTERS; ++i) {
    page.describe(kKernel[i].name, kKernel[i].unit, telemetry::Kind::counter, &kernel_->values[i]);
  }
  page.describe("messages", "messages", telemetry::Kind::counter, &kernel_->messages);
  page.describe("bytes", "bytes", telemetry::Kind::counter, &kernel_->bytes);
}

void Telemetry::update(const Programs& programs) {
  programs.read_counters(kernel_->values);
  kernel_->messages = kernel_->values[COUNT_MESSAGES] + kernel_->values[COUNT_DETOURED_MESSAGES] +
                      counters_->loader_messages;
  kernel_->bytes = kernel_->values[COUNT_BYTES] + kernel_->values[COUNT_DETOURED_BYTES] +
                   counters_->loader_bytes;
}

}  // namespace stackrig::in_kernel
