// SPDX-License-Identifier: Apache-2.0
#include "services.h"

#include <array>
#include <string>
#include <vector>

#include "echo/echo.h"
#include "echo/echo_service.h"
#include "forward/forward_service.h"
#include "nmio/clock.h"
#include "runtime/counters.h"
#include "runtime/errors.h"

namespace stackrig::rtc {
namespace {

template <class S, class Counters>
std::unique_ptr<Service> make(const Settings& settings, runtime::QueuePlace& place,
                              tcpip::Stack& stack, SendPool& pool,
                              std::span<const CounterInfo<Counters>> table) {
  auto service = std::make_unique<S>(settings.service, stack, pool, nmio::Clock::now());
  service->place_counters(runtime::place<Counters>(*place.page, place.prefix, table));
  return service;
}

constexpr auto kKinds = std::to_array<ServiceKind>({
    {.name = "echo",
     .port = echo::kPort,
     .opens = false,
     .make =
         [](const Settings& s, runtime::QueuePlace& place, tcpip::Stack& stack, SendPool& pool) {
           return make<EchoService>(s, place, stack, pool, echo_counter_table());
         }},
    {.name = "forward",
     .port = thrift::kForwarderPort,
     .opens = true,
     .make =
         [](const Settings& s, runtime::QueuePlace& place, tcpip::Stack& stack, SendPool& pool) {
           return make<ForwardService>(s, place, stack, pool, forward_counter_table());
         }},
});

}  // namespace

std::span<const ServiceKind> service_kinds() {
  return kKinds;
}

const ServiceKind& service_kind(std::string_view name) {
  std::vector<std::string> names;
  for (const ServiceKind& k : kKinds) {
    if (k.name == name) return k;
    names.emplace_back(k.name);
  }
  throw runtime::UsageError("--service: there is no '" + std::string(name) + "'; " +
                            runtime::nearest(name, names));
}

}  // namespace stackrig::rtc
