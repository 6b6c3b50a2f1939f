// SPDX-License-Identifier: Apache-2.0
// Request targets: where the path ends, and whether it is one that can be looked up as it stands.
#include "http/target.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace stackrig::http {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_alnum(char c) {
  return is_letter(c) || (c >= '0' && c <= '9');
}

/// Bytes that a host may hold anywhere: letters, digits and dashes.
constexpr auto kHostByte = [] {
  std::array<bool, 256> t{};
  for (int c = 0; c < 256; ++c) {
    const int letter = c | 0x20;
    t[static_cast<std::size_t>(c)] =
        (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '-';
  }
  return t;
}();

/// Takes "scheme://host:port" off (RFC 9112 3.2.2), by nginx's grammar. False where it is
/// malformed.
bool take_authority(std::string_view& rest) {
  std::size_t i = 0;
  if (rest.empty() || !is_letter(rest[0])) return false;
  const auto scheme_byte = [](char c) { return is_alnum(c) || c == '+' || c == '-' || c == '.'; };
  while (i < rest.size() && scheme_byte(rest[i])) ++i;
  if (rest.substr(i, 3) != "://") return false;
  i += 3;
  const std::size_t host = i;
  if (i < rest.size() && rest[i] == '[') {  // an address literal (RFC 3986 3.2.2)
    const auto literal_byte = [](char c) {
      return is_alnum(c) || std::string_view{":-._~!$&'()*+,;="}.find(c) != std::string_view::npos;
    };
    ++i;
    while (i < rest.size() && literal_byte(rest[i])) ++i;
    if (i == rest.size() || rest[i++] != ']') return false;
  } else {
    while (i < rest.size() && (is_alnum(rest[i]) || rest[i] == '.' || rest[i] == '-')) ++i;
  }
  if (!good_host(rest.substr(host, i - host))) return false;
  if (i < rest.size() && rest[i] == ':') {
    ++i;
    while (i < rest.size() && rest[i] >= '0' && rest[i] <= '9') ++i;
  }
  rest.remove_prefix(i);
  return rest.empty() || rest[0] == '/' || rest[0] == '?';
}

/// "//" and "/.": what normalising could change. Looks at the byte behind each slash.
bool has_dot_or_empty_segment(std::string_view path) {
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    if (path[i] == '/' && (path[i + 1] == '/' || path[i + 1] == '.')) return true;
  }
  return false;
}

}  // namespace

bool good_host(std::string_view v) {
  std::size_t host = v.size();
  bool dot = false;
  bool literal = !v.empty() && v.front() == '[';
  for (std::size_t i = 0; i < v.size(); ++i) {
    const char c = v[i];
    if (kHostByte[static_cast<unsigned char>(c)]) {
      dot = false;
      continue;
    }
    if (SpaceOrControl::is(c) || c == '/' || (dot && c == '.')) return false;
    dot = c == '.';
    if (c == ']' && literal) {
      literal = false;
      host = std::min(host, i + 1);
    } else if (c == ':' && !literal) {
      host = std::min(host, i);
    }
  }
  if (host != 0 && v[host - 1] == '.') --host;
  return host != 0;
}

std::uint16_t parse_target(Window w, const char*& p, Request& r) {
  bool authority = false;
  if (*p != '/') {
    std::string_view rest{p, static_cast<std::size_t>(find_first<SpaceOrControl>(w, p) - p)};
    if (!take_authority(rest)) return 400;
    p = rest.data();
    authority = true;
  }
  const char* stop = find_first<PathStop>(w, p);
  bool escaped = false;
  while (*stop == '%') {
    escaped = true;
    stop = find_first<PathStop>(w, stop + 1);
  }
  r.path = {p, static_cast<std::size_t>(stop - p)};
  r.plain_target = !escaped && !has_dot_or_empty_segment(r.path);
  if (*stop == '?' || *stop == '#') {
    const char* end = find_first<SpaceOrControl>(w, stop);
    if (*stop == '?') {
      r.query = {stop + 1, static_cast<std::size_t>(end - stop - 1)};
      r.query = r.query.substr(0, r.query.find('#'));
    }
    stop = end;
  }
  p = stop;
  if (authority && r.path.empty()) r.path = "/";
  return 0;
}

}  // namespace stackrig::http
