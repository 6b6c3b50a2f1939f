// SPDX-License-Identifier: Apache-2.0
// Any bytes, in any pieces: what a server sends is read the same however it is split, never past
// its end, and an exchange that called an answer right has seen as many body bytes as were
// announced.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "rigload/http_exchange.h"
#include "rigload/http_response.h"

namespace {

using stackrig::rigload::HeadReader;
using stackrig::rigload::HeadResult;
using stackrig::rigload::HttpExchange;
using stackrig::rigload::parse_head;
using stackrig::rigload::Progress;
using stackrig::rigload::ResponseHead;
using stackrig::rigload::UrlSet;

void require(bool held) {
  if (!held) std::abort();
}

/// A copy of its own for each piece: the address sanitizer sees a read past its end.
std::vector<std::vector<std::byte>> pieces(std::span<const std::byte> bytes, unsigned step) {
  std::vector<std::vector<std::byte>> all;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const auto piece = bytes.subspan(at, std::min<std::size_t>(step, bytes.size() - at));
    all.emplace_back(piece.begin(), piece.end());
  }
  return all;
}

void check_head(std::span<const std::byte> bytes, unsigned step) {
  ResponseHead whole;
  const HeadResult result = parse_head(bytes, whole);
  HeadReader reader;
  ResponseHead head;
  HeadResult last = HeadResult::incomplete;
  std::size_t before = 0, taken = 0;
  for (const auto& piece : pieces(bytes, step)) {
    last = reader.add(piece, head, taken);
    if (last != HeadResult::incomplete) break;
    before += piece.size();
  }
  require(last == result);
  if (result != HeadResult::complete) return;
  require(head == whole && before + taken == whole.head_bytes && whole.head_bytes <= bytes.size());
  require(whole.status >= 100 && whole.status <= 999);
}

struct Seen {
  Progress::State state = Progress::State::more;
  std::uint64_t body = 0;
  bool wrong = false;
};

/// The first answer in `bytes`, and the same one again: the second time its head may be remembered.
Seen ask_twice(HttpExchange& exchange, std::span<const std::byte> bytes, unsigned step) {
  Seen seen;
  for (unsigned round = 0; round < 2; ++round) {
    seen = {};
    exchange.begin(0);
    for (const auto& piece : pieces(bytes, step)) {
      const Progress p = exchange.receive(0, piece);
      require(p.body_bytes <= piece.size());
      seen.state = p.state;
      seen.body += p.body_bytes;
      seen.wrong = p.error.has_value();
      if (p.state != Progress::State::more) break;
    }
    exchange.drop(0);
  }
  return seen;
}

void check_exchange(std::span<const std::byte> bytes, unsigned step) {
  static const UrlSet urls({{"/f", ""}}, {}, "h", true);
  HttpExchange exchange({.check_every = 1}, {&urls}, 1);
  const Seen seen = ask_twice(exchange, bytes, step);
  if (seen.state != Progress::State::finished || seen.wrong) return;
  ResponseHead head;
  std::span<const std::byte> rest = bytes;
  do {  // interim answers first
    require(parse_head(rest, head) == HeadResult::complete);
    rest = rest.subspan(head.head_bytes);
  } while (head.status < 200 && head.status != 101);
  require(head.status == 200 && head.has_length && head.content_length == seen.body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const unsigned step = 1 + data[0];
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
  check_head(bytes, step);
  check_exchange(bytes, step);
  return 0;
}
