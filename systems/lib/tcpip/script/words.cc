// SPDX-License-Identifier: Apache-2.0
#include "tcpip/script/words.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

namespace stackrig::tcpip::script {
namespace {

/// Lines for a reader: their text is not looked into.
bool is_prose(const std::string& first) {
  return first == "title" || first == "rfc" || first == "only" || first == "differs";
}

}  // namespace

Words::Words(std::string file, int line, std::string_view text)
    : file_(std::move(file)), line_(line) {
  std::size_t i = 0;
  while (i < text.size()) {
    if (text[i] == ' ' || text[i] == '\t' || text[i] == '\r') {
      ++i;
      continue;
    }
    if (text[i] == '#') break;
    const std::size_t begin = i;
    const bool prose = !words_.empty() && is_prose(words_.front());
    const bool list = !prose && text[i] == '<' && i + 1 < text.size() && text[i + 1] != ' ';
    if ((text[i] == '"' && !prose) || list) {
      const char close = list ? '>' : '"';
      for (++i; i < text.size() && text[i] != close; ++i) {
        if (text[i] == '\\') ++i;
      }
      if (i >= text.size())
        fail(std::string("no ") + close +
             " closes what begins here: " + std::string(text.substr(begin)));
      ++i;
    } else {
      while (i < text.size() && text[i] != ' ' && text[i] != '\t' && text[i] != '\r') ++i;
    }
    words_.emplace_back(text.substr(begin, i - begin));
  }
}

const std::string& Words::peek() const {
  static const std::string kNone;
  return empty() ? kNone : words_[at_];
}

std::string Words::take(const std::string& what) {
  if (empty()) fail(what + " is missing at the end of the line");
  return words_[at_++];
}

bool Words::took(std::string_view word) {
  if (peek() != word) return false;
  ++at_;
  return true;
}

std::string Words::rest() {
  std::string text;
  for (; at_ < words_.size(); ++at_) text += (text.empty() ? "" : " ") + words_[at_];
  return text;
}

void Words::finish() const {
  if (!empty()) fail("'" + peek() + "' means nothing here");
}

void Words::fail(const std::string& cause) const {
  throw ScriptError(file_ + ":" + std::to_string(line_) + ": " + cause);
}

std::int64_t Words::integer_of(const std::string& word, const std::string& what) const {
  std::int64_t value = 0;
  const char* end = word.data() + word.size();
  const auto [at, error] = std::from_chars(word.data(), end, value);
  if (error != std::errc{} || at != end) fail(what + " is a number, not '" + word + "'");
  return value;
}

std::int64_t Words::integer(const std::string& what) {
  return integer_of(take(what), what);
}

std::uint32_t Words::number(const std::string& what, std::uint64_t max) {
  const std::int64_t value = integer(what);
  if (value < 0 || static_cast<std::uint64_t>(value) > max) {
    fail(what + " must be from 0 to " + std::to_string(max) + ", not " + std::to_string(value));
  }
  return static_cast<std::uint32_t>(value);
}

Time Words::time_of(const std::string& word, const std::string& what) const {
  char* end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  const std::string_view unit(end);
  Time one = 0;
  if (unit == "s") one = nmio::kSecond;
  if (unit == "ms") one = nmio::kMillisecond;
  if (unit == "us") one = nmio::kMicrosecond;
  if (end == word.c_str() || one == 0 || value < 0) {
    fail(what + " is a time such as 200ms, 1.5s or 40us, not '" + word + "'");
  }
  return static_cast<Time>(std::llround(value * static_cast<double>(one)));
}

Time Words::time(const std::string& what) {
  return time_of(take(what), what);
}

bool Words::on_off() {
  const std::string word = take("on or off");
  if (word != "on" && word != "off") fail("on or off must stand here, not '" + word + "'");
  return word == "on";
}

}  // namespace stackrig::tcpip::script
