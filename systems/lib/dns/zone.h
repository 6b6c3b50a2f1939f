// SPDX-License-Identifier: Apache-2.0
// One zone as it is served: names in canonical order, their RRsets with their signatures, and the
// chain that denies what is not there.
//
// Nodes are numbered in canonical order (RFC 4034 6.1), so that the names below a node are the
// numbers that follow it, and the name before one that is not there is found by bisection. Every
// ancestor up to the apex is a node, whether it has records (empty non-terminals, RFC 4592 2.2.2).
// Immutable; any number of threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dns/label_tree.h"
#include "dns/message.h"
#include "dns/name.h"

namespace stackrig::dns {

/// Records of one name, class and type, and the RRSIGs over them.
struct RrSet {
  std::uint16_t type;
  std::uint16_t count;
  std::uint16_t signatures;
  std::uint32_t ttl;             ///< seconds
  std::uint32_t data;            ///< where the records stand in Zone
  std::uint32_t signature_data;  ///< likewise
};

/// The parameters of a chain of NSEC3 (RFC 5155 4.1).
struct Nsec3Parameters {
  std::uint8_t algorithm = 1;
  std::uint16_t iterations = 0;
  std::uint8_t salt_length = 0;
  std::array<std::uint8_t, 255> salt{};
};

using Nsec3Hash = std::array<std::uint8_t, 20>;

/// The label of a wildcard, with its length byte.
inline constexpr std::uint8_t kStar[] = {1, '*'};

struct Nsec3 {
  Nsec3Hash hash;
  RrSet rrset;
};

class Zone {
 public:
  static constexpr NodeId kApex = LabelTree::kRoot;

  [[nodiscard]] const Name& apex() const { return apex_; }
  [[nodiscard]] std::size_t apex_labels() const { return apex_labels_; }
  [[nodiscard]] std::size_t names() const { return nodes_.size(); }
  [[nodiscard]] std::size_t records() const { return records_; }
  [[nodiscard]] std::size_t memory() const;

  // --- names ---
  [[nodiscard]] NodeId child(NodeId n, const std::uint8_t* label) const {
    return tree_.child(n, label);
  }
  /// The node of `name`, also where it stands below a zone cut; kNoNode where it is not there.
  [[nodiscard]] NodeId find(const Labels& name) const;
  /// The same, or the wildcard that stands for it (RFC 4592 2.1.1).
  [[nodiscard]] NodeId find_or_wildcard(const Labels& name) const;
  void name_of(NodeId n, Name& out) const;
  [[nodiscard]] NodeId parent(NodeId n) const { return tree_.parent(n); }
  [[nodiscard]] NodeId wildcard(NodeId n) const { return child(n, kStar); }
  [[nodiscard]] bool is_below(NodeId n, NodeId ancestor) const {  ///< or the same
    return n >= ancestor && n < nodes_[ancestor].end;
  }
  /// The last node before `label` as a child of `n`, which it is not, in canonical order.
  [[nodiscard]] NodeId before(NodeId n, const std::uint8_t* label) const;

  [[nodiscard]] bool is_cut(NodeId n) const { return (nodes_[n].flags & kCut) != 0; }
  [[nodiscard]] bool has_dname(NodeId n) const { return (nodes_[n].flags & kDname) != 0; }
  [[nodiscard]] bool has_wildcard(NodeId n) const { return (nodes_[n].flags & kWildcard) != 0; }
  /// Below a cut: not part of the zone's own data (RFC 1034 4.2.1). Below a DNAME there is nothing.
  [[nodiscard]] bool is_occluded(NodeId n) const { return (nodes_[n].flags & kOccluded) != 0; }

  // --- records ---
  /// In the order of their types.
  [[nodiscard]] std::span<const RrSet> rrsets(NodeId n) const {
    return {rrsets_.data() + nodes_[n].rrsets, nodes_[n].rrset_count};
  }
  /// nullptr where there is none.
  [[nodiscard]] const RrSet* find(NodeId n, std::uint16_t type) const;
  [[nodiscard]] const RrSet& soa() const { return *find(kApex, type::kSoa); }
  /// What a negative answer may be kept for, in seconds (RFC 2308 5).
  [[nodiscard]] std::uint32_t negative_ttl() const { return negative_ttl_; }

  /// Calls `f(std::span<const std::uint8_t> rdata)` for `count` records from `data` on, until it
  /// says false; says whether it never did.
  template <class F>
  bool each(std::uint32_t data, unsigned count, F&& f) const {
    const std::uint8_t* p = data_.data() + data;
    for (; count > 0; --count) {
      const std::size_t length = static_cast<std::size_t>(p[0] << 8 | p[1]);
      if (!f(std::span{p + 2, length})) return false;
      p += 2 + length;
    }
    return true;
  }
  /// The data of the first record.
  [[nodiscard]] const std::uint8_t* first(const RrSet& r) const {
    return data_.data() + r.data + 2;
  }

  // --- DNSSEC ---
  [[nodiscard]] bool is_signed() const { return signed_; }
  [[nodiscard]] bool uses_nsec3() const { return !nsec3_.empty(); }
  [[nodiscard]] const Nsec3Parameters& nsec3_parameters() const { return nsec3_parameters_; }
  /// The one with this hash, or nullptr; the one whose interval the hash lies in.
  [[nodiscard]] const Nsec3* nsec3_at(const Nsec3Hash& hash) const;
  [[nodiscard]] const Nsec3* nsec3_over(const Nsec3Hash& hash) const;
  /// The one of a name that is there, or nullptr (it is in an opt-out span); the one over the
  /// wildcard below it, which is not there. Neither hashes anything.
  [[nodiscard]] const Nsec3* nsec3_of(NodeId n) const { return nsec3_or_null(denials_[n].own); }
  [[nodiscard]] const Nsec3* nsec3_over_wildcard(NodeId n) const {
    return nsec3_or_null(denials_[n].wildcard);
  }

 private:
  friend class ZoneBuilder;
  [[nodiscard]] bool is_at_or_below_apex(const Labels& name) const;
  enum Flag : std::uint8_t { kCut = 1, kDname = 2, kWildcard = 4, kOccluded = 8 };
  struct Node {
    std::uint32_t end = 0;     ///< one past the last node below it
    std::uint32_t rrsets = 0;  ///< its first
    std::uint16_t rrset_count = 0;
    std::uint8_t flags = 0;
  };

  static constexpr std::uint32_t kNoNsec3 = 0xffffffff;
  /// Places in nsec3_ of what a name that is there is needed for in a denial.
  struct Denial {
    std::uint32_t own = kNoNsec3;
    std::uint32_t wildcard = kNoNsec3;
  };
  [[nodiscard]] const Nsec3* nsec3_or_null(std::uint32_t at) const {
    return at == kNoNsec3 ? nullptr : &nsec3_[at];
  }

  Name apex_;
  std::size_t apex_labels_ = 0;
  std::size_t records_ = 0;
  std::uint32_t negative_ttl_ = 0;
  bool signed_ = false;
  LabelTree tree_;
  std::vector<Node> nodes_;  ///< numbered as in the tree
  std::vector<RrSet> rrsets_;
  std::vector<std::uint8_t> data_;  ///< of each record: length (16 bits), data
  std::vector<Nsec3> nsec3_;        ///< by hash
  std::vector<Denial> denials_;     ///< by node; empty without NSEC3
  Nsec3Parameters nsec3_parameters_;
};

}  // namespace stackrig::dns
