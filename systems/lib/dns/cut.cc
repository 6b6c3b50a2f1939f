// SPDX-License-Identifier: Apache-2.0
#include "dns/cut.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "dns/respond.h"
#include "dns/zone.h"

namespace stackrig::dns {
namespace {

class Cutter {
 public:
  using Take = std::function<void(const Query&, std::span<const std::uint8_t>, Clients)>;
  Cutter(const ZoneSet& zones, const Take& take)
      : zones_(zones), take_(take), plain_(kMaxMessage), dnssec_(kMaxMessage) {
    for (std::size_t i = 0; i < zones.size(); ++i) any_signed_ |= zones[i].is_signed();
  }

  void zone(const Zone& z) {
    for (NodeId n = 0; n < z.names(); ++n) {
      if (!z.is_occluded(n)) node(z, n);
    }
  }

 private:
  void node(const Zone& z, NodeId n) {
    z.name_of(n, name_);
    // At a cut only DS is this zone's (RFC 4035 3.1.4.1); the rest are referrals.
    for (const RrSet& set : z.rrsets(n)) {
      if (!z.is_cut(n) || set.type == type::kDs || set.type == type::kNs) ask(set.type);
    }
    // What clients ask of every name: else they are told where an alias leads, or that there is
    // none.
    for (const std::uint16_t t : {type::kA, type::kAaaa}) {
      if (z.is_cut(n) || z.find(n, t) == nullptr) ask(t);
    }
  }

  void ask(std::uint16_t t) {
    std::uint8_t question[kMaxName + 4];
    const std::size_t size = name_.size();
    std::memcpy(question, name_.data(), size);
    const std::uint8_t fixed[4] = {static_cast<std::uint8_t>(t >> 8), static_cast<std::uint8_t>(t),
                                   kClassIn >> 8, kClassIn};
    std::memcpy(question + size, fixed, sizeof fixed);
    Query q;
    q.qname = question;
    q.qname_len = static_cast<std::uint16_t>(size);
    q.question_len = static_cast<std::uint16_t>(size + sizeof fixed);
    q.qtype = t;
    q.qclass = kClassIn;
    const std::span<const std::uint8_t> plain = answer(q, plain_);
    std::span<const std::uint8_t> dnssec;
    if (any_signed_) {
      q.edns = true;
      q.dnssec_ok = true;
      dnssec = answer(q, dnssec_);
    }
    // Neither has OPT: what is the same for both is the same to the byte.
    const bool is_one = !any_signed_ || std::ranges::equal(plain, dnssec);
    if (!plain.empty()) take_(q, plain, is_one ? Clients::all : Clients::plain);
    if (!dnssec.empty() && !is_one) take_(q, dnssec, Clients::dnssec);
  }

  /// Without OPT; empty where not every client with room for kUdpPayload gets it whole.
  std::span<const std::uint8_t> answer(const Query& q, std::vector<std::uint8_t>& memory) const {
    const std::size_t opt = q.edns ? kOptSize : 0;
    const std::size_t length = respond(zones_, q, Transport::tcp, memory) - opt;
    Header& h = Header::at(memory.data());
    if (length + kOptSize > kUdpPayload || (h.flags.get() & flag::kTruncated) != 0) return {};
    if (q.edns) h.additionals.set(static_cast<std::uint16_t>(h.additionals.get() - 1));
    return {memory.data(), length};
  }

  const ZoneSet& zones_;
  const Take& take_;
  bool any_signed_ = false;
  Name name_;
  std::vector<std::uint8_t> plain_, dnssec_;
};

}  // namespace

void cut_answers(const ZoneSet& zones, const Cutter::Take& take) {
  Cutter cutter(zones, take);
  for (std::size_t i = 0; i < zones.size(); ++i) cutter.zone(zones[i]);
}

}  // namespace stackrig::dns
