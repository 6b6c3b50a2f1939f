// SPDX-License-Identifier: Apache-2.0
// The lines of a zone file, those that parentheses hold together as one (RFC 1035 5.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

namespace stackrig::dns {

class LogicalLines {
 public:
  /// ldns has 65535 bytes for a record's text.
  static constexpr std::size_t kMaxLine = 65000;

  enum class Result : std::uint8_t {
    line,        ///< where it is longer than kMaxLine, it is not whole
    end,         ///< of the file
    unclosed,    ///< a quote or parenthesis that is not closed, or one that is closed only
    unreadable,  ///< errno says why
  };

  /// The file must stay open.
  explicit LogicalLines(std::FILE* file) : file_(file) {}

  /// Reads a line: without comments, and with blanks in place of parentheses and line ends.
  Result next(std::string& line);
  /// The line of the file where the last one began, from 1.
  [[nodiscard]] std::uint32_t begin() const { return begin_; }

 private:
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  static bool append(std::string& line, std::string_view text, unsigned& open);

  std::FILE* file_;
  std::unique_ptr<char, Free> physical_;
  std::size_t capacity_ = 0;
  std::uint32_t lines_ = 0;
  std::uint32_t begin_ = 0;
};

}  // namespace stackrig::dns
