// SPDX-License-Identifier: Apache-2.0
// The words of one line of a script, taken from left to right.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tcpip/script/script.h"

namespace stackrig::tcpip::script {

/// Splits at blanks; "quoted text" is one word (with its quotes), so is <a list of options>.
/// `#` begins a comment.
class Words {
 public:
  Words(std::string file, int line, std::string_view text);

  [[nodiscard]] bool empty() const { return at_ == words_.size(); }
  /// The next word, which stays; "" at the end.
  [[nodiscard]] const std::string& peek() const;
  /// Takes the next word; `what` is what should stand there.
  std::string take(const std::string& what);
  /// Takes the next word if it is `word`.
  bool took(std::string_view word);
  /// All that is left, as one text.
  std::string rest();
  /// Nothing may be left.
  void finish() const;
  [[noreturn]] void fail(const std::string& cause) const;

  std::int64_t integer(const std::string& what);
  std::int64_t integer_of(const std::string& word, const std::string& what) const;
  std::uint32_t number(const std::string& what, std::uint64_t max = 0xffffffff);
  Time time(const std::string& what);
  [[nodiscard]] Time time_of(const std::string& word, const std::string& what) const;
  bool on_off();

 private:
  std::string file_;
  int line_;
  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

/// "S. 0:1001 ack 1 win 65535 <mss 1460>", the part after the arrow.
SegmentSpec parse_segment(Words& words, bool expected);
std::vector<OptionSpec> parse_options(const std::string& list, const Words& words, bool expected);
/// The text between quotes; \xNN, \n, \\ and \" as in C.
std::string unquoted(const std::string& word, const Words& words);

}  // namespace stackrig::tcpip::script
