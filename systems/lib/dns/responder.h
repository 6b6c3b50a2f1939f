// SPDX-License-Identifier: Apache-2.0
// One answer in the making: what respond() keeps while it follows a chain of aliases through the
// zones. Lives on the stack of one call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dns/message_writer.h"
#include "dns/name.h"
#include "dns/nsec3.h"
#include "dns/query.h"
#include "dns/zone.h"
#include "dns/zone_set.h"

namespace stackrig::dns {

class Responder {
 public:
  Responder(const ZoneSet& zones, const Query& query, std::span<std::uint8_t> out,
            std::size_t limit);
  std::size_t run();

 private:
  using Section = MessageWriter::Section;

  /// A chain of aliases is followed this far; who asks may go on from its end.
  static constexpr std::size_t kMaxChain = 20;
  /// RRsets that one answer is known to have; beyond it one may come twice.
  static constexpr std::size_t kMaxSets = 96;

  /// Where the walk down a zone (RFC 1034 4.3.2, step 3) has ended.
  struct Walk {
    NodeId node;         ///< the last one that is there
    std::size_t labels;  ///< of the name that `node` is
  };
  enum class Next : std::uint8_t { done, alias };

  // --- respond.cc: the algorithm ---
  Next answer_from_zone(const Labels& name);
  Next answer_at(NodeId node, const Labels& name, bool is_wildcard, const Walk& encloser);
  Next follow_cname(const RrSet& cname);
  Next follow_dname(NodeId node, const Labels& name);
  Next follow(const std::uint8_t* target);
  void answer_any(NodeId node);
  void answer_signatures(NodeId node);
  void refer(NodeId cut);
  void say_no(Rcode rcode);

  // --- respond.cc: records ---
  // An answer without something that it must have is given up: after require(false) nothing more is
  // added, and run() gives out a truncated one.
  void require(bool is_there) { overflow_ |= !is_there; }
  bool add(Section section, const std::uint8_t* owner, const RrSet& set);
  bool add_once(Section section, const std::uint8_t* owner, const RrSet& set,
                const std::uint8_t* expanded = nullptr);
  bool add_with_ttl(Section section, const std::uint8_t* owner, const RrSet& set,
                    std::uint32_t ttl);
  [[nodiscard]] bool is_in(const RrSet& set, const std::uint8_t* expanded) const;
  void add_additional();
  void add_addresses(const Zone& zone, const std::uint8_t* target, NodeId cut, bool must);

  // --- denial.cc: what is not there is not there (RFC 4035 3.1.3, RFC 5155 7.2) ---
  void deny_name(const Labels& name, const Walk& encloser);
  void deny_type(NodeId node, const Labels& name);
  void deny_wildcard_type(NodeId wildcard, const Labels& name, const Walk& encloser);
  void prove_expansions();
  void deny_ds(NodeId cut);
  void add_nsec_at_or_before(NodeId node);
  void add_nsec3(const Nsec3* nsec3);
  void add_nsec3_over(const std::uint8_t* name);
  NodeId prove_closest_encloser(const Labels& name, Walk encloser);

  const ZoneSet& zones_;
  const Query& query_;
  MessageWriter writer_;
  MessageWriter::Mark empty_;
  const Zone* zone_ = nullptr;
  bool wants_proof_ = false;  ///< DO, and the zone is signed
  bool overflow_ = false;
  bool aliased_ = false;
  std::uint16_t flags_ = flag::kAuthoritative;
  Rcode rcode_ = Rcode::noerror;
  Name name_;                          ///< that is asked for now
  std::array<Name, kMaxChain> asked_;  ///< before
  std::size_t chain_ = 0;

  /// A name that a wildcard has answered for: that it is not there itself is proved when the answer
  /// section is done.
  struct Expansion {
    const Zone* zone;
    std::size_t asked;  ///< its place in asked_, or the end of that: name_
    Walk encloser;
  };
  std::array<Expansion, kMaxChain + 1> expansions_;
  std::size_t expansion_count_ = 0;

  /// An RRset in the answer that names hosts (NS, MX, SRV).
  struct Naming {
    const Zone* zone;
    const RrSet* set;
    NodeId cut;  ///< of a referral; kNoNode
  };
  /// An RRset that is in the answer; `expanded`: the name that it has there, where it is a
  /// wildcard's (in the zone's memory), else nullptr.
  struct Present {
    const RrSet* set;
    const std::uint8_t* expanded;
  };
  std::array<Present, kMaxSets> sets_;
  std::size_t set_count_ = 0;
  std::array<Naming, kMaxChain + 1> naming_;
  std::size_t naming_count_ = 0;
};

}  // namespace stackrig::dns
