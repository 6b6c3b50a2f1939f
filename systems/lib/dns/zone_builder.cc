// SPDX-License-Identifier: Apache-2.0
// Records are sorted by owner in canonical order, then by type. An owner's sort key is made of its
// labels below the apex, the top one first, each ended by a zero byte; bytes 0 and 1 of a label are
// escaped, so that comparing keys byte by byte is the order of RFC 4034 6.1.
#include "dns/zone_builder.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "dns/message_writer.h"
#include "dns/nsec3.h"
#include "dns/rdata.h"
#include "dns/zone_set.h"

namespace stackrig::dns {
namespace {

constexpr std::size_t kMaxBytes = std::numeric_limits<std::uint32_t>::max();

void append_key(std::string& keys, const std::uint8_t* label) {
  for (std::size_t i = 1; i <= *label; ++i) {
    const std::uint8_t c = lower(label[i]);
    if (c <= 1) {
      keys += {'\1', static_cast<char>(c + 1)};
    } else {
      keys += static_cast<char>(c);
    }
  }
  keys += '\0';
}

/// The least that a record's data takes in a message: names may shrink to a pointer, the root to
/// one byte.
std::size_t least_size(std::uint16_t type, std::size_t size) {
  const RdataForm form = rdata_form(type);
  return form.compressible ? std::min<std::size_t>(size, form.before + form.names) : size;
}

/// The label whose key is `key`, with its length byte.
std::array<std::uint8_t, kMaxLabel + 1> label_of(std::string_view key) {
  std::array<std::uint8_t, kMaxLabel + 1> label{};
  for (std::size_t i = 0; i < key.size(); ++i) {
    label[++label[0]] = static_cast<std::uint8_t>(key[i] == '\1' ? key[++i] - 1 : key[i]);
  }
  return label;
}

}  // namespace

ZoneBuilder::ZoneBuilder(const Name& apex, const std::vector<std::filesystem::path>& files)
    : files_(files), zone_(std::make_unique<Zone>()) {
  zone_->apex_ = apex;
  zone_->apex_.to_lower();
  zone_->apex_labels_ = Labels(apex.data()).size();
}

void ZoneBuilder::fail(Place place, const std::string& what) const {
  throw ZoneError(files_[place.file], place.line, what);
}

std::string_view ZoneBuilder::key_of(const Record& r) const {
  return std::string_view{keys_}.substr(r.key, r.key_size);
}

std::span<const std::uint8_t> ZoneBuilder::data_of(const Record& r) const {
  return std::span{data_}.subspan(r.data, r.size);
}

void ZoneBuilder::add(std::span<const std::uint8_t> owner, std::uint16_t t, std::uint32_t ttl,
                      std::span<const std::uint8_t> rdata, Place place) {
  const Labels labels(owner.data());
  const std::size_t top = zone_->apex_labels_;
  const std::uint8_t* end = labels.size() >= top ? labels.suffix(top) : nullptr;
  if (end == nullptr || !equal_names({end, name_length(end)}, zone_->apex_.wire())) {
    fail(place, name_to_text(owner.data()) + " is not below the zone's origin " +
                    name_to_text(zone_->apex_.data()) + "; move it to the zone that it belongs to");
  }
  if (keys_.size() + data_.size() > kMaxBytes - 2 * kMaxMessage) {
    fail(place, "the zone takes more than 4 GiB; split it");
  }
  Record r{};
  r.key = static_cast<std::uint32_t>(keys_.size());
  for (std::size_t i = top; i < labels.size(); ++i) append_key(keys_, labels[i]);
  r.key_size = static_cast<std::uint16_t>(keys_.size() - r.key);
  r.signature = t == type::kRrsig;
  // RFC 4034 3.1.1: an RRSIG's data begins with the type that it covers.
  r.type = r.signature ? static_cast<std::uint16_t>(rdata[0] << 8 | rdata[1]) : t;
  r.ttl = ttl;
  r.data = static_cast<std::uint32_t>(data_.size());
  r.size = static_cast<std::uint16_t>(rdata.size());
  r.place = place;
  data_.insert(data_.end(), rdata.begin(), rdata.end());
  // RFC 2181 8: a TTL with its top bit set is 0.
  if (r.ttl > 0x7fffffff) r.ttl = 0;
  (r.type == type::kNsec3 ? nsec3_ : records_).push_back(r);
}

void ZoneBuilder::sort(std::vector<Record>& records) const {
  const auto less = [this](const Record& a, const Record& b) {
    if (const int d = key_of(a).compare(key_of(b)); d != 0) return d < 0;
    if (a.type != b.type) return a.type < b.type;
    return a.signature < b.signature;
  };
  if (!std::is_sorted(records.begin(), records.end(), less)) {
    std::stable_sort(records.begin(), records.end(), less);
  }
}

/// The node of an owner that comes after all that were entered before, and those of its ancestors
/// that are not there yet.
NodeId ZoneBuilder::enter(std::string_view key, Place place) {
  std::size_t depth = 0;
  path_.resize(std::max<std::size_t>(path_.size(), 1), Zone::kApex);
  while (!key.empty()) {
    const std::string_view part = key.substr(0, key.find('\0'));
    key.remove_prefix(part.size() + 1);
    if (depth < path_labels_.size() && path_labels_[depth] == part) {
      ++depth;
      continue;
    }
    path_labels_.resize(depth);
    path_.resize(depth + 1);
    try {
      path_.push_back(zone_->tree_.add(path_.back(), label_of(part).data()));
    } catch (const std::length_error& e) {
      fail(place, std::string(e.what()) + "; split the zone");
    }
    zone_->nodes_.emplace_back();
    path_labels_.push_back(part);
    ++depth;
  }
  path_labels_.resize(depth);
  path_.resize(depth + 1);
  return path_.back();
}

std::uint32_t ZoneBuilder::put_records(Group group, std::uint16_t type, std::uint16_t& count) {
  constexpr std::size_t kLeastFixed = 11;  // owner, type, class, TTL, length of the data
  std::vector<std::uint8_t>& out = zone_->data_;
  const std::size_t begin = out.size();
  std::size_t least = Header::kSize;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const auto data = data_of(group[i]);
    const auto same = [&](const Record& earlier) {
      return std::ranges::equal(data_of(earlier), data);
    };
    if (std::any_of(group.begin(), group.begin() + static_cast<std::ptrdiff_t>(i), same)) continue;
    least += kLeastFixed + least_size(type, data.size());
    if (least > kMaxMessage) fail_too_large(group[i].place);
    out.push_back(static_cast<std::uint8_t>(data.size() >> 8));
    out.push_back(static_cast<std::uint8_t>(data.size()));
    out.insert(out.end(), data.begin(), data.end());
    ++count;
    ++zone_->records_;
  }
  if (out.size() > kMaxBytes) fail(group[0].place, "the zone takes more than 4 GiB; split it");
  return static_cast<std::uint32_t>(begin);
}

void ZoneBuilder::fail_too_large(Place place) const {
  fail(place,
       "the records of this name and type, with their signatures, are more than a message of 65535 "
       "bytes holds; take some away");
}

/// That a message holds the set, its signatures, the question and OPT. Only what might not fit is
/// tried: names in the data may be compressed.
void ZoneBuilder::check_fits(NodeId n, const RrSet& r, Group group) const {
  constexpr std::size_t kFixed = 12;  // owner as a pointer, type, class, TTL, length of the data
  std::size_t most = Header::kSize + kMaxName + 4 + kOptSize;
  const auto add_size = [&](std::span<const std::uint8_t> rdata) {
    most += kFixed + rdata.size();
    return true;
  };
  zone_->each(r.data, r.count, add_size);
  zone_->each(r.signature_data, r.signatures, add_size);
  if (most <= kMaxMessage) return;

  Name owner;
  zone_->name_of(n, owner);
  std::vector<std::uint8_t> question(owner.data(), owner.data() + owner.size());
  question.insert(question.end(), {static_cast<std::uint8_t>(r.type >> 8),
                                   static_cast<std::uint8_t>(r.type), kClassIn >> 8, kClassIn});
  Query query;
  query.qname = question.data();
  query.qname_len = static_cast<std::uint16_t>(owner.size());
  query.question_len = static_cast<std::uint16_t>(question.size());
  query.edns = true;
  // A wildcard also answers for names that are as long as names may be.
  const std::size_t spare = is_wildcard(n) ? kMaxName - owner.size() : 0;
  std::vector<std::uint8_t> out(kMaxMessage);
  MessageWriter writer(query, out, kMaxMessage - spare);
  const auto put = [&](std::uint16_t t, std::uint32_t data, unsigned count) {
    return zone_->each(data, count, [&](auto rdata) {
      return writer.add(MessageWriter::answer, owner.data(), t, r.ttl, rdata);
    });
  };
  if (!put(r.type, r.data, r.count) || !put(type::kRrsig, r.signature_data, r.signatures)) {
    fail_too_large(group.back().place);
  }
}

/// Records of one owner and type, then the RRSIGs over them.
RrSet ZoneBuilder::add_rrset(Group group) {
  const auto is_record = [](const Record& r) { return !r.signature; };
  const auto split = std::partition_point(group.begin(), group.end(), is_record);
  const Group records(group.begin(), split);
  const Group signatures(split, group.end());
  if (records.empty()) {
    fail(signatures[0].place, "an RRSIG over type " + std::to_string(signatures[0].type) +
                                  ", of which its owner has no record; sign the zone again");
  }
  RrSet r{};
  r.type = records[0].type;
  r.ttl = records[0].ttl;
  // RFC 2181 5.2: one TTL for the set, the lowest where the file gives several.
  for (const Record& record : records) r.ttl = std::min(r.ttl, record.ttl);
  r.data = put_records(records, r.type, r.count);
  if (!signatures.empty()) {
    r.signature_data = put_records(signatures, type::kRrsig, r.signatures);
  }
  return r;
}

bool ZoneBuilder::is_wildcard(NodeId n) const {
  return n != Zone::kApex && compare_labels(zone_->tree_.label(n), kStar) == 0;
}

void ZoneBuilder::check_node(NodeId n, Group group) const {
  check_fits(n, zone_->rrsets(n).back(), group);
  const std::span<const RrSet> sets = zone_->rrsets(n);
  for (const RrSet& r : sets) {
    const auto at_most_one = [&](const char* name) {
      if (r.count > 1) {
        fail(group.back().place, std::string("more than one ") + name + " for one name; keep one");
      }
    };
    if (r.type == type::kSoa) at_most_one("SOA");
    if (r.type == type::kDname) at_most_one("DNAME");
    if (r.type == type::kSoa && n != Zone::kApex) {
      fail(group.back().place, "a SOA that is not at the zone's origin; take it away");
    }
    // RFC 4592 4.2 and 4.4: nobody knows what they would mean, and servers differ.
    if (is_wildcard(n) && (r.type == type::kNs || r.type == type::kDname)) {
      fail(group.back().place, std::string(r.type == type::kNs ? "NS" : "DNAME") +
                                   " at a wildcard, which has no defined meaning (RFC 4592 4); "
                                   "write the names out");
    }
    if (r.type != type::kCname) continue;
    at_most_one("CNAME");
    for (const RrSet& other : sets) {  // RFC 2181 10.1, RFC 4034 2.5
      if (other.type != type::kCname && other.type != type::kNsec) {
        fail(group.back().place, "a CNAME beside other records of its name; keep one or the other");
      }
    }
  }
}

/// RFC 6672 2.4: below a DNAME there is nothing. (Hashes of NSEC3 are no names of the zone, and
/// stand elsewhere.)
void ZoneBuilder::check_place(const Record& r) const {
  for (std::size_t i = 0; i + 1 < path_.size(); ++i) {
    if (zone_->find(path_[i], type::kDname) == nullptr) continue;
    Name owner;
    zone_->name_of(path_[i], owner);
    fail(r.place, "a record below the DNAME of " + name_to_text(owner.data()) +
                      ", which leads everything there elsewhere (RFC 6672 2.4); take one away");
  }
}

/// All records of one owner.
void ZoneBuilder::add_node(Group group) {
  const NodeId n = enter(key_of(group[0]), group[0].place);
  check_place(group[0]);
  Zone::Node& node = zone_->nodes_[n];
  node.rrsets = static_cast<std::uint32_t>(zone_->rrsets_.size());
  while (!group.empty()) {
    const std::uint16_t t = group[0].type;
    const auto end = std::ranges::find_if(group, [t](const Record& r) { return r.type != t; });
    zone_->rrsets_.push_back(add_rrset({group.begin(), end}));
    zone_->signed_ |= zone_->rrsets_.back().signatures != 0;
    ++node.rrset_count;
    check_node(n, {group.begin(), end});
    group = {end, group.end()};
  }
}

void ZoneBuilder::check_apex() const {
  const std::string origin = name_to_text(zone_->apex_.data());
  const RrSet* soa = zone_->find(Zone::kApex, type::kSoa);
  if (soa == nullptr) fail({}, "no SOA for " + origin + "; a zone begins with one");
  if (zone_->find(Zone::kApex, type::kNs) == nullptr) {
    fail({}, "no NS for " + origin + "; name the servers of the zone");
  }
}

/// Where each subtree ends, and what the nodes are to their neighbours.
void ZoneBuilder::mark_nodes() {
  auto& nodes = zone_->nodes_;
  for (NodeId n = 0; n < nodes.size(); ++n) nodes[n].end = n + 1;
  for (NodeId n = static_cast<NodeId>(nodes.size()) - 1; n > 0; --n) {
    Zone::Node& up = nodes[zone_->parent(n)];
    up.end = std::max(up.end, nodes[n].end);
  }
  for (NodeId n = 0; n < nodes.size(); ++n) {
    Zone::Node& node = nodes[n];
    if (zone_->find(n, type::kDname) != nullptr) node.flags |= Zone::kDname;
    if (n == Zone::kApex) continue;
    if (zone_->find(n, type::kNs) != nullptr) node.flags |= Zone::kCut;
    Zone::Node& up = nodes[zone_->parent(n)];
    if ((up.flags & (Zone::kCut | Zone::kOccluded)) != 0) node.flags |= Zone::kOccluded;
    if (compare_labels(zone_->tree_.label(n), kStar) == 0) up.flags |= Zone::kWildcard;
  }
}

/// RFC 5155 7.3: the chain is the one that an NSEC3PARAM without flags names.
void ZoneBuilder::choose_nsec3_chain() {
  const RrSet* set = zone_->find(Zone::kApex, type::kNsec3param);
  if (set == nullptr) return;
  zone_->each(set->data, set->count, [this](std::span<const std::uint8_t> rdata) {
    if (rdata[1] != 0) return true;
    Nsec3Parameters& p = zone_->nsec3_parameters_;
    p.algorithm = rdata[0];
    p.iterations = static_cast<std::uint16_t>(rdata[2] << 8 | rdata[3]);
    p.salt_length = rdata[4];
    std::copy_n(rdata.begin() + 5, p.salt_length, p.salt.begin());
    return false;
  });
}

bool ZoneBuilder::of_the_chain(const Record& r) const {
  const Nsec3Parameters& p = zone_->nsec3_parameters_;
  const auto d = data_of(r);
  return d[0] == p.algorithm && (d[2] << 8 | d[3]) == p.iterations && d[4] == p.salt_length &&
         std::equal(p.salt.begin(), p.salt.begin() + p.salt_length, d.begin() + 5);
}

void ZoneBuilder::add_nsec3() {
  if (zone_->find(Zone::kApex, type::kNsec3param) == nullptr) return;
  if (zone_->nsec3_parameters_.iterations > kMaxNsec3Iterations) {
    fail({}, "NSEC3 with " + std::to_string(zone_->nsec3_parameters_.iterations) +
                 " iterations; sign the zone with 0 (RFC 9276), at most " +
                 std::to_string(kMaxNsec3Iterations) + " are served");
  }
  sort(nsec3_);
  for (Group rest(nsec3_); !rest.empty();) {
    const std::string_view key = key_of(rest[0]);
    const auto end = std::ranges::find_if(rest, [&](const Record& r) { return key_of(r) != key; });
    const Group group(rest.begin(), end);
    rest = {end, rest.end()};
    if (group[0].signature || !of_the_chain(group[0])) continue;
    Nsec3 entry{};
    if (!nsec3_hash_of(key.substr(0, key.size() - 1), entry.hash)) {
      fail(group[0].place, "the owner of an NSEC3 is no hash in base 32; sign the zone again");
    }
    entry.rrset = add_rrset(group);
    zone_->signed_ |= entry.rrset.signatures != 0;
    zone_->nsec3_.push_back(entry);
  }
}

/// Hashes what is there, so that an answer need not: what is left to be hashed for a name that is
/// not there is that name.
void ZoneBuilder::find_denials() {
  if (zone_->nsec3_.empty()) return;
  const auto place = [this](const Nsec3* n) {
    return n == nullptr ? Zone::kNoNsec3 : static_cast<std::uint32_t>(n - zone_->nsec3_.data());
  };
  zone_->denials_.resize(zone_->nodes_.size());
  Name name, wildcard;
  for (NodeId n = 0; n < zone_->nodes_.size(); ++n) {
    if (zone_->is_occluded(n)) continue;
    Zone::Denial& denial = zone_->denials_[n];
    zone_->name_of(n, name);
    denial.own = place(zone_->nsec3_at(nsec3_hash(zone_->nsec3_parameters_, name.data())));
    if (!wildcard.join(kStar, name.wire())) continue;
    denial.wildcard =
        place(zone_->nsec3_over(nsec3_hash(zone_->nsec3_parameters_, wildcard.data())));
  }
}

std::unique_ptr<const Zone> ZoneBuilder::build() {
  sort(records_);
  zone_->nodes_.resize(1);
  for (Group rest(records_); !rest.empty();) {
    const std::string_view key = key_of(rest[0]);
    const auto end = std::ranges::find_if(rest, [&](const Record& r) { return key_of(r) != key; });
    add_node({rest.begin(), end});
    rest = {end, rest.end()};
  }
  check_apex();
  mark_nodes();
  choose_nsec3_chain();
  add_nsec3();
  find_denials();
  // RFC 2308 5: the lesser of the SOA's TTL and its last field.
  const RrSet& soa = zone_->soa();
  zone_->each(soa.data, 1, [&](std::span<const std::uint8_t> rdata) {
    const auto last = rdata.last(4);
    const std::uint32_t minimum = std::uint32_t{last[0]} << 24 | std::uint32_t{last[1]} << 16 |
                                  std::uint32_t{last[2]} << 8 | last[3];
    zone_->negative_ttl_ = std::min(soa.ttl, minimum);
    return true;
  });
  zone_->tree_.shrink_to_fit();
  zone_->nodes_.shrink_to_fit();
  zone_->rrsets_.shrink_to_fit();
  zone_->data_.shrink_to_fit();
  return std::move(zone_);
}

}  // namespace stackrig::dns
