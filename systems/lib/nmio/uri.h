// SPDX-License-Identifier: Apache-2.0
// Port URIs, `SCHEME:NAME?key=value&key=value`, and messages that name the nearest word that
// exists.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stackrig::nmio {

struct PortUri {
  std::string text;  ///< as given
  std::string scheme;
  std::string name;
  std::vector<std::pair<std::string, std::string>> keys;
};

/// Throws SetupError where the text has not the form of a port URI, or a key comes twice.
PortUri parse_uri(std::string_view text);

/// "did you mean 'x'?" for the candidate nearest to `word`, or the list of all where none is near.
std::string nearest_hint(std::string_view word, std::span<const std::string> candidates);

/// Reads a URI's keys by type; finish() refuses keys that nobody asked for. All throw SetupError.
class UriKeys {
 public:
  explicit UriKeys(const PortUri& uri) : uri_(uri) {}

  std::string text(const char* key, std::string_view otherwise);
  std::uint64_t number(const char* key, std::uint64_t otherwise, std::uint64_t least,
                       std::uint64_t most);
  std::uint64_t power_of_two(const char* key, std::uint64_t otherwise, std::uint64_t least,
                             std::uint64_t most);
  /// Bits per second: a number with k, M, G or T behind it; 0 is no limit.
  std::uint64_t rate(const char* key, std::uint64_t otherwise);
  bool flag(const char* key, bool otherwise);  ///< on|off, 1|0, true|false, yes|no
  /// Index of the value in `choices`.
  unsigned choice(const char* key, unsigned otherwise, std::span<const std::string> choices);
  /// An IPv4 address in host byte order; 0 where the key is absent.
  std::uint32_t ipv4(const char* key);

  void finish() const;

 private:
  const std::string* find(const char* key);
  [[noreturn]] void refuse(const char* key, const std::string& value,
                           const std::string& wanted) const;

  const PortUri& uri_;
  std::vector<std::string> known_;
};

}  // namespace stackrig::nmio
