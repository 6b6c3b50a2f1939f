// SPDX-License-Identifier: Apache-2.0
#include "dns/cut.h"

#include <cstring>
#include <vector>

#include "dns/respond.h"
#include "dns/zone.h"

namespace stackrig::dns {
namespace {

class Cutter {
 public:
  using Take = std::function<void(const Query&, std::span<const std::uint8_t>, bool)>;
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
    for (const RrSet& set : z.rrsets(n)) {
      // At a cut only DS is this zone's (RFC 4035 3.1.4.1); the rest are referrals.
      if (z.is_cut(n) && set.type != type::kDs) continue;
      ask(set.type);
      if (set.type == type::kCname) {
        ask(type::kA);
        ask(type::kAaaa);
      }
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
    const std::size_t length = respond(zones_, q, Transport::tcp, plain_);
    if (length + kOptSize > kUdpPayload) return;  // truncated for one client, whole for another
    if ((Header::at(plain_.data()).flags.get() & flag::kTruncated) != 0) return;  // for everybody
    take_(q, {plain_.data(), length}, any_signed_ && changes_with_do(q, length));
  }

  bool changes_with_do(Query q, std::size_t length) {
    q.edns = true;
    q.dnssec_ok = true;
    const std::size_t with = respond(zones_, q, Transport::tcp, dnssec_);
    const std::size_t body = length - Header::kSize;
    return with != length + kOptSize ||
           std::memcmp(&plain_[Header::kSize], &dnssec_[Header::kSize], body) != 0;
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
