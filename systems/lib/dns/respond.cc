// SPDX-License-Identifier: Apache-2.0
// RFC 1034 4.3.2: find the zone, walk down it label by label, and answer from where the walk ends;
// an alias starts again at the top.
#include "dns/respond.h"

#include <algorithm>

#include "dns/rdata.h"
#include "dns/responder.h"

namespace stackrig::dns {
namespace {

constexpr std::uint16_t kClassAny = 255;
/// Below it, or the same.
bool is_name_below(std::span<const std::uint8_t> name, std::span<const std::uint8_t> ancestor) {
  const Labels labels(name.data());
  const std::size_t n = Labels(ancestor.data()).size();
  if (labels.size() < n) return false;
  const std::uint8_t* end = labels.suffix(n);
  return equal_names({end, name_length(end)}, ancestor);
}

constexpr Rcode kYxdomain = Rcode{6};  ///< RFC 6672 2.2: the name became too long

}  // namespace

Responder::Responder(const ZoneSet& zones, const Query& query, std::span<std::uint8_t> out,
                     std::size_t limit)
    : zones_(zones), query_(query), writer_(query, out, limit), empty_(writer_.mark()) {
  name_.assign({query.qname, query.qname_len});
}

std::size_t Responder::run() {
  while (true) {
    const Labels labels(name_.data());
    const Zone* zone = zones_.find(labels, query_.qtype);
    if (zone == nullptr) break;  // an alias that leads out of our zones ends the answer
    zone_ = zone;
    wants_proof_ = query_.dnssec_ok && zone->is_signed();
    if (answer_from_zone(labels) == Next::done || overflow_) break;
  }
  if (!overflow_) prove_expansions();
  if (overflow_) {  // RFC 2181 9: nobody may use what would be left
    writer_.back_to(empty_);
    flags_ |= flag::kTruncated;
  } else {
    add_additional();
  }
  // RFC 1034 6.2.3: no server has authority over all classes.
  if (query_.qclass == kClassAny) flags_ &= static_cast<std::uint16_t>(~flag::kAuthoritative);
  return writer_.finish(query_, flags_, rcode_);
}

// --- the walk ------------------------------------------------------------------------------------

Responder::Next Responder::answer_from_zone(const Labels& name) {
  Walk at{Zone::kApex, zone_->apex_labels()};
  while (true) {
    const bool is_end = at.labels == name.size();
    // At the cut itself DS belongs to this side of it (RFC 4035 3.1.4.1).
    if (zone_->is_cut(at.node) && !(is_end && query_.qtype == type::kDs)) {
      refer(at.node);
      return Next::done;
    }
    if (is_end) return answer_at(at.node, name, false, at);
    if (zone_->has_dname(at.node)) return follow_dname(at.node, name);
    const NodeId child = zone_->child(at.node, name[at.labels]);
    if (child == kNoNode) break;
    at = {child, at.labels + 1};
  }
  if (zone_->has_wildcard(at.node)) {  // RFC 4592 3.3.1
    return answer_at(zone_->wildcard(at.node), name, true, at);
  }
  say_no(Rcode::nxdomain);
  if (wants_proof_) deny_name(name, at);
  return Next::done;
}

/// `node` is the name itself, or the wildcard that stands for it.
Responder::Next Responder::answer_at(NodeId node, const Labels& name, bool is_wildcard,
                                     const Walk& encloser) {
  const auto expand = [&] {
    if (is_wildcard && wants_proof_) expansions_[expansion_count_++] = {zone_, chain_, encloser};
  };
  if (query_.qtype == type::kAny && !zone_->rrsets(node).empty()) {
    answer_any(node);
    expand();
    return Next::done;
  }
  if (query_.qtype == type::kRrsig && zone_->is_signed()) {
    const std::size_t before = writer_.mark().size;
    answer_signatures(node);
    if (overflow_ || writer_.mark().size != before) {
      expand();
      return Next::done;
    }
  }
  const RrSet* set = zone_->find(node, query_.qtype);
  const RrSet* cname = set == nullptr ? zone_->find(node, type::kCname) : nullptr;
  if (set != nullptr || cname != nullptr) {
    const RrSet& found = set != nullptr ? *set : *cname;
    if (is_wildcard) {
      require(add(MessageWriter::answer, name_.data(), found));
    } else {
      require(add_once(MessageWriter::answer, name_.data(), found));
    }
    expand();
    return set != nullptr ? Next::done : follow_cname(found);
  }
  say_no(Rcode::noerror);
  if (wants_proof_) {
    if (is_wildcard) {
      deny_wildcard_type(node, name, encloser);
    } else {
      deny_type(node, name);
    }
  }
  return Next::done;
}

/// RFC 8482 4.1: one RRset will do; the first by type.
void Responder::answer_any(NodeId node) {
  require(add_once(MessageWriter::answer, name_.data(), zone_->rrsets(node).front()));
}

/// Signatures are no RRset of their own (RFC 4035 2.2), but are given to whom asks for them.
void Responder::answer_signatures(NodeId node) {
  for (const RrSet& set : zone_->rrsets(node)) {
    if (overflow_) return;
    require(zone_->each(set.signature_data, set.signatures, [&](auto rdata) {
      return writer_.add(MessageWriter::answer, name_.data(), type::kRrsig, set.ttl, rdata);
    }));
  }
}

// --- aliases -------------------------------------------------------------------------------------

Responder::Next Responder::follow_cname(const RrSet& cname) {
  return follow(zone_->first(cname));
}

/// Goes on with `target` unless it was asked for before, or the chain is too long.
Responder::Next Responder::follow(const std::uint8_t* target) {
  const std::span<const std::uint8_t> wire{target, name_length(target)};
  asked_[chain_++] = name_;
  const auto was_asked = [&](const Name& n) { return equal_names(n.wire(), wire); };
  if (chain_ == kMaxChain ||
      std::any_of(asked_.begin(), asked_.begin() + static_cast<std::ptrdiff_t>(chain_), was_asked))
    return Next::done;
  name_.assign(wire);
  aliased_ = true;
  return Next::alias;
}

/// RFC 6672 3.2: the DNAME, and the CNAME that it makes of the name.
Responder::Next Responder::follow_dname(NodeId node, const Labels& name) {
  const RrSet& dname = *zone_->find(node, type::kDname);
  Name owner;
  zone_->name_of(node, owner);
  const std::uint8_t* to = zone_->first(dname);
  // One that leads below itself would make the name longer each time: once is enough.
  const bool is_below_itself = is_name_below({to, name_length(to)}, owner.wire());
  if (is_below_itself && is_in(dname, nullptr)) return Next::done;
  require(add_once(MessageWriter::answer, owner.data(), dname));
  if (overflow_) return Next::done;

  const std::uint8_t* end = name.suffix(Labels(owner.data()).size());
  const std::span<const std::uint8_t> head{name_.data(),
                                           static_cast<std::size_t>(end - name_.data())};
  Name target;
  if (!target.join(head, {to, name_length(to)})) {
    rcode_ = kYxdomain;
    return Next::done;
  }
  require(writer_.add(MessageWriter::answer, name_.data(), type::kCname, dname.ttl, target.wire()));
  if (query_.qtype == type::kCname) return Next::done;
  return follow(target.data());
}

// --- the other ends of the walk ------------------------------------------------------------------

void Responder::refer(NodeId cut) {
  if (!aliased_) flags_ &= static_cast<std::uint16_t>(~flag::kAuthoritative);
  const RrSet& ns = *zone_->find(cut, type::kNs);
  Name owner;
  zone_->name_of(cut, owner);
  require(add_once(MessageWriter::authority, owner.data(), ns));
  if (naming_count_ > 0 && naming_[naming_count_ - 1].set == &ns) {
    naming_[naming_count_ - 1].cut = cut;
  }
  if (!wants_proof_) return;
  if (const RrSet* ds = zone_->find(cut, type::kDs)) {
    require(add_once(MessageWriter::authority, owner.data(), *ds));
  } else {
    deny_ds(cut);
  }
}

void Responder::say_no(Rcode rcode) {
  rcode_ = rcode;
  require(add_with_ttl(MessageWriter::authority, zone_->apex().data(), zone_->soa(),
                       zone_->negative_ttl()));
}

// --- records -------------------------------------------------------------------------------------

bool Responder::is_in(const RrSet& set, const std::uint8_t* expanded) const {
  const auto same = [&](const Present& p) {
    if (p.set != &set || (p.expanded == nullptr) != (expanded == nullptr)) return false;
    return expanded == nullptr ||
           equal_names({expanded, name_length(expanded)}, {p.expanded, name_length(p.expanded)});
  };
  return std::any_of(sets_.begin(), sets_.begin() + static_cast<std::ptrdiff_t>(set_count_), same);
}

bool Responder::add_with_ttl(Section section, const std::uint8_t* owner, const RrSet& set,
                             std::uint32_t ttl) {
  if (overflow_) return false;
  const auto put = [&](std::uint16_t t, std::uint32_t data, unsigned count) {
    return zone_->each(data, count,
                       [&](auto rdata) { return writer_.add(section, owner, t, ttl, rdata); });
  };
  return put(set.type, set.data, set.count) &&
         (!wants_proof_ || put(type::kRrsig, set.signature_data, set.signatures));
}

bool Responder::add(Section section, const std::uint8_t* owner, const RrSet& set) {
  if (!add_with_ttl(section, owner, set, set.ttl)) return false;
  const bool names_hosts = additional_target(set.type, zone_->first(set)) != nullptr;
  if (names_hosts && section != MessageWriter::additional && naming_count_ < naming_.size()) {
    naming_[naming_count_++] = {zone_, &set, kNoNode};
  }
  return true;
}

/// A set that stands in the message already is not put there again (RFC 2181 5.5).
bool Responder::add_once(Section section, const std::uint8_t* owner, const RrSet& set,
                         const std::uint8_t* expanded) {
  if (is_in(set, expanded)) return true;
  if (!add(section, owner, set)) return false;
  if (set_count_ < kMaxSets) sets_[set_count_++] = {&set, expanded};
  return true;
}

// --- the additional section ----------------------------------------------------------------------

/// Addresses of the hosts that the answer names. Those below the cut of a referral must be there,
/// or TC is set (RFC 9471 2.1); the others are there while there is room (RFC 2181 9).
void Responder::add_additional() {
  for (const bool must : {true, false}) {
    for (std::size_t i = 0; i < naming_count_; ++i) {
      const Naming& n = naming_[i];
      if (must && n.cut == kNoNode) continue;
      n.zone->each(n.set->data, n.set->count, [&](std::span<const std::uint8_t> rdata) {
        add_addresses(*n.zone, additional_target(n.set->type, rdata.data()), n.cut, must);
        return true;
      });
    }
  }
}

void Responder::add_addresses(const Zone& zone, const std::uint8_t* target, NodeId cut, bool must) {
  NodeId node = zone.find(Labels(target));
  const bool is_expanded = node == kNoNode;
  if (is_expanded) node = zone.find_or_wildcard(Labels(target));
  if (node == kNoNode) return;
  if (must && !zone.is_below(node, cut)) return;
  zone_ = &zone;
  for (const std::uint16_t t : {type::kA, type::kAaaa}) {
    const RrSet* set = zone.find(node, t);
    if (set == nullptr) continue;
    const MessageWriter::Mark mark = writer_.mark();
    // RFC 4035 3.1.1: where there is no room for the signatures, the addresses may go without.
    for (const bool with_signatures : {true, false}) {
      wants_proof_ = with_signatures && query_.dnssec_ok && zone.is_signed();
      if (add_once(MessageWriter::additional, target, *set, is_expanded ? target : nullptr)) break;
      writer_.back_to(mark);
      if (must && !with_signatures) flags_ |= flag::kTruncated;
    }
  }
}

// --- the whole -----------------------------------------------------------------------------------

std::size_t respond(const ZoneSet& zones, const Query& query, Transport transport,
                    std::span<std::uint8_t> out) {
  const bool is_ours = query.qclass == kClassIn || query.qclass == kClassAny;
  if (!is_ours || zones.find(Labels(query.qname), query.qtype) == nullptr) {
    return write_error(query, Rcode::refused, out);
  }
  const bool is_transfer = query.qtype == type::kAxfr || query.qtype == type::kIxfr;
  if (is_transfer) return write_error(query, Rcode::notimp, out);
  return Responder(zones, query, out, query.limit(transport)).run();
}

}  // namespace stackrig::dns
