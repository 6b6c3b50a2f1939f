// SPDX-License-Identifier: Apache-2.0
// The zones that a server is authoritative for, read from zone files (RFC 1035 5) at start-up.
//
// A set is immutable once it is loaded: any number of threads read it without a lock, and a reload
// makes another set while the old one goes on answering. Memory per name is that of its last label,
// its records and about 80 bytes, and 8 more in a zone with NSEC3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "dns/label_tree.h"
#include "dns/name.h"

namespace stackrig::dns {

class Zone;

struct ZoneFile {
  std::string origin;          ///< "example.com" or "example.com."
  std::filesystem::path path;  ///< master file; $ORIGIN, $TTL and $INCLUDE are understood
};

struct ZoneText {
  std::string_view origin;
  std::string_view text;
};

/// A zone file that cannot be served. what() is "FILE:LINE: cause; remedy"; bad input (exit code
/// 2).
class ZoneError : public std::invalid_argument {
 public:
  ZoneError(const std::filesystem::path& file, std::size_t line, const std::string& what);
  std::filesystem::path file;
  std::size_t line;  ///< from 1; 0: the file as a whole
};

class ZoneSet {
 public:
  /// Reads every file. Throws ZoneError; also where two zones have one origin.
  static std::shared_ptr<const ZoneSet> load(std::span<const ZoneFile> files);
  /// The same from text: in errors the origin stands for the file's name, and nothing can be
  /// included.
  static std::shared_ptr<const ZoneSet> parse(std::span<const ZoneText> zones);

  ~ZoneSet();
  ZoneSet(const ZoneSet&) = delete;
  ZoneSet& operator=(const ZoneSet&) = delete;

  [[nodiscard]] std::size_t size() const { return zones_.size(); }
  [[nodiscard]] const Zone& operator[](std::size_t i) const { return *zones_[i]; }
  [[nodiscard]] std::size_t names() const;    ///< of all zones, empty non-terminals included
  [[nodiscard]] std::size_t records() const;  ///< of all zones
  [[nodiscard]] std::size_t memory() const;   ///< bytes

  /// The zone that answers for `name`: the one whose origin is the longest end of it; DS at a
  /// zone's origin is its parent zone's, where that is in the set too (RFC 4035 3.1.4.1). nullptr
  /// where no zone does.
  [[nodiscard]] const Zone* find(const Labels& name, std::uint16_t qtype) const;

 private:
  ZoneSet();
  void add(std::unique_ptr<const Zone> zone, const std::filesystem::path& file);

  std::vector<std::unique_ptr<const Zone>> zones_;
  LabelTree apexes_;
  std::vector<const Zone*> zone_at_;  ///< by node of the tree
};

}  // namespace stackrig::dns
