// SPDX-License-Identifier: Apache-2.0
// The queries that a run asks, ready to be sent, and what must come back.
//
// Made before the start, only read afterwards: threads share one set. Each query is a record of
// equal size that begins on a cache line, so that a million names cost a miss each and no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "dns/name.h"

namespace stackrig::rigload {

/// What an answer must say (docs/rigload.md, "Expected answers").
struct DnsExpected {
  std::uint16_t answers = 0;  ///< records in the answer section
  std::uint8_t rcode = 0;
  std::uint64_t digest = 0;  ///< of the answer section: dns_digest.h
};

struct DnsQuestion {
  dns::Name name;
  std::uint16_t type = 1;
  std::string given_at;  ///< for messages: "queries.txt:7"
};

/// One query, as it lies in the set.
struct DnsQuery {
  std::uint16_t len;           ///< bytes of payload()
  std::uint16_t sum;           ///< of payload(), its id being 0: wire::fold()
  std::uint16_t question_len;  ///< from payload() + 12 on
  std::uint16_t answers;       ///< expected
  std::uint8_t rcode;          ///< expected
  std::uint8_t reserved[7];

  [[nodiscard]] const std::byte* payload() const {
    return reinterpret_cast<const std::byte*>(this + 1);
  }
};
static_assert(sizeof(DnsQuery) == 16);

class DnsQueries {
 public:
  struct Options {
    bool edns = false;
    bool dnssec_ok = false;  ///< implies edns
    bool recursion_desired = false;
  };
  /// `expected` is empty, or has one entry per question. At least one question.
  DnsQueries(const std::vector<DnsQuestion>& questions, const std::vector<DnsExpected>& expected,
             const Options& options);

  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] const DnsQuery& at(std::uint32_t i) const {
    return *reinterpret_cast<const DnsQuery*>(memory_.get() + i * stride_);
  }
  /// Bytes from one query to the next; so many may be read from any.
  [[nodiscard]] std::size_t stride() const { return stride_; }
  /// Empty where nothing is known about contents.
  [[nodiscard]] const std::vector<std::uint64_t>& digests() const { return digests_; }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::uint32_t size_;
  std::size_t stride_;
  std::unique_ptr<std::byte[], Free> memory_;
  std::vector<std::uint64_t> digests_;
};

/// A file with "NAME TYPE" per line, as dnsperf and kxdpgun read it; empty lines and those that
/// begin with '#' or ';' are passed over. Throws runtime::UsageError with file and line.
std::vector<DnsQuestion> read_queries_file(const std::string& file);
/// `count` names: the one "{}" of `pattern` is 0 to count - 1, with leading zeros to equal length.
std::vector<DnsQuestion> names_of_pattern(const std::string& pattern, std::uint32_t count,
                                          const std::string& type);
/// A file with "RCODE ANSWERS DIGEST" per line, one for each of `questions`.
std::vector<DnsExpected> read_expected_file(const std::string& file, std::size_t questions);

}  // namespace stackrig::rigload
