// SPDX-License-Identifier: Apache-2.0
// Names and expectations from files or a pattern, made into queries.
#include "rigload/dns_queries.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include "dns/message.h"
#include "runtime/errors.h"
#include "wire/checksum.h"

namespace stackrig::rigload {
namespace {

using runtime::UsageError;

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

constexpr std::array<std::pair<std::string_view, std::uint16_t>, 22> kTypes = {{
    {"A", 1},           {"NS", 2},     {"CNAME", 5},  {"SOA", 6},   {"PTR", 12},    {"MX", 15},
    {"TXT", 16},        {"AAAA", 28},  {"LOC", 29},   {"SRV", 33},  {"NAPTR", 35},  {"DNAME", 39},
    {"DS", 43},         {"SSHFP", 44}, {"RRSIG", 46}, {"NSEC", 47}, {"DNSKEY", 48}, {"NSEC3", 50},
    {"NSEC3PARAM", 51}, {"TLSA", 52},  {"CAA", 257},  {"ANY", 255},
}};
constexpr std::array<std::pair<std::string_view, std::uint8_t>, 6> kRcodes = {{
    {"NOERROR", 0},
    {"FORMERR", 1},
    {"SERVFAIL", 2},
    {"NXDOMAIN", 3},
    {"NOTIMP", 4},
    {"REFUSED", 5},
}};

template <class Number>
std::optional<Number> number_of(std::string_view text, int base = 10) {
  Number n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

/// "A", "TYPE65" (RFC 3597 5).
std::optional<std::uint16_t> type_of(std::string_view text) {
  for (const auto& [name, number] : kTypes) {
    if (name == text) return number;
  }
  if (!text.starts_with("TYPE")) return std::nullopt;
  return number_of<std::uint16_t>(text.substr(4));
}

std::string_view next_word(std::string_view& line) {
  const std::size_t begin = std::min(line.find_first_not_of(" \t\r"), line.size());
  const std::size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
  const std::string_view word = line.substr(begin, end - begin);
  line.remove_prefix(end);
  return word;
}

std::ifstream open_file(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw UsageError(file + ": " + std::strerror(errno) + "; name a file that can be read");
  return in;
}

DnsQuestion question_of(std::string_view name, std::string_view type, std::string given_at) {
  const auto wire = dns::Name::from_text(name);
  if (!wire) {
    throw UsageError(given_at + ": '" + std::string(name) +
                     "' is no domain name; labels have 1 to 63 bytes, names 255 at most");
  }
  const auto number = type_of(type);
  if (!number) {
    throw UsageError(given_at + ": '" + std::string(type) +
                     "' is no type of record that is known here; write it as TYPE with its number");
  }
  return {.name = *wire, .type = *number, .given_at = std::move(given_at)};
}

std::optional<DnsExpected> expected_of(std::string_view line) {
  const std::string_view rcode = next_word(line);
  const auto known = std::ranges::find(kRcodes, rcode, [](const auto& r) { return r.first; });
  const auto answers = number_of<std::uint16_t>(next_word(line));
  const auto digest = number_of<std::uint64_t>(next_word(line), 16);
  if (known == kRcodes.end() || !answers || !digest || !next_word(line).empty()) {
    return std::nullopt;
  }
  return DnsExpected{.answers = *answers, .rcode = known->second, .digest = *digest};
}

/// Writes the query at `out`; returns its bytes. The id is 0 and patched when it is sent.
std::size_t write_query(const DnsQuestion& q, const DnsQueries::Options& options,
                        std::uint8_t* out) {
  std::memset(out, 0, dns::Header::kSize);
  dns::Header& header = dns::Header::at(out);
  header.flags.set(options.recursion_desired ? dns::flag::kRecursionDesired : 0);
  header.questions.set(1);
  std::size_t at = dns::Header::kSize;
  std::memcpy(out + at, q.name.data(), q.name.size());
  at += q.name.size();
  for (const std::uint16_t field : {q.type, dns::kClassIn}) {
    out[at++] = static_cast<std::uint8_t>(field >> 8);
    out[at++] = static_cast<std::uint8_t>(field);
  }
  if (!options.edns && !options.dnssec_ok) return at;
  header.additionals.set(1);
  const std::uint8_t opt[dns::kOptSize] = {
      0,
      0,
      dns::type::kOpt,
      dns::kUdpPayload >> 8,
      dns::kUdpPayload & 0xff,
      0,
      0,
      static_cast<std::uint8_t>(options.dnssec_ok ? dns::kDnssecOk >> 8 : 0),
      0,
      0,
      0};
  std::memcpy(out + at, opt, sizeof opt);
  return at + sizeof opt;
}

}  // namespace

DnsQueries::DnsQueries(const std::vector<DnsQuestion>& questions,
                       const std::vector<DnsExpected>& expected, const Options& options)
    : size_(static_cast<std::uint32_t>(questions.size())) {
  std::size_t longest = 0;
  for (const DnsQuestion& q : questions) longest = std::max(longest, q.name.size());
  const std::size_t most = sizeof(DnsQuery) + dns::Header::kSize + longest + 4 + dns::kOptSize;
  stride_ = (most + kCacheLine - 1) / kCacheLine * kCacheLine;
  const std::size_t bytes = (size_ * stride_ + kHugePage - 1) / kHugePage * kHugePage;
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kHugePage, bytes)));
  if (memory_ == nullptr) throw std::bad_alloc();
  ::madvise(memory_.get(), bytes, MADV_HUGEPAGE);  // fewer TLB misses; its lack is no error
  for (std::uint32_t i = 0; i < size_; ++i) {
    auto* query = new (memory_.get() + i * stride_) DnsQuery{};
    auto* payload = reinterpret_cast<std::uint8_t*>(query + 1);
    query->len = static_cast<std::uint16_t>(write_query(questions[i], options, payload));
    query->sum = wire::fold(wire::sum(payload, query->len));
    query->question_len = static_cast<std::uint16_t>(questions[i].name.size() + 4);
    if (expected.empty()) continue;
    query->rcode = expected[i].rcode;
    query->answers = expected[i].answers;
    digests_.push_back(expected[i].digest);
  }
}

std::vector<DnsQuestion> read_queries_file(const std::string& file) {
  std::ifstream in = open_file(file);
  std::vector<DnsQuestion> questions;
  std::string text;
  for (std::size_t number = 1; std::getline(in, text); ++number) {
    std::string_view line = text;
    const std::string_view name = next_word(line);
    if (name.empty() || name.front() == '#' || name.front() == ';') continue;
    questions.push_back(question_of(name, next_word(line), file + ":" + std::to_string(number)));
  }
  if (questions.empty()) throw UsageError(file + ": has no query; write NAME TYPE per line");
  return questions;
}

std::vector<DnsQuestion> names_of_pattern(const std::string& pattern, std::uint32_t count,
                                          const std::string& type) {
  const std::size_t at = pattern.find("{}");
  if (at == std::string::npos) {
    throw UsageError("--pattern " + pattern +
                     ": has no {}; put it where the number goes, as host{}.example.com");
  }
  const std::size_t digits = std::to_string(count - 1).size();
  std::vector<DnsQuestion> questions;
  questions.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string number = std::to_string(i);
    number.insert(0, digits - number.size(), '0');
    questions.push_back(
        question_of(std::string(pattern).replace(at, 2, number), type, "--pattern"));
  }
  return questions;
}

std::vector<DnsExpected> read_expected_file(const std::string& file, std::size_t questions) {
  std::ifstream in = open_file(file);
  std::vector<DnsExpected> all;
  std::string text;
  for (std::size_t number = 1; std::getline(in, text); ++number) {
    if (text.empty()) continue;
    const auto expected = expected_of(text);
    if (!expected) {
      throw UsageError(file + ":" + std::to_string(number) +
                       ": expected RCODE ANSWERS DIGEST, such as NOERROR 1 0123456789abcdef");
    }
    all.push_back(*expected);
  }
  if (all.size() != questions) {
    throw UsageError(file + ": " + std::to_string(all.size()) + " lines for " +
                     std::to_string(questions) + " queries; give one for each, in their order");
  }
  return all;
}

}  // namespace stackrig::rigload
