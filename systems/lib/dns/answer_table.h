// SPDX-License-Identifier: Apache-2.0
// Every answer that can be cut in advance, in a hash table that is built once and then only read
// (thesis 3.2.3: responses are made at start-up and found by type and name).
//
// In it: for every name that a zone has authority over, each type that it has, and A and AAAA also
// where it has none (the end of an alias, or that there is none); for every zone cut DS, and the
// referral to who asks for the cut itself, for NS, A and AAAA. The same answer serves plain and
// EDNS queries: OPT is put behind it. Of a signed zone there is another one for queries with DO,
// with signatures and denials, where that fits kUdpPayload.
//
// What that costs, index included, for a name like host123.example.com with one A record: 200 bytes
// (of which 110 for AAAA), 240 with FqdnKey; with ECDSA signatures 800 where NSEC3 denies, 1130
// where NSEC does, which is a type more.
//
// Not in it, because there is no end of them: names that are not there (NXDOMAIN), that a wildcard
// or a DNAME stands for, or below a cut; and other types that a name has not. Nor are ANY and
// RRSIG, nor what is truncated. What is not found here is answered by respond(), with the same
// bytes where both could answer.
//
// The two keys of the paper: WireKey hashes the name as it stands in the packet, with its letters
// in lower case; FqdnKey makes the text of the name ("www.example.com") first. Both hashes are
// keyed (hash/block_hash.h), because those who ask, and in a hosted zone those who make names,
// may be attackers.
//
// A look-up is in stages, so that a batch's cache misses overlap:
//
//   for each query: table.probe(query[i], probe[i]); table.prefetch(probe[i]);
//   for each query: table.prefetch_answer(probe[i]);
//   for each query: if (const CutAnswer* cut = table.find(probe[i], query[i])) {
//                     std::memcpy(out, cut->payload(), cut->length);       // or a frame cut before
//                     bytes = cut->stamp(query[i], out);
//                   } else { bytes = respond(zones, query[i], Transport::udp, out); }
//
// Read-only after construction: one table may serve any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dns/cut.h"
#include "dns/huge_memory.h"
#include "dns/query.h"
#include "dns/zone_set.h"
#include "hash/block_hash.h"

namespace stackrig::dns {

/// An answer over UDP, without OPT, to a query with id 0, flags 0 and its name in lower case. Lies
/// in the table's memory, with its payload behind it.
struct CutAnswer {
  std::uint32_t number;       ///< position in the order of for_each, from 0
  std::uint16_t length;       ///< bytes of payload(); with OPT at most kUdpPayload
  std::uint16_t key_len;      ///< bytes of text between this and the payload (FqdnKey; else 0)
  std::uint16_t additionals;  ///< records in the additional section
  std::uint8_t qname_len;     ///< bytes of the name in the question
  Clients clients;            ///< which queries it answers

  [[nodiscard]] const std::uint8_t* payload() const {
    return reinterpret_cast<const std::uint8_t*>(this + 1) + key_len;
  }
  /// Makes a copy of payload() into the answer to `query`: its id, its RD bit, its name in its
  /// case, and OPT where it has one. `copy` must have room for length + kOptSize; a copy that was
  /// stamped before can be stamped again. Returns the answer's bytes.
  std::size_t stamp(const Query& query, std::uint8_t* copy) const;
  /// Writes the answer around the question, which lies at out + Header::kSize as it came: what is
  /// in stamp(), without a copy of the name. Up to kSlack bytes behind the answer are written over.
  /// Returns the answer's bytes.
  std::size_t write_around(const Query& query, std::uint8_t* out) const;
  static constexpr std::size_t kSlack = 15;
};

/// The name in the packet, its letters in lower case.
struct WireKey {
  struct Probe {
    std::uint64_t hash;
  };
};

/// The name's text in lower case, labels parted by dots, what is no letter, digit, '-' or '_' as
/// \DDD.
struct FqdnKey {
  static constexpr std::size_t kMaxText = 4 * kMaxName;
  struct Probe {
    std::uint64_t hash;
    std::uint16_t length;
    char text[kMaxText + 16];  ///< zeros behind the text
  };
};

template <class Key>
class AnswerTable {
 public:
  using Probe = typename Key::Probe;

  /// Cuts every answer. Throws std::bad_alloc. The zones need not outlive the table.
  explicit AnswerTable(const ZoneSet& zones);
  AnswerTable(const AnswerTable&) = delete;
  AnswerTable& operator=(const AnswerTable&) = delete;

  /// `probe` may be uninitialised: only what is needed of it is written.
  void probe(const Query& query, Probe& probe) const;
  /// Stage 1: the bucket.
  void prefetch(const Probe& probe) const { __builtin_prefetch(&bucket(probe.hash)); }
  /// Stage 2: the answer that the bucket most likely means.
  void prefetch_answer(const Probe& probe) const;
  /// Stage 3: the answer to `query` over UDP; nullptr where it has to come from respond().
  [[nodiscard]] const CutAnswer* find(const Probe& probe, const Query& query) const;

  /// Calls `visit(const CutAnswer&)` for every answer, number 0 first; what the question is stands
  /// in its payload.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t at = kFirst; at < answers_end_;) {
      const CutAnswer& cut = *reinterpret_cast<const CutAnswer*>(answers_.data() + at);
      visit(cut);
      at += bytes_of(cut);
    }
  }

  [[nodiscard]] std::size_t size() const { return count_; }  ///< answers
  [[nodiscard]] std::size_t memory() const { return answers_.size() + buckets_.size(); }  ///< bytes

 private:
  /// One cache line. Slots fill from the first on; a full bucket passes entries on to the next.
  struct alignas(64) Bucket {
    static constexpr unsigned kSlots = 8;
    std::uint32_t tags[kSlots];
    std::uint32_t answers[kSlots];  ///< offset in units of kUnit; 0: free
  };
  static constexpr std::size_t kUnit = 8;
  static constexpr std::size_t kFirst = kUnit;  ///< offset of the first answer: none has 0

  static std::size_t bytes_of(const CutAnswer& cut) {
    return (sizeof cut + cut.key_len + cut.length + kUnit - 1) & ~(kUnit - 1);
  }
  [[nodiscard]] const Bucket& bucket(std::size_t i) const {
    return reinterpret_cast<const Bucket*>(buckets_.data())[i & mask_];
  }
  [[nodiscard]] const CutAnswer& answer(std::uint32_t slot) const {
    return *reinterpret_cast<const CutAnswer*>(answers_.data() + std::size_t{slot} * kUnit);
  }
  static unsigned match(const Bucket& b, std::uint64_t hash);
  static bool is_for(const CutAnswer& cut, const Probe& probe, const Query& query);
  [[nodiscard]] const CutAnswer* locate(const Probe& probe, const Query& query) const;
  void insert(std::uint64_t hash, std::uint32_t at);
  void build_index();

  hash::BlockHashKey key_;
  std::size_t mask_ = 0;
  std::size_t count_ = 0;
  /// CutAnswer, key, payload, padding to kUnit; and so on; at the end CutAnswer::kSlack.
  HugeMemory answers_;
  std::size_t answers_end_ = kFirst;
  HugeMemory buckets_;
};

using WireTable = AnswerTable<WireKey>;
using FqdnTable = AnswerTable<FqdnKey>;

}  // namespace stackrig::dns
