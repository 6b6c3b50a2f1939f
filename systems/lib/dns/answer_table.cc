// SPDX-License-Identifier: Apache-2.0
// The look-up works on sixteen bytes of a question at a time: name, type and class as one string. A
// message's header lies before its question, so that one of less than sixteen bytes is read as the
// end of the sixteen that end with it: nothing is read outside the message. Type and class have
// their letters put in lower case with the name's; the type is compared by itself as well.
#include "dns/answer_table.h"

#include <emmintrin.h>

#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "dns/cut.h"
#include "dns/name.h"
#include "hash/block_hash.h"
#include "hash/random_secret.h"

namespace stackrig::dns {
namespace {

constexpr std::size_t kBlock = 16;
constexpr std::size_t kTypeAndClass = 4;

__m128i load(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}

/// Sixteen bytes at once. The length bytes of a name are below 'A' and stay what they are.
__m128i lower(__m128i bytes) {
  // 'A' to 'Z' become the least of the signed numbers.
  const __m128i moved = _mm_add_epi8(bytes, _mm_set1_epi8(0x80 - 'A'));
  const __m128i is_letter = _mm_cmplt_epi8(moved, _mm_set1_epi8(-0x80 + 26));
  return _mm_or_si128(bytes, _mm_and_si128(is_letter, _mm_set1_epi8(0x20)));
}

/// The last `n` bytes (at most 16) of the block that ends at `end`; zeros for the others.
__m128i last(const std::uint8_t* end, std::size_t n) {
  alignas(kBlock) static constexpr std::uint8_t kMask[2 * kBlock] = {
      0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
      0,    0,    0,    0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  return _mm_and_si128(load(end - kBlock), load(kMask + n));
}

std::uint64_t hash_wire(const hash::BlockHashKey& key, const Query& q) {
  const std::size_t n = q.qname_len + kTypeAndClass;
  hash::BlockHash h(key, n);
  const std::uint8_t* end = q.qname + n;
  std::size_t left = n;
  for (; left > kBlock; left -= kBlock) h.block(lower(load(end - left)));
  h.block(lower(last(end, left)));
  return h.finish();
}

std::uint64_t hash_text(const hash::BlockHashKey& key, std::uint16_t qtype, const char* text,
                        std::size_t length) {
  hash::BlockHash h(key, std::uint64_t{qtype} << 16 | length);
  std::size_t i = 0;
  do {
    h.block(load(text + i));  // zeros lie behind it
    i += kBlock;
  } while (i < length);
  return h.finish();
}

/// What a byte of a label is in the text: itself in lower case; 0: an escape.
constexpr std::array<char, 256> kText = [] {
  std::array<char, 256> t{};
  for (unsigned c = '0'; c <= '9'; ++c) t[c] = static_cast<char>(c);
  for (unsigned c = 'a'; c <= 'z'; ++c) t[c] = t[c - 0x20] = static_cast<char>(c);
  t['-'] = '-';
  t['_'] = '_';
  return t;
}();

/// Returns the text's length. A block of zeros is put behind it.
std::size_t make_text(const std::uint8_t* name, char* text) {
  char* out = text;
  for (const std::uint8_t* p = name; *p != 0; p += 1 + *p) {
    for (unsigned i = 1; i <= *p; ++i) {
      const unsigned c = p[i];
      if (kText[c] != 0) {
        *out++ = kText[c];
        continue;
      }
      *out++ = '\\';
      *out++ = static_cast<char>('0' + c / 100);
      *out++ = static_cast<char>('0' + c / 10 % 10);
      *out++ = static_cast<char>('0' + c % 10);
    }
    *out++ = '.';
  }
  std::memset(out, 0, kBlock);
  return static_cast<std::size_t>(out - text);
}

/// Whether `cut` is for the name of `q`, which is as long, whatever its case.
bool same_wire_name(const CutAnswer& cut, const Query& q) {
  const std::size_t n = q.qname_len + kTypeAndClass;
  const std::uint8_t* a = cut.payload() + Header::kSize + n;
  const std::uint8_t* b = q.qname + n;
  std::size_t left = n;
  __m128i differ = _mm_setzero_si128();
  for (; left > kBlock; left -= kBlock)
    differ = _mm_or_si128(differ, _mm_xor_si128(lower(load(a - left)), lower(load(b - left))));
  differ = _mm_or_si128(differ, _mm_xor_si128(lower(last(a, left)), lower(last(b, left))));
  return _mm_movemask_epi8(_mm_cmpeq_epi8(differ, _mm_setzero_si128())) == 0xffff;
}

std::uint16_t type_of(const CutAnswer& cut) {
  const std::uint8_t* p = cut.payload() + Header::kSize + cut.qname_len;
  return static_cast<std::uint16_t>(p[0] << 8 | p[1]);
}

/// What one key does where the keys differ. prepare() makes the text of the key, probe() its hash
/// too.
template <class Key>
struct KeyOf;

template <>
struct KeyOf<WireKey> {
  static void probe(const hash::BlockHashKey& key, const Query& q, WireKey::Probe& p) {
    p.hash = hash_wire(key, q);
  }
  static void prepare(const Query& /*q*/, WireKey::Probe& /*p*/) {}
  static std::size_t length(const WireKey::Probe& /*p*/) { return 0; }
  static const void* text(const WireKey::Probe& /*p*/) { return ""; }
  static bool same_name(const CutAnswer& cut, const WireKey::Probe& /*p*/, const Query& q) {
    return cut.qname_len == q.qname_len && same_wire_name(cut, q);
  }
};

template <>
struct KeyOf<FqdnKey> {
  static void probe(const hash::BlockHashKey& key, const Query& q, FqdnKey::Probe& p) {
    prepare(q, p);
    p.hash = hash_text(key, q.qtype, p.text, p.length);
  }
  static void prepare(const Query& q, FqdnKey::Probe& p) {
    p.length = static_cast<std::uint16_t>(make_text(q.qname, p.text));
  }
  static std::size_t length(const FqdnKey::Probe& p) { return p.length; }
  static const void* text(const FqdnKey::Probe& p) { return p.text; }
  static bool same_name(const CutAnswer& cut, const FqdnKey::Probe& p, const Query& /*q*/) {
    return cut.key_len == p.length && std::memcmp(cut.payload() - p.length, p.text, p.length) == 0;
  }
};

}  // namespace

namespace {

/// What a header says but for the counts that an answer has by itself.
void stamp_header(const CutAnswer& cut, const Query& query, std::uint8_t* out) {
  Header& h = Header::at(out);
  h.id.set(query.id);
  h.flags.set(static_cast<std::uint16_t>(Header::at(cut.payload()).flags.get() |
                                         (query.flags & flag::kRecursionDesired)));
  h.additionals.set(static_cast<std::uint16_t>(cut.additionals + (query.edns ? 1 : 0)));
}

std::size_t stamp_opt(const CutAnswer& cut, const Query& query, std::uint8_t* out) {
  if (!query.edns) return cut.length;
  return cut.length + write_opt(query, Rcode::noerror, out + cut.length);
}

}  // namespace

std::size_t CutAnswer::stamp(const Query& query, std::uint8_t* copy) const {
  stamp_header(*this, query, copy);
  std::memcpy(copy + Header::kSize, query.qname, qname_len);
  return stamp_opt(*this, query, copy);
}

std::size_t CutAnswer::write_around(const Query& query, std::uint8_t* out) const {
  static_assert(kSlack == kBlock - 1);
  const std::uint8_t* const cut = payload();
  std::memcpy(out, cut, Header::kSize);
  stamp_header(*this, query, out);
  // Blocks: a call of memcpy costs more than most answers' records are long.
  for (std::size_t i = Header::kSize + query.question_len; i < length; i += kBlock)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), load(cut + i));
  return stamp_opt(*this, query, out);
}

template <class Key>
AnswerTable<Key>::AnswerTable(const ZoneSet& zones)
    : key_{{hash::random_secret(), hash::random_secret(), hash::random_secret(),
            hash::random_secret()}} {
  std::vector<std::uint8_t> bytes(kFirst);
  const auto probe_of = std::make_unique<Probe>();
  cut_answers(zones, [&](const Query& q, std::span<const std::uint8_t> payload, Clients clients) {
    KeyOf<Key>::prepare(q, *probe_of);  // no header lies before this question
    CutAnswer cut{};
    cut.number = static_cast<std::uint32_t>(count_++);
    cut.length = static_cast<std::uint16_t>(payload.size());
    cut.key_len = static_cast<std::uint16_t>(KeyOf<Key>::length(*probe_of));
    cut.additionals = Header::at(payload.data()).additionals.get();
    cut.qname_len = static_cast<std::uint8_t>(q.qname_len);
    cut.clients = clients;
    const std::size_t at = bytes.size();
    bytes.resize(at + bytes_of(cut));
    std::memcpy(&bytes[at], &cut, sizeof cut);
    std::memcpy(&bytes[at + sizeof cut], KeyOf<Key>::text(*probe_of), cut.key_len);
    std::memcpy(&bytes[at + sizeof cut + cut.key_len], payload.data(), payload.size());
  });
  answers_end_ = bytes.size();
  answers_ = HugeMemory(bytes.size() + CutAnswer::kSlack);
  std::memcpy(answers_.data(), bytes.data(), bytes.size());
  build_index();
}

template <class Key>
void AnswerTable<Key>::build_index() {
  // Four to a bucket, or two: few buckets are full, and half of the lines that are read are the
  // only one.
  const std::size_t buckets = std::bit_ceil(count_ / (Bucket::kSlots / 2) + 1);
  mask_ = buckets - 1;
  buckets_ = HugeMemory(buckets * sizeof(Bucket));
  const auto probe_of = std::make_unique<Probe>();
  for_each([&](const CutAnswer& cut) {
    Query q;
    q.qname = cut.payload() + Header::kSize;
    q.qname_len = cut.qname_len;
    q.qtype = type_of(cut);
    q.dnssec_ok = cut.clients == Clients::dnssec;
    probe(q, *probe_of);
    if (locate(*probe_of, q) != nullptr) return;  // two zones have the name: the answer is one
    const auto offset =
        static_cast<std::size_t>(reinterpret_cast<const std::uint8_t*>(&cut) - answers_.data());
    insert(probe_of->hash, static_cast<std::uint32_t>(offset / kUnit));
  });
}

template <class Key>
void AnswerTable<Key>::insert(std::uint64_t hash, std::uint32_t at) {
  for (std::size_t i = hash;; ++i) {
    auto& b = const_cast<Bucket&>(bucket(i));
    for (unsigned s = 0; s < Bucket::kSlots; ++s) {
      if (b.answers[s] != 0) continue;
      b.tags[s] = static_cast<std::uint32_t>(hash >> 32);
      b.answers[s] = at;
      return;
    }
  }
}

/// A bit for each slot whose tag is the hash's, those that are free among them.
template <class Key>
unsigned AnswerTable<Key>::match(const Bucket& b, std::uint64_t hash) {
  const __m128i tag = _mm_set1_epi32(static_cast<int>(hash >> 32));
  const auto* tags = reinterpret_cast<const __m128i*>(b.tags);
  const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(tags), tag);
  const __m128i high = _mm_cmpeq_epi32(_mm_load_si128(tags + 1), tag);
  return static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(low)) |
                               _mm_movemask_ps(_mm_castsi128_ps(high)) << 4);
}

template <class Key>
void AnswerTable<Key>::probe(const Query& query, Probe& p) const {
  KeyOf<Key>::probe(key_, query, p);
}

template <class Key>
void AnswerTable<Key>::prefetch_answer(const Probe& p) const {
  const Bucket& b = bucket(p.hash);
  const unsigned m = match(b, p.hash);
  if (m == 0) return;
  const auto* cut = reinterpret_cast<const std::uint8_t*>(&answer(b.answers[std::countr_zero(m)]));
  __builtin_prefetch(cut);
  __builtin_prefetch(cut + 64);
}

template <class Key>
bool AnswerTable<Key>::is_for(const CutAnswer& cut, const Probe& p, const Query& q) {
  return KeyOf<Key>::same_name(cut, p, q) && type_of(cut) == q.qtype &&
         is_among(q.dnssec_ok, cut.clients);
}

template <class Key>
const CutAnswer* AnswerTable<Key>::locate(const Probe& p, const Query& q) const {
  for (std::size_t i = p.hash;; ++i) {
    const Bucket& b = bucket(i);
    for (unsigned m = match(b, p.hash); m != 0; m &= m - 1) {
      const std::uint32_t slot = b.answers[std::countr_zero(m)];
      if (slot != 0 && is_for(answer(slot), p, q)) return &answer(slot);
    }
    if (b.answers[Bucket::kSlots - 1] == 0) return nullptr;
  }
}

template <class Key>
const CutAnswer* AnswerTable<Key>::find(const Probe& p, const Query& q) const {
  if (q.qclass != kClassIn) return nullptr;
  const CutAnswer* cut = locate(p, q);
  if (cut == nullptr) return nullptr;
  const std::size_t bytes = cut->length + (q.edns ? kOptSize : 0);
  return bytes <= q.limit(Transport::udp) ? cut : nullptr;
}

template class AnswerTable<WireKey>;
template class AnswerTable<FqdnKey>;

}  // namespace stackrig::dns
