// SPDX-License-Identifier: Apache-2.0
// Percent-decoding and normalising of request paths.
#include "http/path.h"

namespace stackrig::http {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decode(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out.push_back(path[i]);
      continue;
    }
    if (i + 2 >= path.size()) return std::nullopt;
    const int high = hex_value(path[i + 1]);
    const int low = hex_value(path[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

}  // namespace

std::optional<std::string> normalise_path(std::string_view path) {
  const std::optional<std::string> decoded = decode(path);
  if (!decoded || decoded->empty() || decoded->front() != '/') return std::nullopt;
  std::string out = "/";
  std::string_view rest{*decoded};
  while (!rest.empty()) {
    rest.remove_prefix(1);  // the '/' before this segment
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view segment = rest.substr(0, end);
    rest.remove_prefix(end);
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      if (out.size() == 1) return std::nullopt;
      out.pop_back();
      out.erase(out.rfind('/') + 1);
      continue;
    }
    out.append(segment);
    if (!rest.empty()) out.push_back('/');
  }
  return out;
}

}  // namespace stackrig::http
