// SPDX-License-Identifier: Apache-2.0
// Parsing of response heads: a status line, then fields, then an empty line (RFC 9112 2.1, 4, 5).
#include "rigload/http_response.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace stackrig::rigload {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool equals_ignoring_case(std::string_view a, std::string_view lower_case) {
  return a.size() == lower_case.size() && std::equal(a.begin(), a.end(), lower_case.begin(),
                                                     [](char x, char y) { return lower(x) == y; });
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

/// A CR, LF or NUL inside a line: the sender's idea of where it ends differs from ours.
bool has_stray_control(std::string_view line) {
  return line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

/// "HTTP/1.1 200 OK": the reason may be empty, the space before it may not (RFC 9112 4); nginx and
/// others leave it out for codes that they do not know, so a bare "HTTP/1.1 200" is taken.
bool parse_status_line(std::string_view line, ResponseHead& head, bool& http_1_0) {
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || !is_digit(line[7]) || line[8] != ' ')
    return false;
  if (!is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11])) return false;
  if (line.size() > 12 && line[12] != ' ') return false;
  if (has_stray_control(line)) return false;
  head.status =
      static_cast<std::uint16_t>((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
  http_1_0 = line[7] == '0';
  return head.status >= 100;
}

/// Digits only: a sign, a space or a list is none (RFC 9110 8.6; the usual way to smuggle).
std::optional<std::uint64_t> parse_length(std::string_view value) {
  if (value.empty() || value.size() > 18) return std::nullopt;
  std::uint64_t n = 0;
  for (const char c : value) {
    if (!is_digit(c)) return std::nullopt;
    n = n * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return n;
}

struct Fields {
  std::optional<std::uint64_t> length;
  bool transfer_encoding = false, close = false, keep_alive = false;
};

void read_connection(std::string_view value, Fields& fields) {
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    const std::string_view option = trim(value.substr(0, comma));
    fields.close |= equals_ignoring_case(option, "close");
    fields.keep_alive |= equals_ignoring_case(option, "keep-alive");
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
}

/// One field line; false where it is none, or contradicts one before it.
bool read_field(std::string_view line, Fields& fields) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view name = line.substr(0, colon);
  // No white space before the colon, no folded line (RFC 9112 5.1, 5.2).
  if (name.find_first_of(std::string_view(" \t", 2)) != std::string_view::npos) return false;
  if (has_stray_control(line)) return false;
  const std::string_view value = trim(line.substr(colon + 1));
  if (equals_ignoring_case(name, "content-length")) {
    const auto length = parse_length(value);
    if (!length || (fields.length && *fields.length != *length)) return false;
    fields.length = length;
  } else if (equals_ignoring_case(name, "transfer-encoding")) {
    fields.transfer_encoding = true;
  } else if (equals_ignoring_case(name, "connection")) {
    read_connection(value, fields);
  }
  return true;
}

}  // namespace

HeadResult parse_head(std::span<const std::byte> bytes, ResponseHead& out) {
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()),
                             std::min(bytes.size(), kMaxHeadBytes));
  const std::size_t end = all.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    const bool hopeless =
        all.size() == kMaxHeadBytes || !std::string_view("HTTP/1.").starts_with(all.substr(0, 7));
    return hopeless ? HeadResult::malformed : HeadResult::incomplete;
  }
  ResponseHead head;
  head.head_bytes = static_cast<std::uint32_t>(end + 4);
  std::string_view rest = all.substr(0, end + 2);  // every line with its line end
  std::size_t line_end = rest.find("\r\n");
  bool http_1_0 = false;
  if (!parse_status_line(rest.substr(0, line_end), head, http_1_0)) return HeadResult::malformed;
  Fields fields;
  for (rest.remove_prefix(line_end + 2); !rest.empty(); rest.remove_prefix(line_end + 2)) {
    line_end = rest.find("\r\n");
    if (!read_field(rest.substr(0, line_end), fields)) return HeadResult::malformed;
  }
  head.has_length = fields.length.has_value() && !fields.transfer_encoding;
  head.content_length = fields.length.value_or(0);
  head.server_closes = fields.close || (http_1_0 && !fields.keep_alive);
  out = head;
  return HeadResult::complete;
}

HeadResult HeadReader::add(std::span<const std::byte> piece, ResponseHead& out,
                           std::size_t& taken) {
  const std::size_t before = held_.size();
  held_.append(reinterpret_cast<const char*>(piece.data()),
               std::min(piece.size(), kMaxHeadBytes + 1));
  const HeadResult result = parse_head(std::as_bytes(std::span(held_)), out);
  if (result == HeadResult::complete) taken = out.head_bytes - before;
  if (result != HeadResult::incomplete) held_.clear();
  return result;
}

}  // namespace stackrig::rigload
