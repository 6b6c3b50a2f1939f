// SPDX-License-Identifier: Apache-2.0
// From records in any order to a zone: sorted, grouped into RRsets, checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dns/zone.h"

namespace stackrig::dns {

class ZoneBuilder {
 public:
  /// Where a record stands, for errors.
  struct Place {
    std::uint16_t file = 0;  ///< its index among the files of the zone
    std::uint32_t line = 0;
  };

  /// `files`: the zone's file, and those that it includes as they are met; outlives the builder.
  ZoneBuilder(const Name& apex, const std::vector<std::filesystem::path>& files);

  /// Takes a record of class IN. `owner` and `rdata` are well-formed wire form without compression.
  /// Throws ZoneError where it does not belong into the zone.
  void add(std::span<const std::uint8_t> owner, std::uint16_t type, std::uint32_t ttl,
           std::span<const std::uint8_t> rdata, Place place);

  /// The zone. Throws ZoneError where the records do not make one.
  std::unique_ptr<const Zone> build();

 private:
  struct Record {
    std::uint32_t key;  ///< offset of the owner's sort key
    std::uint16_t key_size;
    std::uint16_t type;  ///< of an RRSIG, the type that it covers
    bool signature;      ///< an RRSIG
    std::uint16_t size;  ///< of the data
    std::uint32_t data;  ///< offset
    std::uint32_t ttl;
    Place place;
  };
  using Group = std::span<const Record>;

  [[noreturn]] void fail(Place place, const std::string& what) const;
  [[nodiscard]] std::string_view key_of(const Record& r) const;
  [[nodiscard]] std::span<const std::uint8_t> data_of(const Record& r) const;
  void sort(std::vector<Record>& records) const;

  NodeId enter(std::string_view key, Place place);
  void add_node(Group group);
  RrSet add_rrset(Group group);
  std::uint32_t put_records(Group group, std::uint16_t type, std::uint16_t& count);
  [[noreturn]] void fail_too_large(Place place) const;
  void check_fits(NodeId n, const RrSet& r, Group group) const;
  [[nodiscard]] bool is_wildcard(NodeId n) const;
  void check_place(const Record& r) const;
  void check_node(NodeId n, Group group) const;
  void check_apex() const;
  void mark_nodes();

  void choose_nsec3_chain();
  void add_nsec3();
  void find_denials();
  [[nodiscard]] bool of_the_chain(const Record& r) const;

  const std::vector<std::filesystem::path>& files_;
  std::unique_ptr<Zone> zone_;
  std::vector<Record> records_;
  std::vector<Record> nsec3_;  ///< of names that exist only as hashes (RFC 5155 7.1)
  std::string keys_;
  std::vector<std::uint8_t> data_;
  /// The path to the last node: its labels' keys, and its nodes.
  std::vector<std::string_view> path_labels_;
  std::vector<NodeId> path_;
};

}  // namespace stackrig::dns
