// SPDX-License-Identifier: Apache-2.0
// A digest of an answer section: equal where two answers say the same, however their records are
// ordered and their names compressed or capitalised.
//
// Each record as RFC 4034 6.2 makes it canonical (owner and the names in the data of the types of
// RFC 1035, SRV and DNAME uncompressed and in lower case; type, class, TTL, data), the records
// sorted by their bytes; the first eight bytes of SHA-256 over them all, as a big-endian number.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

struct evp_md_ctx_st;
struct evp_md_st;

namespace stackrig::rigload {

/// Memory is reused from one answer to the next. Thread: one.
class DnsDigest {
 public:
  DnsDigest();
  ~DnsDigest();
  DnsDigest(const DnsDigest&) = delete;
  DnsDigest& operator=(const DnsDigest&) = delete;

  /// `message` is whole and has one question; nothing where it cannot be read.
  std::optional<std::uint64_t> of(std::span<const std::uint8_t> message);

 private:
  struct Record {
    std::uint32_t begin, end;  ///< in bytes_
  };
  /// Appends the name at `at` in canonical form and moves behind it; false where it is none.
  bool take_name(std::span<const std::uint8_t> message, std::size_t& at);
  bool take_record(std::span<const std::uint8_t> message, std::size_t& at);
  bool take_data(std::span<const std::uint8_t> message, std::size_t at, std::size_t end,
                 std::uint16_t type);
  void append(std::span<const std::uint8_t> bytes);
  [[nodiscard]] bool less(const Record& a, const Record& b) const;

  evp_md_ctx_st* context_;
  evp_md_st* sha256_;
  std::vector<std::uint8_t> bytes_;
  std::vector<Record> records_;
};

}  // namespace stackrig::rigload
