// SPDX-License-Identifier: Apache-2.0
#include "dns/label_tree.h"

#include <cstring>
#include <limits>
#include <stdexcept>

#include "dns/name.h"
#include "hash/random_secret.h"
#include "hash/siphash.h"

namespace stackrig::dns {

LabelTree::LabelTree()
    : nodes_{{kNoNode, 0}},
      labels_{0},
      slots_(16, kNoNode),
      key_{hash::random_secret(), hash::random_secret()} {
}

std::uint32_t LabelTree::hash(NodeId parent, const std::uint8_t* label) const {
  hash::SipHash<1, 3> h(key_);
  std::size_t left = std::size_t{1} + *label;
  std::uint64_t word = 0;
  for (; left >= sizeof word; left -= sizeof word, label += sizeof word) {
    std::memcpy(&word, label, sizeof word);
    h.word(lower(word));
  }
  word = 0;
  std::memcpy(&word, label, left);
  // The length byte tells where a label ends, so that no byte is needed for it here.
  h.word(lower(word));
  return static_cast<std::uint32_t>(h.finish(parent));
}

NodeId LabelTree::child(NodeId parent, const std::uint8_t* label) const {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = hash(parent, label) & mask;; i = (i + 1) & mask) {
    const NodeId n = slots_[i];
    if (n == kNoNode) return kNoNode;
    const std::uint8_t* there = &labels_[nodes_[n].label];
    if (nodes_[n].parent == parent && *there == *label &&
        equal_bytes(there + 1, label + 1, *label)) {
      return n;
    }
  }
}

void LabelTree::place(NodeId n) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = hash(nodes_[n].parent, label(n)) & mask;
  while (slots_[i] != kNoNode) i = (i + 1) & mask;
  slots_[i] = n;
}

void LabelTree::grow() {
  slots_.assign(slots_.size() * 2, kNoNode);
  for (NodeId n = 1; n < nodes_.size(); ++n) place(n);
}

NodeId LabelTree::add(NodeId parent, const std::uint8_t* label) {
  if (labels_.size() > std::numeric_limits<std::uint32_t>::max() - kMaxLabel - 1) {
    throw std::length_error("its names take more than 4 GiB");
  }
  const auto n = static_cast<NodeId>(nodes_.size());
  nodes_.push_back({parent, static_cast<std::uint32_t>(labels_.size())});
  labels_.insert(labels_.end(), label, label + 1 + *label);
  if (nodes_.size() * 2 > slots_.size()) {
    grow();
  } else {
    place(n);
  }
  return n;
}

void LabelTree::shrink_to_fit() {
  nodes_.shrink_to_fit();
  labels_.shrink_to_fit();
}

std::size_t LabelTree::memory() const {
  return nodes_.capacity() * sizeof(Node) + labels_.capacity() + slots_.capacity() * sizeof(NodeId);
}

}  // namespace stackrig::dns
