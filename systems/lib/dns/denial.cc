// SPDX-License-Identifier: Apache-2.0
// Authenticated denial: which NSEC (RFC 4035 3.1.3) or NSEC3 records (RFC 5155 7.2) prove that what
// was asked for is not there, or that nothing but a wildcard matches it. They are served as they
// stand in the zone; a proof that the file does not have is left out.
#include "dns/responder.h"

namespace stackrig::dns {
// --- NSEC ----------------------------------------------------------------------------------------

/// The NSEC of the node, or the nearest before it that has one: the one over every name from there
/// to the next. Names below a cut have none, nor have empty non-terminals.
void Responder::add_nsec_at_or_before(NodeId node) {
  const RrSet* nsec = nullptr;
  while (true) {
    nsec = zone_->is_occluded(node) ? nullptr : zone_->find(node, type::kNsec);
    if (nsec != nullptr || node == Zone::kApex) break;
    node = zone_->is_occluded(node) ? zone_->parent(node) : node - 1;
  }
  if (nsec == nullptr) return;
  Name owner;
  zone_->name_of(node, owner);
  require(add_once(MessageWriter::authority, owner.data(), *nsec));
}

// --- NSEC3 ---------------------------------------------------------------------------------------

void Responder::add_nsec3(const Nsec3* nsec3) {
  if (nsec3 == nullptr) return;
  const auto label = nsec3_label(nsec3->hash);
  Name owner;
  if (!owner.join(label, zone_->apex().wire())) return;
  require(add_once(MessageWriter::authority, owner.data(), nsec3->rrset));
}

void Responder::add_nsec3_over(const std::uint8_t* name) {
  if (overflow_) return;
  add_nsec3(zone_->nsec3_over(nsec3_hash(zone_->nsec3_parameters(), name)));
}

/// RFC 5155 7.2.1: the NSEC3 of the closest encloser and the one over the name below it that would
/// be next. The encloser that is found in the zone has no NSEC3 where it stands in an opt-out span:
/// then its parent is tried. Returns the encloser.
NodeId Responder::prove_closest_encloser(const Labels& name, Walk encloser) {
  const Nsec3* match = zone_->nsec3_of(encloser.node);
  while (match == nullptr && encloser.node != Zone::kApex) {
    encloser = {zone_->parent(encloser.node), encloser.labels - 1};
    match = zone_->nsec3_of(encloser.node);
  }
  add_nsec3(match);
  if (encloser.labels < name.size()) add_nsec3_over(name.suffix(encloser.labels + 1));
  return encloser.node;
}

// --- which proof ---------------------------------------------------------------------------------

/// NXDOMAIN: neither the name nor a wildcard for it.
void Responder::deny_name(const Labels& name, const Walk& encloser) {
  if (overflow_) return;
  if (!zone_->uses_nsec3()) {
    add_nsec_at_or_before(zone_->before(encloser.node, name[encloser.labels]));
    add_nsec_at_or_before(zone_->before(encloser.node, kStar));
    return;
  }
  add_nsec3(zone_->nsec3_over_wildcard(prove_closest_encloser(name, encloser)));
}

/// NODATA: the name is there, the type is not.
void Responder::deny_type(NodeId node, const Labels& name) {
  if (overflow_) return;
  if (!zone_->uses_nsec3()) {
    add_nsec_at_or_before(node);
    return;
  }
  if (const Nsec3* match = zone_->nsec3_of(node)) {
    add_nsec3(match);
  } else {
    prove_closest_encloser(name, {node, name.size()});
  }
}

/// NODATA of a wildcard: the name is not there, and the wildcard has not the type.
void Responder::deny_wildcard_type(NodeId wildcard, const Labels& name, const Walk& encloser) {
  if (!zone_->uses_nsec3()) {
    add_nsec_at_or_before(wildcard);
    add_nsec_at_or_before(zone_->before(encloser.node, name[encloser.labels]));
    return;
  }
  prove_closest_encloser(name, encloser);
  add_nsec3(zone_->nsec3_of(wildcard));
}

/// Answers made from wildcards: the names themselves are not there.
void Responder::prove_expansions() {
  for (std::size_t i = 0; i < expansion_count_; ++i) {
    const Expansion& e = expansions_[i];
    zone_ = e.zone;
    wants_proof_ = true;
    const Labels name((e.asked < chain_ ? asked_[e.asked] : name_).data());
    if (zone_->uses_nsec3()) {
      add_nsec3_over(name.suffix(e.encloser.labels + 1));
    } else {
      add_nsec_at_or_before(zone_->before(e.encloser.node, name[e.encloser.labels]));
    }
  }
}

/// A referral to a zone that is not signed.
void Responder::deny_ds(NodeId cut) {
  if (overflow_) return;
  if (!zone_->uses_nsec3()) {
    add_nsec_at_or_before(cut);
    return;
  }
  Name name;
  zone_->name_of(cut, name);
  deny_type(cut, Labels(name.data()));
}

}  // namespace stackrig::dns
