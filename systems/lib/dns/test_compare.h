// SPDX-License-Identifier: Apache-2.0
// Answers as records in text, taken apart and compared, for tests.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "dns/test_messages.h"

namespace stackrig::dns::testing {

struct Question {
  std::string name;
  unsigned qtype;
  Edns edns;
};

inline std::string owner_of(const std::string& record) {
  return record.substr(0, record.find(' '));
}
inline unsigned type_of(const std::string& record) {
  const std::size_t at = record.find(' ', record.find(' ') + 1);
  return static_cast<unsigned>(std::stoul(record.substr(at + 1)));
}
/// The name in the data of a CNAME or NS.
inline std::string target_of(const std::string& record) {
  const std::size_t end = record.find_last_not_of(' ');
  const std::size_t begin = record.rfind(' ', end);
  return record.substr(begin + 1, end - begin);
}
inline bool covers(const std::string& record, unsigned t) {
  return type_of(record) == t ||
         (type_of(record) == type::kRrsig &&
          record.find(" 46 " +
                      std::string{"0123456789abcdef"[t >> 12 & 15], "0123456789abcdef"[t >> 8 & 15],
                                  "0123456789abcdef"[t >> 4 & 15], "0123456789abcdef"[t & 15]}) !=
              std::string::npos);
}
inline bool has_type(const std::vector<std::string>& records, unsigned t) {
  return std::any_of(records.begin(), records.end(),
                     [t](const std::string& r) { return type_of(r) == t; });
}

/// The end of the chain of aliases that begins at `name`.
inline std::string end_of_chain(const Answer& a, std::string name) {
  std::set<std::string> seen;
  while (seen.insert(name).second) {
    for (const std::string& r : a.answer()) {
      if (type_of(r) == type::kCname && owner_of(r) == name) name = target_of(r);
    }
  }
  return name;
}

/// Records that come twice come once.
inline void unite(Answer& a) {
  for (auto& s : a.sections) {
    std::sort(s.begin(), s.end());
    s.erase(std::unique(s.begin(), s.end()), s.end());
  }
}

inline std::string lower_text(std::string s) {
  for (char& c : s) c = static_cast<char>(lower(static_cast<std::uint8_t>(c)));
  return s;
}

inline std::string show(const char* who, const Answer& a) {
  constexpr const char* kSections[] = {"  answer     ", "  authority  ", "  additional "};
  std::string s = std::string(who) + ": rcode " + std::to_string(a.rcode) +
                  (a.authoritative() ? " AA" : "") + (a.truncated() ? " TC" : "") +
                  (a.has_opt ? " OPT" : "") + (a.dnssec_ok ? " DO" : "") + "\n";
  for (int i = 0; i < 3; ++i) {
    for (const std::string& r : a.sections[i]) s += kSections[i] + r.substr(0, 110) + "\n";
  }
  return s;
}

inline bool same_answer(const Answer& a, const Answer& b) {
  if (a.rcode != b.rcode || a.authoritative() != b.authoritative() ||
      a.truncated() != b.truncated() || a.has_opt != b.has_opt || a.dnssec_ok != b.dnssec_ok ||
      a.question_name != b.question_name) {
    return false;
  }
  if (a.truncated()) return true;  // RFC 2181 9: what is left of it means nothing
  return std::equal(std::begin(a.sections), std::end(a.sections), std::begin(b.sections));
}

inline std::size_t limit_of(const Question& q) {
  Query query;
  query.edns = q.edns.present;
  query.payload_size = static_cast<std::uint16_t>(q.edns.payload_size);
  return query.limit(Transport::udp);
}

}  // namespace stackrig::dns::testing
