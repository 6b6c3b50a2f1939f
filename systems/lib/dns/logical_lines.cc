// SPDX-License-Identifier: Apache-2.0
#include "dns/logical_lines.h"

namespace stackrig::dns {

LogicalLines::Result LogicalLines::next(std::string& line) {
  line.clear();
  begin_ = lines_ + 1;
  unsigned open = 0;
  do {
    char* raw = physical_.release();
    const ssize_t size = ::getline(&raw, &capacity_, file_);
    physical_.reset(raw);
    if (size < 0) {
      if (std::ferror(file_) != 0) return Result::unreadable;
      return open > 0 ? Result::unclosed : Result::end;
    }
    ++lines_;
    if (!append(line, {raw, static_cast<std::size_t>(size)}, open)) return Result::unclosed;
    if (open > 0) line += ' ';
  } while (open > 0 && line.size() <= kMaxLine);
  return Result::line;
}

/// False where a quote is not closed, or more parentheses are closed than opened.
bool LogicalLines::append(std::string& line, std::string_view text, unsigned& open) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && i + 1 < text.size() && text[i + 1] != '\n') {
      line += {c, text[++i]};
      continue;
    }
    if (c == '"') quoted = !quoted;
    if (c == '\n' || (c == ';' && !quoted)) break;
    if (quoted || (c != '(' && c != ')' && c != '\r' && c != '\0')) {
      line += c;
      continue;
    }
    if (c == ')' && open == 0) return false;
    open += c == '(' ? 1 : 0;
    open -= c == ')' ? 1 : 0;
    line += ' ';
  }
  return !quoted;
}

}  // namespace stackrig::dns
