// SPDX-License-Identifier: Apache-2.0
// Records made canonical, sorted, hashed.
#include "rigload/dns_digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <new>

#include "dns/message.h"
#include "dns/name.h"
#include "dns/rdata.h"

namespace stackrig::rigload {
namespace {

using Bytes = std::span<const std::uint8_t>;

/// Pointers followed in one name: more than any honest name has.
constexpr unsigned kMostPointers = 128;
constexpr std::size_t kFixed = 10;  ///< type, class, TTL, length of the data (RFC 1035 3.2.1)

std::uint16_t word_at(Bytes message, std::size_t at) {
  return static_cast<std::uint16_t>(message[at] << 8 | message[at + 1]);
}

}  // namespace

DnsDigest::DnsDigest()
    : context_(EVP_MD_CTX_new()), sha256_(EVP_MD_fetch(nullptr, "SHA256", nullptr)) {
  if (context_ == nullptr || sha256_ == nullptr) throw std::bad_alloc();
}

DnsDigest::~DnsDigest() {
  EVP_MD_free(sha256_);
  EVP_MD_CTX_free(context_);
}

std::optional<std::uint64_t> DnsDigest::of(Bytes message) {
  bytes_.clear();
  records_.clear();
  if (message.size() < dns::Header::kSize) return std::nullopt;
  const dns::Header& header = dns::Header::at(message.data());
  std::size_t at = dns::Header::kSize;
  if (header.questions.get() != 1 || !take_name(message, at) || message.size() - at < 4) {
    return std::nullopt;
  }
  at += 4;
  bytes_.clear();
  for (unsigned i = header.answers.get(); i != 0; --i) {
    if (!take_record(message, at)) return std::nullopt;
  }
  std::ranges::sort(records_, [this](const Record& a, const Record& b) { return less(a, b); });
  EVP_DigestInit_ex2(context_, sha256_, nullptr);
  for (const Record& r : records_) {
    EVP_DigestUpdate(context_, bytes_.data() + r.begin, r.end - r.begin);
  }
  std::uint8_t hash[EVP_MAX_MD_SIZE];
  EVP_DigestFinal_ex(context_, hash, nullptr);
  std::uint64_t digest = 0;
  for (unsigned i = 0; i < 8; ++i) digest = digest << 8 | hash[i];
  return digest;
}

bool DnsDigest::take_name(Bytes message, std::size_t& at) {
  std::size_t from = at, length = 0;
  bool jumped = false;
  for (unsigned pointers = 0; from < message.size();) {
    const std::uint8_t label = message[from];
    if (label >= 0xc0) {
      if (++pointers > kMostPointers || message.size() - from < 2) return false;
      if (!jumped) at = from + 2;
      jumped = true;
      from = word_at(message, from) & 0x3fffU;
      continue;
    }
    if (label > dns::kMaxLabel || message.size() - from < label + std::size_t{1}) return false;
    length += label + std::size_t{1};
    if (length > dns::kMaxName) return false;
    for (std::size_t i = 0; i <= label; ++i) bytes_.push_back(dns::lower(message[from + i]));
    from += label + std::size_t{1};
    if (label != 0) continue;
    if (!jumped) at = from;
    return true;
  }
  return false;
}

bool DnsDigest::take_record(Bytes message, std::size_t& at) {
  const auto begin = static_cast<std::uint32_t>(bytes_.size());
  if (!take_name(message, at) || message.size() - at < kFixed) return false;
  const std::uint16_t type = word_at(message, at), length = word_at(message, at + 8);
  append(message.subspan(at, kFixed - 2));
  at += kFixed;
  if (message.size() - at < length) return false;
  const std::size_t length_at = bytes_.size();
  append(message.subspan(at - 2, 2));
  if (!take_data(message, at, at + length, type)) return false;
  const std::size_t canonical = bytes_.size() - length_at - 2;
  bytes_[length_at] = static_cast<std::uint8_t>(canonical >> 8);
  bytes_[length_at + 1] = static_cast<std::uint8_t>(canonical);
  at += length;
  records_.push_back({begin, static_cast<std::uint32_t>(bytes_.size())});
  return true;
}

bool DnsDigest::take_data(Bytes message, std::size_t at, std::size_t end, std::uint16_t type) {
  const dns::RdataForm form = dns::rdata_form(type);
  if (form.names != 0) {
    if (end - at < form.before) return false;
    append(message.subspan(at, form.before));
    at += form.before;
    for (unsigned i = 0; i < form.names; ++i) {
      if (!take_name(message.first(end), at)) return false;
    }
  }
  append(message.subspan(at, end - at));
  return true;
}

void DnsDigest::append(Bytes bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

bool DnsDigest::less(const Record& a, const Record& b) const {
  return std::lexicographical_compare(bytes_.begin() + a.begin, bytes_.begin() + a.end,
                                      bytes_.begin() + b.begin, bytes_.begin() + b.end);
}

}  // namespace stackrig::rigload
