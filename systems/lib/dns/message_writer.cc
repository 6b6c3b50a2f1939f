// SPDX-License-Identifier: Apache-2.0
#include "dns/message_writer.h"

#include <algorithm>
#include <cstring>

#include "dns/name.h"
#include "dns/rdata.h"

namespace stackrig::dns {
namespace {

constexpr std::uint16_t kPointer = 0xc000;
constexpr std::size_t kPointerReach = 0x4000;

/// Hashes of a name's ends, the root's first: hash[n] is that of the end with n labels.
using EndHashes = std::array<std::uint16_t, kMaxLabels + 1>;

/// Unkeyed: it only spares comparisons, and a search is bounded by the number of known names.
void hash_ends(const Labels& labels, EndHashes& hashes) {
  std::uint32_t h = 0;
  hashes[0] = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::uint8_t* label = labels[i];
    for (std::size_t b = 0; b <= *label; ++b) h = (h ^ lower(label[b])) * 0x01000193u;
    hashes[i + 1] = static_cast<std::uint16_t>(h ^ h >> 16);
  }
}

}  // namespace

MessageWriter::MessageWriter(const Query& query, std::span<std::uint8_t> out, std::size_t limit)
    : out_(out.data()), limit_(std::min(out.size(), limit) - (query.edns ? kOptSize : 0)) {
  Header& h = Header::at(out_);
  h = Header{};
  h.id.set(query.id);
  h.questions.set(1);
  size_ = Header::kSize;
  std::memcpy(out_ + size_, query.qname, query.question_len);
  const Labels labels(query.qname);
  EndHashes hashes;
  hash_ends(labels, hashes);
  for (std::size_t n = labels.size(); n > 0; --n) {
    remember(size_ + static_cast<std::size_t>(labels.suffix(n) - query.qname), hashes[n]);
  }
  size_ += query.question_len;
}

bool MessageWriter::put(const void* bytes, std::size_t n) {
  if (limit_ - size_ < n) return false;
  std::memcpy(out_ + size_, bytes, n);
  size_ += n;
  return true;
}

void MessageWriter::remember(std::size_t at, std::uint16_t hash) {
  if (names_used_ == kKnown || at >= kPointerReach) return;
  names_[names_used_++] = {static_cast<std::uint16_t>(at), hash};
}

bool MessageWriter::stands_at(std::size_t at, const std::uint8_t* name) const {
  while (at < size_) {
    const std::size_t length = out_[at];
    if (length >= 0xc0) {
      if (size_ - at < 2) return false;
      const std::size_t to = (length & 0x3f) << 8 | out_[at + 1];
      if (to >= at) return false;
      at = to;
      continue;
    }
    if (length != *name) return false;
    if (length == 0) return true;
    if (size_ - at <= length || !equal_bytes(&out_[at + 1], name + 1, length)) return false;
    name += 1 + length;
    at += 1 + length;
  }
  return false;
}

std::uint16_t MessageWriter::find(const std::uint8_t* name, std::uint16_t hash) const {
  for (std::size_t i = 0; i < names_used_; ++i) {
    if (names_[i].hash == hash && stands_at(names_[i].at, name)) return names_[i].at;
  }
  return 0;
}

bool MessageWriter::put_name(const std::uint8_t* name) {
  const Labels labels(name);
  EndHashes hashes;
  hash_ends(labels, hashes);
  for (std::size_t n = labels.size(); n > 0; --n) {
    const std::uint8_t* end = labels.suffix(n);
    if (const std::uint16_t at = find(end, hashes[n]); at != 0) {
      const std::uint8_t pointer[2] = {static_cast<std::uint8_t>((kPointer | at) >> 8),
                                       static_cast<std::uint8_t>(at)};
      return put(pointer, sizeof pointer);
    }
    const std::size_t at = size_;
    if (!put(end, std::size_t{1} + *end)) return false;
    remember(at, hashes[n]);
  }
  return put("", 1);
}

bool MessageWriter::put_rdata(std::uint16_t type, std::span<const std::uint8_t> rdata) {
  const RdataForm form = rdata_form(type);
  if (!form.compressible) return put(rdata.data(), rdata.size());
  const std::uint8_t* p = rdata.data();
  const std::uint8_t* end = p + rdata.size();
  if (!put(p, form.before)) return false;
  p += form.before;
  for (unsigned i = 0; i < form.names; ++i) {
    if (!put_name(p)) return false;
    p += name_length(p);
  }
  return put(p, static_cast<std::size_t>(end - p));
}

bool MessageWriter::put_record(const std::uint8_t* owner, std::uint16_t type, std::uint32_t ttl,
                               std::span<const std::uint8_t> rdata) {
  if (!put_name(owner)) return false;
  const std::uint8_t fixed[10] = {static_cast<std::uint8_t>(type >> 8),
                                  static_cast<std::uint8_t>(type),
                                  kClassIn >> 8,
                                  kClassIn,
                                  static_cast<std::uint8_t>(ttl >> 24),
                                  static_cast<std::uint8_t>(ttl >> 16),
                                  static_cast<std::uint8_t>(ttl >> 8),
                                  static_cast<std::uint8_t>(ttl),
                                  0,
                                  0};
  if (!put(fixed, sizeof fixed)) return false;
  const std::size_t data = size_;
  if (!put_rdata(type, rdata)) return false;
  const std::size_t length = size_ - data;
  out_[data - 2] = static_cast<std::uint8_t>(length >> 8);
  out_[data - 1] = static_cast<std::uint8_t>(length);
  return true;
}

bool MessageWriter::add(Section section, const std::uint8_t* owner, std::uint16_t type,
                        std::uint32_t ttl, std::span<const std::uint8_t> rdata) {
  // Half a record is a trap: a name of which the labels are there and the end is not would be found
  // by the next name that is like it.
  const Mark before = mark();
  if (!put_record(owner, type, ttl, rdata)) {
    back_to(before);
    return false;
  }
  ++counts_[section];
  return true;
}

std::size_t MessageWriter::finish(const Query& query, std::uint16_t flags, Rcode rcode) {
  if (query.edns) {
    size_ += write_opt(query, rcode, out_ + size_);
    ++counts_[additional];
  }
  Header& h = Header::at(out_);
  h.flags.set(static_cast<std::uint16_t>(flag::kResponse | flags |
                                         (query.flags & flag::kRecursionDesired) |
                                         (static_cast<unsigned>(rcode) & flag::kRcode)));
  h.answers.set(counts_[answer]);
  h.authorities.set(counts_[authority]);
  h.additionals.set(counts_[additional]);
  return size_;
}

}  // namespace stackrig::dns
