// SPDX-License-Identifier: Apache-2.0
#include "nmio/uri.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <numeric>
#include <optional>

#include "nmio/port.h"

namespace stackrig::nmio {
namespace {

constexpr std::string_view kForm =
    "expected SCHEME:NAME?key=value&key=value, as in afxdp:veth0?queues=1";

[[noreturn]] void malformed(std::string_view text, const std::string& cause) {
  throw SetupError("port '" + std::string(text) + "': " + cause + "; " + std::string(kForm));
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Levenshtein distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substitute});
    }
  }
  return row.back();
}

}  // namespace

PortUri parse_uri(std::string_view text) {
  PortUri uri;
  uri.text = text;
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) malformed(text, "it has no scheme");
  uri.scheme = text.substr(0, colon);
  std::string_view rest = text.substr(colon + 1);
  const auto question = rest.find('?');
  uri.name = rest.substr(0, question);
  if (uri.name.empty()) malformed(text, "it has no name after '" + uri.scheme + ":'");
  if (question == std::string_view::npos) return uri;
  rest.remove_prefix(question + 1);
  while (!rest.empty()) {
    const auto ampersand = rest.find('&');
    const std::string_view pair = rest.substr(0, ampersand);
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == pair.size()) {
      malformed(text, "'" + std::string(pair) + "' is not key=value");
    }
    const std::string key(pair.substr(0, equals));
    const bool twice = std::any_of(uri.keys.begin(), uri.keys.end(),
                                   [&](const auto& k) { return k.first == key; });
    if (twice) malformed(text, "key '" + key + "' comes twice");
    uri.keys.emplace_back(key, pair.substr(equals + 1));
    rest = ampersand == std::string_view::npos ? std::string_view{} : rest.substr(ampersand + 1);
  }
  return uri;
}

std::string nearest_hint(std::string_view word, std::span<const std::string> candidates) {
  const std::string* nearest = nullptr;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  std::string all;
  for (const std::string& candidate : candidates) {
    all += (all.empty() ? "" : ", ") + candidate;
    const std::size_t d = distance(word, candidate);
    if (d < least) {
      least = d;
      nearest = &candidate;
    }
  }
  if (nearest != nullptr) return "did you mean '" + *nearest + "'?";
  return all.empty() ? "there is none" : "there is: " + all;
}

const std::string* UriKeys::find(const char* key) {
  known_.emplace_back(key);
  for (const auto& [name, value] : uri_.keys) {
    if (name == key) return &value;
  }
  return nullptr;
}

void UriKeys::refuse(const char* key, const std::string& value, const std::string& wanted) const {
  throw SetupError("port '" + uri_.text + "': " + key + "=" + value + " cannot be; " + wanted);
}

std::string UriKeys::text(const char* key, std::string_view otherwise) {
  const std::string* value = find(key);
  return value != nullptr ? *value : std::string(otherwise);
}

std::uint64_t UriKeys::number(const char* key, std::uint64_t otherwise, std::uint64_t least,
                              std::uint64_t most) {
  const std::string* value = find(key);
  if (value == nullptr) return otherwise;
  const auto n = parse_number(*value);
  if (!n || *n < least || *n > most) {
    refuse(key, *value,
           "give a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return *n;
}

std::uint64_t UriKeys::power_of_two(const char* key, std::uint64_t otherwise, std::uint64_t least,
                                    std::uint64_t most) {
  const std::uint64_t n = number(key, otherwise, least, most);
  if (!std::has_single_bit(n)) {
    refuse(key, std::to_string(n),
           "give a power of two, " + std::to_string(std::bit_ceil(n)) + " is the next");
  }
  return n;
}

std::uint64_t UriKeys::rate(const char* key, std::uint64_t otherwise) {
  const std::string* value = find(key);
  if (value == nullptr) return otherwise;
  std::string_view digits = *value;
  std::uint64_t unit = 1;
  switch (digits.back()) {
    case 'k':
      unit = 1'000;
      break;
    case 'M':
      unit = 1'000'000;
      break;
    case 'G':
      unit = 1'000'000'000;
      break;
    case 'T':
      unit = 1'000'000'000'000;
      break;
    default:
      break;
  }
  if (unit != 1) digits.remove_suffix(1);
  const auto n = parse_number(digits);
  if (!n || *n > 1'000'000'000'000'000 / unit) {
    refuse(key, *value, "give bits per second, as in 10G or 100M; 0 is no limit");
  }
  return *n * unit;
}

bool UriKeys::flag(const char* key, bool otherwise) {
  const std::string* value = find(key);
  if (value == nullptr) return otherwise;
  if (*value == "on" || *value == "1" || *value == "true" || *value == "yes") return true;
  if (*value == "off" || *value == "0" || *value == "false" || *value == "no") return false;
  refuse(key, *value, "give on or off");
}

unsigned UriKeys::choice(const char* key, unsigned otherwise,
                         std::span<const std::string> choices) {
  const std::string* value = find(key);
  if (value == nullptr) return otherwise;
  const auto at = std::find(choices.begin(), choices.end(), *value);
  if (at == choices.end()) refuse(key, *value, nearest_hint(*value, choices));
  return static_cast<unsigned>(at - choices.begin());
}

std::uint32_t UriKeys::ipv4(const char* key) {
  const std::string* value = find(key);
  if (value == nullptr) return 0;
  in_addr address{};
  if (inet_pton(AF_INET, value->c_str(), &address) != 1 || address.s_addr == 0) {
    refuse(key, *value, "give an IPv4 address, as in 10.77.0.2");
  }
  return ntohl(address.s_addr);
}

void UriKeys::finish() const {
  for (const auto& [key, value] : uri_.keys) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
      throw SetupError("port '" + uri_.text + "': " + uri_.scheme + " knows no key '" + key +
                       "'; " + nearest_hint(key, known_));
    }
  }
}

}  // namespace stackrig::nmio
