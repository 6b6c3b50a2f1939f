// SPDX-License-Identifier: Apache-2.0
// A tree of names, label by label, with one hash table for all steps from a node to its child: a
// name is found from its top label on, as RFC 1034 4.3.2 looks for it, one probe a label.
//
// A name that is there has all its ancestors there. Labels are kept in lower case. Built once, then
// read by any number of threads. Memory: its last label and about 25 bytes a name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace stackrig::dns {

using NodeId = std::uint32_t;
inline constexpr NodeId kNoNode = ~NodeId{0};

class LabelTree {
 public:
  static constexpr NodeId kRoot = 0;

  /// A tree with a root, and a random key.
  LabelTree();

  /// A new child; ids count up. `label` has its length byte, is in lower case, and is not there.
  /// Throws std::length_error where labels would take more than 4 GiB.
  NodeId add(NodeId parent, const std::uint8_t* label);
  /// kNoNode where it is not there. The case of `label` does not matter.
  [[nodiscard]] NodeId child(NodeId parent, const std::uint8_t* label) const;

  [[nodiscard]] NodeId parent(NodeId n) const { return nodes_[n].parent; }
  [[nodiscard]] const std::uint8_t* label(NodeId n) const { return &labels_[nodes_[n].label]; }
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] std::size_t memory() const;

  /// Gives back what growing had in reserve.
  void shrink_to_fit();

 private:
  struct Node {
    NodeId parent;
    std::uint32_t label;  ///< offset
  };
  [[nodiscard]] std::uint32_t hash(NodeId parent, const std::uint8_t* label) const;
  void place(NodeId n);
  void grow();

  std::vector<Node> nodes_;
  std::vector<std::uint8_t> labels_;
  std::vector<NodeId> slots_;  ///< open addressing, at most half full
  std::uint64_t key_[2];
};

}  // namespace stackrig::dns
