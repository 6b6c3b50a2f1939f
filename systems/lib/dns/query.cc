// SPDX-License-Identifier: Apache-2.0
// The query parser: header, question, additional records, each one function.
#include "dns/query.h"

#include <cstring>

#include "dns/name.h"

namespace stackrig::dns {
namespace {

std::uint16_t be16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>(p[0] << 8 | p[1]);
}

/// The end of the uncompressed name at `p`; nullptr where it is none, or does not end before `end`.
const std::uint8_t* skip_question_name(const std::uint8_t* p, const std::uint8_t* end) {
  const std::uint8_t* q = p;
  const std::uint8_t* last = end - p > 255 ? p + kMaxName : end;
  while (q < last) {
    const std::uint8_t length = *q++;
    if (length == 0) return q;
    if (length > kMaxLabel) return nullptr;
    q += length;
  }
  return nullptr;
}

/// The same of any record's owner, which may end with a compression pointer.
const std::uint8_t* skip_owner(const std::uint8_t* p, const std::uint8_t* end) {
  while (p < end) {
    const std::uint8_t length = *p++;
    if (length == 0) return p;
    if (length >= 0xc0) return p < end ? p + 1 : nullptr;
    if (length > kMaxLabel) return nullptr;
    p += length;
  }
  return nullptr;
}

/// The options of an OPT (RFC 6891 6.1.2) fill it to the last byte.
bool options_are_whole(const std::uint8_t* p, const std::uint8_t* end) {
  while (end - p >= 4) {
    const std::uint16_t length = be16(p + 2);
    if (end - p - 4 < length) return false;
    p += 4 + length;
  }
  return p == end;
}

/// A record whose owner ends at `fixed`.
struct Record {
  static constexpr std::ptrdiff_t kFixed = 10;  // type, class, TTL, length of the data
  const std::uint8_t* fixed;
  [[nodiscard]] std::uint16_t type() const { return be16(fixed); }
  [[nodiscard]] const std::uint8_t* data() const { return fixed + kFixed; }
  [[nodiscard]] const std::uint8_t* end() const { return data() + be16(fixed + 8); }
};

/// False where it is malformed.
bool read_record(const std::uint8_t* p, const std::uint8_t* end, Record& r) {
  r.fixed = skip_owner(p, end);
  return r.fixed != nullptr && end - r.fixed >= Record::kFixed &&
         end - r.data() >= be16(r.fixed + 8);
}

/// One additional record. Returns its end; nullptr where it is malformed.
const std::uint8_t* take_additional(const std::uint8_t* p, const std::uint8_t* end, Query& q) {
  const bool of_the_root = p < end && *p == 0;
  Record r{};
  if (!read_record(p, end, r)) return nullptr;
  if (r.type() != type::kOpt) return r.end();
  if (!of_the_root || q.edns || !options_are_whole(r.data(), r.end())) return nullptr;
  q.edns = true;
  q.payload_size = be16(r.fixed + 2);
  q.edns_version = r.fixed[5];
  q.dnssec_ok = (r.fixed[6] & 0x80) != 0;
  return r.end();
}

/// The version that the client of an IXFR has (RFC 1995 3). Returns its end; nullptr where it is no
/// SOA, or malformed.
const std::uint8_t* skip_version(const std::uint8_t* p, const std::uint8_t* end) {
  Record r{};
  return read_record(p, end, r) && r.type() == type::kSoa ? r.end() : nullptr;
}

}  // namespace

Parsed parse_query(std::span<const std::uint8_t> message, Query& q, Rcode& rcode) {
  if (message.size() < Header::kSize) return Parsed::ignore;
  const std::uint8_t* end = message.data() + message.size();
  const Header& h = Header::at(message.data());
  q = Query{};
  q.id = h.id.get();
  q.flags = h.flags.get();
  if ((q.flags & flag::kResponse) != 0) return Parsed::ignore;
  if ((q.flags & flag::kOpcode) != 0) {
    rcode = Rcode::notimp;
    return Parsed::error;
  }
  rcode = Rcode::formerr;
  if (h.questions.get() != 1) return Parsed::error;

  const std::uint8_t* name = message.data() + Header::kSize;
  const std::uint8_t* p = skip_question_name(name, end);
  if (p == nullptr || end - p < 4) return Parsed::error;
  q.qname = name;
  q.qname_len = static_cast<std::uint16_t>(p - name);
  q.question_len = static_cast<std::uint16_t>(q.qname_len + 4);
  q.qtype = be16(p);
  q.qclass = be16(p + 2);
  p += 4;
  const unsigned authorities = h.authorities.get();
  if (h.answers.raw() != 0 || authorities > (q.qtype == type::kIxfr ? 1 : 0)) return Parsed::error;
  if (authorities == 1) p = skip_version(p, end);
  if (p == nullptr) return Parsed::error;

  for (unsigned n = h.additionals.get(); n > 0; --n) {
    p = take_additional(p, end, q);
    if (p == nullptr) return Parsed::error;
  }
  if (q.edns_version != 0) {
    rcode = Rcode::badvers;
    return Parsed::error;
  }
  return Parsed::query;
}

std::size_t write_opt(const Query& query, Rcode rcode, std::uint8_t* out) {
  constexpr std::uint8_t kOpt[kOptSize] = {
      0, 0, type::kOpt, kUdpPayload >> 8, kUdpPayload & 0xff, 0, 0, 0, 0, 0, 0};
  std::memcpy(out, kOpt, kOptSize);
  out[kOptRcode] = static_cast<std::uint8_t>(static_cast<unsigned>(rcode) >> 4);
  if (query.dnssec_ok) out[kOptFlags] = kDnssecOk >> 8;  // RFC 3225 3: copied
  return kOptSize;
}

std::size_t write_error(const Query& query, Rcode rcode, std::span<std::uint8_t> out) {
  std::uint8_t* p = out.data();
  Header& h = Header::at(p);
  h = Header{};
  h.id.set(query.id);
  h.flags.set(static_cast<std::uint16_t>(flag::kResponse |
                                         (query.flags & (flag::kOpcode | flag::kRecursionDesired)) |
                                         (static_cast<unsigned>(rcode) & flag::kRcode)));
  h.questions.set(query.question_len != 0 ? 1 : 0);
  h.additionals.set(query.edns ? 1 : 0);
  p += Header::kSize;
  if (query.question_len != 0) std::memcpy(p, query.qname, query.question_len);
  p += query.question_len;
  if (query.edns) p += write_opt(query, rcode, p);
  return static_cast<std::size_t>(p - out.data());
}

}  // namespace stackrig::dns
