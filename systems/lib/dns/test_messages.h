// SPDX-License-Identifier: Apache-2.0
// Queries made and answers taken apart, for tests. The reader of answers is written for itself, not
// with the library's writer, so that it sees the writer's mistakes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "dns/name.h"
#include "dns/query.h"
#include "dns/respond.h"
#include "dns/zone_set.h"

namespace stackrig::dns::testing {

using Bytes = std::vector<std::uint8_t>;

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline Bytes be16(unsigned v) {
  return {static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v)};
}
inline Bytes header(unsigned flags, unsigned questions, unsigned answers = 0,
                    unsigned authorities = 0, unsigned additionals = 0) {
  return be16(0x1234) + be16(flags) + be16(questions) + be16(answers) + be16(authorities) +
         be16(additionals);
}
inline Bytes name(std::string_view text) {
  const auto n = Name::from_text(text);
  if (!n) throw std::invalid_argument(std::string(text));
  return {n->data(), n->data() + n->size()};
}
inline Bytes question(std::string_view text, unsigned qtype, unsigned qclass = kClassIn) {
  return name(text) + be16(qtype) + be16(qclass);
}
inline Bytes opt(unsigned payload_size = 4096, bool dnssec_ok = false, unsigned version = 0,
                 const Bytes& options = {}) {
  return Bytes{0} + be16(type::kOpt) + be16(payload_size) + be16(version) +
         be16(dnssec_ok ? kDnssecOk : 0) + be16(static_cast<unsigned>(options.size())) + options;
}

/// What a question is asked with.
struct Edns {
  bool present = false;
  unsigned payload_size = 4096;
  bool dnssec_ok = false;
};
inline constexpr Edns kPlain{};
inline constexpr Edns kEdns{true, 4096, false};
inline constexpr Edns kDnssec{true, 4096, true};

inline Bytes ask(std::string_view text, unsigned qtype, Edns e = kPlain, unsigned flags = 0x0100,
                 unsigned qclass = kClassIn) {
  return header(flags, 1, 0, 0, e.present ? 1 : 0) + question(text, qtype, qclass) +
         (e.present ? opt(e.payload_size, e.dnssec_ok) : Bytes{});
}

/// The memory that an answer to `q` is made in: as much as it may take, so that the address
/// sanitizer sees one byte more, and full of compression pointers that lead far behind its end, so
/// that it also sees what takes for part of the message what is not written yet.
inline Bytes room_for(const Query& q, Transport transport) {
  return Bytes(q.limit(transport), 0xff);
}

/// What this library answers to the bytes of a message; empty where it answers nothing.
inline Bytes answer_to(const ZoneSet& zones, const Bytes& message,
                       Transport transport = Transport::udp) {
  Bytes out;
  Query q;
  Rcode rcode{};
  switch (parse_query(message, q, rcode)) {
    case Parsed::ignore:
      return {};
    case Parsed::error:
      out = room_for(q, transport);
      out.resize(write_error(q, rcode, out));
      return out;
    case Parsed::query:
      out = room_for(q, transport);
      out.resize(respond(zones, q, transport, out));
      return out;
  }
  return {};
}

/// A record as text: "www.example.com. 3600 A c0000203". Names in lower case and uncompressed, also
/// those in the data; the rest of the data in hex.
struct Answer {
  unsigned id = 0, flags = 0, rcode = 0;  ///< rcode with the bits in OPT
  bool has_opt = false, dnssec_ok = false;
  unsigned payload_size = 0, edns_version = 0;
  std::string question_name;  ///< in the case of the message
  unsigned qtype = 0, qclass = 0;
  std::vector<std::string> sections[3];  ///< sorted
  std::size_t bytes = 0;

  [[nodiscard]] bool authoritative() const { return (flags & flag::kAuthoritative) != 0; }
  [[nodiscard]] bool truncated() const { return (flags & flag::kTruncated) != 0; }
  [[nodiscard]] const std::vector<std::string>& answer() const { return sections[0]; }
  [[nodiscard]] const std::vector<std::string>& authority() const { return sections[1]; }
  [[nodiscard]] const std::vector<std::string>& additional() const { return sections[2]; }
};

/// Takes a message apart. Throws std::runtime_error where it is malformed.
class AnswerReader {
 public:
  explicit AnswerReader(const Bytes& m) : m_(m) {}

  Answer read() {
    Answer a;
    a.bytes = m_.size();
    a.id = number(2);
    a.flags = number(2);
    a.rcode = a.flags & flag::kRcode;
    const unsigned questions = number(2);
    unsigned counts[3];
    for (unsigned& c : counts) c = number(2);
    if (questions > 1) throw std::runtime_error("more than one question");
    if (questions == 1) {
      a.question_name = read_name(at_, false);
      a.qtype = number(2);
      a.qclass = number(2);
    }
    for (int s = 0; s < 3; ++s) {
      for (unsigned i = 0; i < counts[s]; ++i) read_record(a, s);
      std::sort(a.sections[s].begin(), a.sections[s].end());
    }
    if (at_ != m_.size()) throw std::runtime_error("bytes behind the message");
    return a;
  }

 private:
  unsigned byte(std::size_t at) const {
    if (at >= m_.size()) throw std::runtime_error("the message ends too early");
    return m_[at];
  }
  unsigned number(unsigned bytes) {
    unsigned v = 0;
    while (bytes-- > 0) v = v << 8 | byte(at_++);
    return v;
  }
  std::string read_name(std::size_t& at, bool fold) const {
    Bytes wire;
    std::size_t p = at;
    bool jumped = false;
    while (true) {
      const unsigned length = byte(p);
      if (length >= 0xc0) {
        const std::size_t to = (length & 0x3f) << 8 | byte(p + 1);
        if (to >= p) throw std::runtime_error("a pointer that does not lead back");
        if (!jumped) at = p + 2;
        jumped = true;
        p = to;
        continue;
      }
      for (unsigned i = 0; i <= length; ++i) {
        const auto c = static_cast<std::uint8_t>(byte(p + i));
        wire.push_back(fold ? lower(c) : c);
      }
      p += length + 1;
      if (length == 0) break;
      if (wire.size() > kMaxName) throw std::runtime_error("a name that is too long");
    }
    if (!jumped) at = p;
    return name_to_text(wire.data());
  }
  void read_record(Answer& a, int section) {
    const std::string owner = read_name(at_, true);
    const unsigned t = number(2), cls = number(2), ttl = number(4), size = number(2);
    const std::size_t end = at_ + size;
    if (t == type::kOpt) {
      if (owner != "." || a.has_opt || section != 2) throw std::runtime_error("a wrong OPT");
      a.has_opt = true;
      a.payload_size = cls;
      a.rcode |= ttl >> 24 << 4;
      a.edns_version = ttl >> 16 & 0xff;
      a.dnssec_ok = (ttl & kDnssecOk) != 0;
      at_ = end;
      return;
    }
    if (cls != kClassIn) throw std::runtime_error("a class other than IN");
    a.sections[section].push_back(owner + " " + std::to_string(ttl) + " " + std::to_string(t) +
                                  " " + read_data(t, end));
    if (at_ != end) throw std::runtime_error("a record whose data is not as long as it says");
  }
  std::string read_data(unsigned t, std::size_t end) {
    static const std::map<unsigned, std::pair<unsigned, unsigned>> kNames = {
        {2, {0, 1}},  {5, {0, 1}},  {6, {0, 2}},  {12, {0, 1}}, {14, {0, 2}},  {15, {2, 1}},
        {17, {0, 2}}, {18, {2, 1}}, {33, {6, 1}}, {39, {0, 1}}, {46, {18, 1}}, {47, {0, 1}}};
    std::string text;
    if (const auto form = kNames.find(t); form != kNames.end()) {
      text += hex(at_ + form->second.first);
      for (unsigned i = 0; i < form->second.second; ++i) text += " " + read_name(at_, true);
      text += " ";
    }
    return text + hex(end);
  }
  std::string hex(std::size_t end) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    while (at_ < end) {
      const unsigned b = number(1);
      text += {kDigits[b >> 4], kDigits[b & 15]};
    }
    return text;
  }
  const Bytes& m_;
  std::size_t at_ = 0;
};

inline Answer read_answer(const Bytes& message) {
  return AnswerReader(message).read();
}

}  // namespace stackrig::dns::testing
