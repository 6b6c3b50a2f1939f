// SPDX-License-Identifier: Apache-2.0
// What rigload itself costs per request: everything but the stack and the device. The transport is
// the fastest there can be: it answers at once with the bytes that it always answers with.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "nmio/clock.h"
#include "rigload/http_exchange.h"
#include "rigload/load_client.h"

namespace stackrig::rigload {
namespace {

class InstantTransport final : public StreamTransport, public UsageMeter {
 public:
  Open open(SlotId slot, Time /*now*/) override {
    opened_.push_back(slot);
    return Open::started;
  }
  bool send(SlotId slot, const Prepared& /*request*/, Time /*now*/) override {
    asked_.push_back(slot);
    return true;
  }
  void close(SlotId /*slot*/, Time /*now*/) override {}
  void abort(SlotId /*slot*/, Time /*now*/) override {}
  Usage usage() override { return {}; }

  /// One turn of a loop: events of all that was asked for since the last.
  void turn(LoadClient& client, std::span<const std::byte> answer, bool closes) {
    const Time now = nmio::Clock::now();
    client.tick(now);
    std::swap(opened_, was_opened_);
    for (const SlotId slot : was_opened_) client.on_connected(slot, now);
    was_opened_.clear();
    std::swap(asked_, was_asked_);
    for (const SlotId slot : was_asked_) {
      client.on_bytes(slot, answer, now);
      if (closes) client.on_remote_closed(slot, now);
    }
    was_asked_.clear();
    client.turn(now);
  }

 private:
  std::vector<SlotId> opened_, was_opened_, asked_, was_asked_;
};

/// `state.range(0)`: URLs, `state.range(1)`: bytes of each body.
void requests(benchmark::State& state, bool keepalive) {
  std::vector<UrlPath> paths;
  paths.reserve(static_cast<std::size_t>(state.range(0)));
  for (int i = 0; i < state.range(0); ++i) paths.push_back({"/f" + std::to_string(i), ""});
  const UrlSet urls(paths, {}, "10.0.0.2", keepalive);
  HttpExchange exchange({.seed = 1}, {&urls}, 64);
  InstantTransport transport;
  RunControl control;
  const auto stats = std::make_unique<RunStats>();
  const LoadConfig config{
      .connections = 64, .keepalive = keepalive, .duration = 3600 * nmio::kSecond};
  LoadClient client(config, exchange, transport, transport, control, *stats);
  const std::string body(static_cast<std::size_t>(state.range(1)), 'x');
  const std::string text =
      "HTTP/1.1 200 OK\r\nServer: sandstorm\r\nDate: Sun, 06 Nov 1994 08:49:37 "
      "GMT\r\nContent-Type: text/plain\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\nConnection: keep-alive\r\n\r\n" + body;
  const auto answer = std::as_bytes(std::span(text));
  PhaseStats& measure = (*stats)[static_cast<unsigned>(Phase::measure)];
  std::uint64_t before = 0;
  while (measure.requests == 0) transport.turn(client, answer, !keepalive);
  before = measure.requests;
  for ([[maybe_unused]] auto _ : state) transport.turn(client, answer, !keepalive);
  state.SetItemsProcessed(static_cast<std::int64_t>(measure.requests - before));
}

void persistent(benchmark::State& state) {
  requests(state, true);
}
void connection_each(benchmark::State& state) {
  requests(state, false);
}

BENCHMARK(persistent)->Args({1, 64})->Args({1000, 64})->Args({1, 1200});
BENCHMARK(connection_each)->Args({1, 64})->Args({1000, 64});

}  // namespace
}  // namespace stackrig::rigload

BENCHMARK_MAIN();
