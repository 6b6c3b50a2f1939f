// SPDX-License-Identifier: Apache-2.0
#include "dns/zone.h"

#include <algorithm>

namespace stackrig::dns {

NodeId Zone::find(const Labels& name) const {
  if (!is_at_or_below_apex(name)) return kNoNode;
  NodeId n = kApex;
  for (std::size_t i = apex_labels_; i < name.size() && n != kNoNode; ++i) n = child(n, name[i]);
  return n;
}

NodeId Zone::find_or_wildcard(const Labels& name) const {
  if (!is_at_or_below_apex(name)) return kNoNode;
  NodeId n = kApex;
  for (std::size_t i = apex_labels_; i < name.size(); ++i) {
    const NodeId next = child(n, name[i]);
    if (next == kNoNode) {
      const bool ours = !is_cut(n) && !has_dname(n) && !is_occluded(n);
      return ours && has_wildcard(n) ? wildcard(n) : kNoNode;
    }
    n = next;
  }
  return n;
}

bool Zone::is_at_or_below_apex(const Labels& name) const {
  if (name.size() < apex_labels_) return false;
  const std::uint8_t* end = name.suffix(apex_labels_);
  return equal_names({end, name_length(end)}, apex_.wire());
}

void Zone::name_of(NodeId n, Name& out) const {
  std::array<std::uint8_t, kMaxName> labels;
  std::size_t size = 0;
  for (; n != kApex; n = tree_.parent(n)) {
    const std::uint8_t* label = tree_.label(n);
    std::memcpy(&labels[size], label, std::size_t{1} + *label);
    size += std::size_t{1} + *label;
  }
  out.join({labels.data(), size}, apex_.wire());  // fits: it was the owner of a record
}

NodeId Zone::before(NodeId n, const std::uint8_t* label) const {
  NodeId low = n + 1;
  NodeId high = nodes_[n].end;
  while (low < high) {
    NodeId child = low + (high - low) / 2;
    while (tree_.parent(child) != n) child = tree_.parent(child);
    if (compare_labels(tree_.label(child), label) < 0) {
      low = nodes_[child].end;
    } else {
      high = child;
    }
  }
  return low - 1;
}

const RrSet* Zone::find(NodeId n, std::uint16_t t) const {
  for (const RrSet& r : rrsets(n)) {
    if (r.type == t) return &r;
  }
  return nullptr;
}

const Nsec3* Zone::nsec3_at(const Nsec3Hash& hash) const {
  const auto it = std::lower_bound(nsec3_.begin(), nsec3_.end(), hash,
                                   [](const Nsec3& a, const Nsec3Hash& b) { return a.hash < b; });
  return it != nsec3_.end() && it->hash == hash ? &*it : nullptr;
}

const Nsec3* Zone::nsec3_over(const Nsec3Hash& hash) const {
  const auto it = std::upper_bound(nsec3_.begin(), nsec3_.end(), hash,
                                   [](const Nsec3Hash& a, const Nsec3& b) { return a < b.hash; });
  return it == nsec3_.begin() ? &nsec3_.back() : &*(it - 1);
}

std::size_t Zone::memory() const {
  return sizeof *this + tree_.memory() + nodes_.capacity() * sizeof(Node) +
         rrsets_.capacity() * sizeof(RrSet) + data_.capacity() + nsec3_.capacity() * sizeof(Nsec3) +
         denials_.capacity() * sizeof(Denial);
}

}  // namespace stackrig::dns
