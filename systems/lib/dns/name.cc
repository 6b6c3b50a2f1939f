// SPDX-License-Identifier: Apache-2.0
#include "dns/name.h"

#include <algorithm>

namespace stackrig::dns {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// One byte of a label's text, which may be an escape: \DDD, or \ and the byte. Nothing where it is
/// malformed.
std::optional<std::uint8_t> take_byte(std::string_view& text) {
  const char c = text.front();
  text.remove_prefix(1);
  if (c != '\\') return static_cast<std::uint8_t>(c);
  if (text.empty()) return std::nullopt;
  if (!is_digit(text.front())) {
    const char escaped = text.front();
    text.remove_prefix(1);
    return static_cast<std::uint8_t>(escaped);
  }
  if (text.size() < 3 || !is_digit(text[1]) || !is_digit(text[2])) return std::nullopt;
  const int value = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
  text.remove_prefix(3);
  if (value > 255) return std::nullopt;
  return static_cast<std::uint8_t>(value);
}

}  // namespace

int compare_labels(const std::uint8_t* a, const std::uint8_t* b) {
  const std::size_t common = std::min(*a, *b);
  for (std::size_t i = 1; i <= common; ++i) {
    if (const int d = lower(a[i]) - lower(b[i]); d != 0) return d;
  }
  return *a - *b;
}

Labels::Labels(const std::uint8_t* name) : name_(name) {
  const std::uint8_t* p = name;
  for (; *p != 0; p += 1 + *p) starts_[count_++] = static_cast<std::uint8_t>(p - name);
  root_ = static_cast<std::uint8_t>(p - name);
}

std::optional<Name> Name::from_text(std::string_view text) {
  std::array<std::uint8_t, kMaxName> wire{};
  std::size_t size = 0;
  if (text == ".") text = "";
  while (!text.empty()) {
    const std::size_t label = size++;
    while (!text.empty() && text.front() != '.') {
      const auto byte = take_byte(text);
      if (!byte || size >= kMaxName - 1) return std::nullopt;
      wire[size++] = *byte;
    }
    const std::size_t length = size - label - 1;
    if (length == 0 || length > kMaxLabel || size >= kMaxName) return std::nullopt;
    wire[label] = static_cast<std::uint8_t>(length);
    if (!text.empty()) text.remove_prefix(1);
  }
  wire[size++] = 0;
  return Name(std::span{wire.data(), size});
}

bool Name::join(std::span<const std::uint8_t> head, std::span<const std::uint8_t> tail) {
  if (head.size() + tail.size() > kMaxName) return false;
  std::array<std::uint8_t, kMaxName> joined;  // `head` or `tail` may be of this very name
  std::memcpy(joined.data(), head.data(), head.size());
  std::memcpy(joined.data() + head.size(), tail.data(), tail.size());
  assign({joined.data(), head.size() + tail.size()});
  return true;
}

void Name::to_lower() {
  for (std::size_t i = 0; i < size_; ++i) bytes_[i] = lower(bytes_[i]);
}

std::string name_to_text(const std::uint8_t* name) {
  if (*name == 0) return ".";
  std::string text;
  for (; *name != 0; name += 1 + *name) {
    for (std::size_t i = 1; i <= *name; ++i) {
      const auto c = static_cast<char>(name[i]);
      if (c == '.' || c == '\\') {
        text += {'\\', c};
      } else if (c > ' ' && c < '\x7f') {
        text += c;
      } else {
        const unsigned u = name[i];
        text += {'\\', static_cast<char>('0' + u / 100), static_cast<char>('0' + u / 10 % 10),
                 static_cast<char>('0' + u % 10)};
      }
    }
    text += '.';
  }
  return text;
}

}  // namespace stackrig::dns
