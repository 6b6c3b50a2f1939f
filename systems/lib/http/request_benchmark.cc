// SPDX-License-Identifier: Apache-2.0
// What parsing a request costs: a load generator's, and a client's with more fields.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include "http/path.h"
#include "http/request.h"

namespace {

using stackrig::http::Limits;
using stackrig::http::normalise_path;
using stackrig::http::parse_request;

void parse(benchmark::State& state, std::string_view request) {
  const std::string bytes{request};
  const Limits limits;
  for (auto _ : state) benchmark::DoNotOptimize(parse_request(bytes, limits));
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}

BENCHMARK_CAPTURE(parse, least, "GET /f64 HTTP/1.1\r\nHost: 10.77.0.2\r\n\r\n");
BENCHMARK_CAPTURE(parse, close,
                  "GET /f64 HTTP/1.1\r\nHost: 10.77.0.2\r\nConnection: close\r\n\r\n");
BENCHMARK_CAPTURE(parse, curl,
                  "GET /files/some/longer/path.html HTTP/1.1\r\nHost: www.example.com\r\n"
                  "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n");
BENCHMARK_CAPTURE(
    parse, browser,
    "GET /files/some/longer/path.html?v=12 HTTP/1.1\r\nHost: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n\r\n");

void normalise(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(normalise_path("/files/a%20b/../c.html"));
}
BENCHMARK(normalise);

}  // namespace

BENCHMARK_MAIN();
