// SPDX-License-Identifier: Apache-2.0
#include "dns/zone_set.h"

#include "dns/zone.h"
#include "dns/zone_file.h"

namespace stackrig::dns {
namespace {

std::string describe(const std::filesystem::path& file, std::size_t line, const std::string& what) {
  return file.string() + (line != 0 ? ":" + std::to_string(line) : "") + ": " + what;
}

}  // namespace

ZoneError::ZoneError(const std::filesystem::path& where, std::size_t at, const std::string& what)
    : std::invalid_argument(describe(where, at, what)), file(where), line(at) {
}

ZoneSet::ZoneSet() = default;
ZoneSet::~ZoneSet() = default;

std::shared_ptr<const ZoneSet> ZoneSet::load(std::span<const ZoneFile> files) {
  const std::shared_ptr<ZoneSet> set{new ZoneSet};
  for (const ZoneFile& f : files) set->add(load_zone(f), f.path);
  return set;
}

std::shared_ptr<const ZoneSet> ZoneSet::parse(std::span<const ZoneText> zones) {
  const std::shared_ptr<ZoneSet> set{new ZoneSet};
  for (const ZoneText& z : zones) set->add(parse_zone(z), z.origin);
  return set;
}

void ZoneSet::add(std::unique_ptr<const Zone> zone, const std::filesystem::path& file) {
  const Labels labels(zone->apex().data());
  NodeId n = LabelTree::kRoot;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const NodeId child = apexes_.child(n, labels[i]);
    n = child != kNoNode ? child : apexes_.add(n, labels[i]);
  }
  zone_at_.resize(apexes_.size(), nullptr);
  if (zone_at_[n] != nullptr) {
    throw ZoneError(file, 0, "a second zone " + name_to_text(zone->apex().data()) + "; keep one");
  }
  zone_at_[n] = zone.get();
  zones_.push_back(std::move(zone));
}

const Zone* ZoneSet::find(const Labels& name, std::uint16_t qtype) const {
  const Zone* found = zone_at_.empty() ? nullptr : zone_at_[LabelTree::kRoot];
  NodeId n = LabelTree::kRoot;
  for (std::size_t i = 0; i < name.size(); ++i) {
    n = apexes_.child(n, name[i]);
    if (n == kNoNode) break;
    const bool is_parents = qtype == type::kDs && found != nullptr && i + 1 == name.size();
    if (zone_at_[n] != nullptr && !is_parents) found = zone_at_[n];
  }
  return found;
}

std::size_t ZoneSet::names() const {
  std::size_t n = 0;
  for (const auto& z : zones_) n += z->names();
  return n;
}

std::size_t ZoneSet::records() const {
  std::size_t n = 0;
  for (const auto& z : zones_) n += z->records();
  return n;
}

std::size_t ZoneSet::memory() const {
  std::size_t n = sizeof *this + apexes_.memory() + zone_at_.capacity() * sizeof(Zone*);
  for (const auto& z : zones_) n += z->memory();
  return n;
}

}  // namespace stackrig::dns
