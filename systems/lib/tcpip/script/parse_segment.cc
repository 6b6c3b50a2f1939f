// SPDX-License-Identifier: Apache-2.0
// The part of the language that describes a segment.
#include <algorithm>
#include <sstream>

#include "tcpip/script/words.h"
#include "wire/tcp.h"

namespace stackrig::tcpip::script {
namespace {

std::uint8_t parse_flags(const std::string& word, const Words& words, bool& push) {
  std::uint8_t flags = 0;
  push = false;
  if (word == "none") return 0;
  for (const char letter : word) {
    switch (letter) {
      case 'S':
        flags |= wire::kTcpSyn;
        break;
      case 'F':
        flags |= wire::kTcpFin;
        break;
      case 'R':
        flags |= wire::kTcpRst;
        break;
      case 'P':
        flags |= wire::kTcpPsh;
        push = true;
        break;
      case 'U':
        flags |= wire::kTcpUrg;
        break;
      case 'E':
        flags |= wire::kTcpEce;
        break;
      case 'W':
        flags |= wire::kTcpCwr;
        break;
      case '.':
        flags |= wire::kTcpAck;
        break;
      default:
        words.fail("flags are letters of SFRPUEW and . (ACK), or 'none', not '" + word + "'");
    }
  }
  return flags;
}

// "1:1001" or "1".
void parse_range(const std::string& word, const Words& words, bool expected, SegmentSpec& s) {
  s.any_seq = expected && word == "*";
  if (s.any_seq) return;
  const std::size_t colon = word.find(':');
  s.seq = words.integer_of(word.substr(0, colon), "the sequence number");
  if (colon == std::string::npos) return;
  const std::int64_t end = words.integer_of(word.substr(colon + 1), "the end of the segment");
  if (end < s.seq || end - s.seq > 65535) words.fail("a segment of '" + word + "' cannot be");
  s.len = static_cast<std::uint32_t>(end - s.seq);
}

std::uint8_t parse_ecn(const std::string& word, const Words& words) {
  constexpr const char* kNames[] = {"not-ect", "ect1", "ect0", "ce"};
  for (std::uint8_t i = 0; i < 4; ++i) {
    if (word == kNames[i]) return i;
  }
  words.fail("ecn is not-ect, ect0, ect1 or ce, not '" + word + "'");
}

OptionSpec::Number parse_ts_number(const std::string& word, const Words& words, bool expected) {
  using Word = OptionSpec::Number::Word;
  if (word == "any" && expected) return {0, Word::any};
  if (word == "last" && !expected) return {0, Word::last};
  if (word == "first" && !expected) return {0, Word::first};
  return {static_cast<std::uint32_t>(words.integer_of(word, "a timestamp")), Word::none};
}

std::vector<std::uint8_t> parse_hex(const std::string& text, const Words& words) {
  std::vector<std::uint8_t> bytes;
  const bool good =
      text.size() % 2 == 0 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  if (!good) words.fail("raw is followed by bytes such as 020405b4, not '" + text + "'");
  for (std::size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

OptionSpec parse_option(const std::string& text, const Words& words, bool expected) {
  std::istringstream in(text);
  std::vector<std::string> part;
  for (std::string word; in >> word;) part.push_back(word);
  OptionSpec o;
  if (!part.empty() && part[0] == "no" && expected) {
    o.absent = true;
    part.erase(part.begin());
  }
  if (part.empty()) words.fail("an option is missing in '" + text + "'");
  const std::string name = part[0];
  struct Known {
    const char* name;
    OptionSpec::Kind kind;
    std::size_t values;
  };
  using Kind = OptionSpec::Kind;
  constexpr Known kKnown[] = {{"mss", Kind::mss, 1},        {"wscale", Kind::wscale, 1},
                              {"sackOK", Kind::sack_ok, 0}, {"ts", Kind::ts, 2},
                              {"sack", Kind::sack, 1},      {"nop", Kind::nop, 0},
                              {"eol", Kind::eol, 0},        {"raw", Kind::raw, 1}};
  const auto* known = std::find_if(std::begin(kKnown), std::end(kKnown),
                                   [&](const Known& k) { return name == k.name; });
  if (known == std::end(kKnown)) words.fail("'" + name + "' is no option");
  o.kind = known->kind;
  if (part.size() - 1 != (o.absent ? 0 : known->values)) {
    words.fail("option '" + text + "': " + name + " takes " +
               std::to_string(o.absent ? 0 : known->values) + " values");
  }
  if (o.absent) return o;
  switch (o.kind) {
    case Kind::mss:
    case Kind::wscale:
      if (part[1] == "any") {
        o.ts_value.word = OptionSpec::Number::Word::any;
      } else {
        o.value = static_cast<std::uint32_t>(words.integer_of(part[1], name));
      }
      break;
    case Kind::ts:
      o.ts_value = parse_ts_number(part[1], words, expected);
      o.ts_echo = parse_ts_number(part[2], words, expected);
      break;
    case Kind::sack: {
      SegmentSpec range;
      const std::size_t colon = part[1].find(':');
      if (colon == std::string::npos) words.fail("sack takes LEFT:RIGHT, not '" + part[1] + "'");
      o.left = words.integer_of(part[1].substr(0, colon), "sack");
      o.right = words.integer_of(part[1].substr(colon + 1), "sack");
      break;
    }
    case Kind::raw:
      o.bytes = parse_hex(part[1], words);
      break;
    default:
      break;
  }
  return o;
}

}  // namespace

std::string unquoted(const std::string& word, const Words& words) {
  if (word.size() < 2 || word.front() != '"' || word.back() != '"') {
    words.fail("a \"text\" must stand here, not '" + word + "'");
  }
  std::string text;
  for (std::size_t i = 1; i + 1 < word.size(); ++i) {
    if (word[i] == '\\') ++i;
    text += word[i];
  }
  return text;
}

std::vector<OptionSpec> parse_options(const std::string& list, const Words& words, bool expected) {
  if (list.size() < 2 || list.front() != '<' || list.back() != '>') {
    words.fail("options stand in <...>, separated by commas, not '" + list + "'");
  }
  std::vector<OptionSpec> options;
  std::istringstream in(list.substr(1, list.size() - 2));
  for (std::string one; std::getline(in, one, ',');) {
    options.push_back(parse_option(one, words, expected));
  }
  return options;
}

SegmentSpec parse_segment(Words& words, bool expected) {
  SegmentSpec s;
  s.flags = parse_flags(words.take("the flags"), words, s.push_counts);
  parse_range(words.take("the sequence number"), words, expected, s);
  while (!words.empty()) {
    if (words.took("ack")) {
      s.ack = words.integer("ack");
    } else if (words.took("win")) {
      const std::string value = words.take("the window");
      const std::size_t dots = value.find("..");
      s.window = static_cast<std::uint32_t>(words.integer_of(value.substr(0, dots), "win"));
      s.window_max =
          dots == std::string::npos
              ? s.window
              : static_cast<std::uint32_t>(words.integer_of(value.substr(dots + 2), "win"));
    } else if (words.took("urg")) {
      s.urgent = static_cast<std::uint16_t>(words.number("urg", 65535));
    } else if (words.took("ecn")) {
      s.ecn = parse_ecn(words.take("ecn"), words);
    } else if (!expected && words.took("badsum")) {
      s.bad_checksum = true;
    } else if (words.peek().front() == '"') {
      s.text = unquoted(words.take("the payload"), words);
      if (s.len == 0) s.len = static_cast<std::uint32_t>(s.text->size());
      if (s.text->size() != s.len) words.fail("the text is not as long as the segment");
    } else if (words.peek().front() == '<') {
      s.options = parse_options(words.take("the options"), words, expected);
    } else {
      words.finish();
    }
  }
  const bool acks = (s.flags & wire::kTcpAck) != 0;
  if (acks && !s.ack) words.fail("a segment with '.' needs 'ack N'");
  return s;
}

}  // namespace stackrig::tcpip::script
