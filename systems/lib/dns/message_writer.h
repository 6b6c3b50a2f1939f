// SPDX-License-Identifier: Apache-2.0
// Writes a message record by record, with names compressed (RFC 1035 4.1.4), into memory that the
// caller has.
//
// What does not fit is not written at all: a record that does not is taken back here, an RRset by
// the caller, who takes a mark before it and goes back to that. Compression looks only at names,
// never at the case of their letters, so that the length and the pointers of an answer do not
// depend on the case of the question.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dns/message.h"
#include "dns/query.h"

namespace stackrig::dns {

class MessageWriter {
 public:
  enum Section : std::uint8_t { answer, authority, additional };

  /// Begins an answer: header and question of `query`. At most `limit` bytes of `out` are used, of
  /// which those of OPT are kept free where the query has one.
  MessageWriter(const Query& query, std::span<std::uint8_t> out, std::size_t limit);

  /// A record: owner and, in the data, the names that may be compressed (RFC 3597 4: those of the
  /// types of RFC 1035). `rdata` is uncompressed. False, and nothing done, where it does not fit.
  [[nodiscard]] bool add(Section section, const std::uint8_t* owner, std::uint16_t type,
                         std::uint32_t ttl, std::span<const std::uint8_t> rdata);

  struct Mark {
    std::size_t size;
    std::uint16_t names;
    std::array<std::uint16_t, 3> counts;
    bool operator==(const Mark&) const = default;
  };
  [[nodiscard]] Mark mark() const { return {size_, names_used_, counts_}; }
  void back_to(const Mark& m) {
    size_ = m.size;
    names_used_ = m.names;
    counts_ = m.counts;
  }

  /// Puts OPT behind the records where the query had one, and counts and flags into the header.
  /// Returns the message's bytes.
  std::size_t finish(const Query& query, std::uint16_t flags, Rcode rcode);

 private:
  /// A name, or the end of one, that stands in the message at `at`.
  struct Known {
    std::uint16_t at;
    std::uint16_t hash;
  };
  static constexpr std::size_t kKnown = 128;

  [[nodiscard]] bool put_record(const std::uint8_t* owner, std::uint16_t type, std::uint32_t ttl,
                                std::span<const std::uint8_t> rdata);
  [[nodiscard]] bool put(const void* bytes, std::size_t n);
  [[nodiscard]] bool put_name(const std::uint8_t* name);
  [[nodiscard]] bool put_rdata(std::uint16_t type, std::span<const std::uint8_t> rdata);
  /// Where `name`, whose hash is `hash`, stands already; 0: nowhere.
  [[nodiscard]] std::uint16_t find(const std::uint8_t* name, std::uint16_t hash) const;
  /// Only what is written is looked at, and only pointers that lead back are followed: whatever
  /// stands in the memory behind the message, the search ends.
  [[nodiscard]] bool stands_at(std::size_t at, const std::uint8_t* name) const;
  void remember(std::size_t at, std::uint16_t hash);

  std::uint8_t* out_;
  std::size_t limit_;  ///< OPT not counted
  std::size_t size_ = 0;
  std::uint16_t names_used_ = 0;
  std::array<std::uint16_t, 3> counts_{};
  std::array<Known, kKnown> names_;
};

}  // namespace stackrig::dns
