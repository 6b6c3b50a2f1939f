// SPDX-License-Identifier: Apache-2.0
// The parser's statuses against those that nginx gave for the same bytes, whole and in pieces.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>

#include "http/nginx_cases.h"
#include "http/path.h"
#include "http/request.h"

namespace stackrig::http {
namespace {

using Outcome = Parsed::Outcome;

/// What the parser and the path make of a request: 0 where it is to be looked up, else a status.
struct Judged {
  std::uint16_t status;
  bool closes;
  bool operator==(const Judged&) const = default;
};

Judged judge(const Parsed& p) {
  if (p.outcome == Outcome::error) return {p.status, true};
  if (!p.request.plain_target && !normalise_path(p.request.path)) return {400, true};
  return {0, !p.request.keep_alive || p.request.chunked};
}

/// nginx's status, as far as it is the parser's business.
Judged expected(std::uint16_t status, bool closes) {
  const bool refused =
      status == 400 || status == 413 || status == 414 || status == 501 || status == 505;
  return {refused ? status : std::uint16_t{0}, closes};
}

const Deviation* deviation(std::string_view request) {
  const auto* d = std::find_if(std::begin(kDeviations), std::end(kDeviations),
                               [&](const Deviation& x) { return x.request == request; });
  return d == std::end(kDeviations) ? nullptr : d;
}

/// The outcome when the bytes come in pieces that end at `cuts`, and then one by one.
std::optional<Parsed> parse_in_pieces(std::string_view bytes, const Limits& limits,
                                      std::size_t first_piece, std::size_t step) {
  std::uint32_t scanned = 0;
  for (std::size_t n = first_piece;; n = std::min(n + step, bytes.size())) {
    const Parsed p = parse_request(bytes.substr(0, n), limits, scanned);
    if (p.outcome != Outcome::partial) return p;
    if (n == bytes.size()) return std::nullopt;
    scanned = p.scanned;
  }
}

void expect_same(const Parsed& whole, const Parsed& pieces, const std::string& where) {
  ASSERT_EQ(pieces.outcome, whole.outcome) << where;
  ASSERT_EQ(pieces.status, whole.status) << where;
  ASSERT_EQ(pieces.request.method, whole.request.method) << where;
  if (whole.outcome != Outcome::request) return;
  ASSERT_EQ(pieces.consumed, whole.consumed) << where;
  ASSERT_EQ(pieces.request.path, whole.request.path) << where;
  ASSERT_EQ(pieces.request.query, whole.request.query) << where;
  ASSERT_EQ(pieces.request.keep_alive, whole.request.keep_alive) << where;
  ASSERT_EQ(pieces.request.content_length, whole.request.content_length) << where;
}

void expect_split_invariant(std::string_view bytes, const Limits& limits) {
  const Parsed whole = parse_request(bytes, limits);
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    for (const std::size_t step : {bytes.size(), std::size_t{1}}) {
      const auto p = parse_in_pieces(bytes, limits, cut, step);
      if (whole.outcome == Outcome::partial) {
        ASSERT_FALSE(p) << testing::PrintToString(bytes) << " cut at " << cut;
      } else {
        ASSERT_TRUE(p) << testing::PrintToString(bytes) << " cut at " << cut;
        expect_same(whole, *p, testing::PrintToString(bytes) + " cut at " + std::to_string(cut));
      }
      if (step == 1 && bytes.size() > 300) break;
    }
  }
}

TEST(NginxStatuses, EveryRecordedRequest) {
  for (const NginxCase& c : kNginxCases) {
    const Parsed p = parse_request(c.request, {});
    ASSERT_NE(p.outcome, Outcome::partial) << c.request;
    const Deviation* d = deviation(c.request);
    const Judged wanted =
        d != nullptr ? expected(d->status, d->closes) : expected(c.status, c.closes);
    const Judged got = judge(p);
    EXPECT_EQ(got.status, wanted.status) << testing::PrintToString(c.request);
    EXPECT_EQ(got.closes, wanted.closes) << testing::PrintToString(c.request);
  }
}

TEST(NginxStatuses, EverySplitOfEveryRecordedRequestGivesTheSame) {
  for (const NginxCase& c : kNginxCases) expect_split_invariant(c.request, {});
}

TEST(NginxStatuses, LimitsDoNotDependOnTheSplit) {
  const Limits small{.request_line = 40, .head = 80, .body = 100};
  for (std::size_t path = 20; path < 45; ++path) {
    for (std::size_t field = 0; field < 60; field += 3) {
      const std::string request = "GET /" + std::string(path, 'a') +
                                  " HTTP/1.1\r\nHost: a\r\nX: " + std::string(field, 'b') +
                                  "\r\n\r\n";
      expect_split_invariant(request, small);
      const Parsed p = parse_request(request, small);
      const std::size_t line = request.find('\n') + 1;
      const unsigned status = line > 40 ? 414 : request.size() > 80 ? 431 : 0;
      EXPECT_EQ(p.status, status) << path << " " << field;
    }
  }
}

TEST(NginxStatuses, MutatedRequestsDoNotDependOnTheSplit) {
  std::mt19937_64 random(1);
  const Limits small{.request_line = 48, .head = 96, .body = 100};
  constexpr std::string_view kBytes = "\r\n\r\n :,;/.%?#aG0\t\x01\x7f";
  for (int round = 0; round < 3000; ++round) {
    std::string request{kNginxCases[random() % std::size(kNginxCases)].request};
    for (std::size_t i = random() % 4; i-- > 0;) {
      const std::size_t at = random() % request.size();
      switch (random() % 3) {
        case 0:
          request[at] = kBytes[random() % kBytes.size()];
          break;
        case 1:
          request.insert(at, 1, kBytes[random() % kBytes.size()]);
          break;
        default:
          request.erase(at, 1);
      }
      if (request.empty()) request = "G";
    }
    if (request.size() < 100) expect_split_invariant(request, random() % 2 == 0 ? Limits{} : small);
  }
}

}  // namespace
}  // namespace stackrig::http
