// SPDX-License-Identifier: Apache-2.0
// The URLs that a run asks for, each with its request made beforehand and, where a content root is
// given, the file that the answer must be equal to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rigload/stream_transport.h"

namespace stackrig::rigload {

/// A path to ask for, and where it was given, for messages ("paths.txt:3", "--path").
struct UrlPath {
  std::string path;
  std::string given_at;
};

/// Reads a file of paths, one per line; empty lines are left out. Throws UsageError.
std::vector<UrlPath> read_paths_file(const std::string& file);
/// Throws UsageError where it is no origin-form request target (RFC 9112 3.2.1).
void check_path(const UrlPath& path);

/// The file that a path names below a root: percent-decoded, without its query, "index.html" for a
/// path that ends in '/'. Nothing where it would leave the root.
std::optional<std::string> file_of(std::string_view path);

/// A file's bytes, mapped.
class Content {
 public:
  /// Throws UsageError with `given_at` where it is no readable file.
  static Content map(const std::string& file, const std::string& given_at);
  Content(Content&& other) noexcept;
  Content& operator=(Content&&) = delete;
  ~Content();
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit Content(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

/// One URL as a thread uses it.
struct Url {
  Prepared request;
  std::span<const std::byte> content;  ///< valid with has_content
  bool has_content = false;
};

/// All URLs towards one server. Read only once made: threads share it.
class UrlSet {
 public:
  UrlSet(const std::vector<UrlPath>& paths, const std::vector<Content>& contents,
         const std::string& host, bool keepalive);
  UrlSet(const UrlSet&) = delete;
  UrlSet& operator=(const UrlSet&) = delete;

  [[nodiscard]] std::span<const Url> urls() const { return urls_; }

 private:
  std::string requests_;  ///< all requests, one behind the other
  std::vector<Url> urls_;
};

}  // namespace stackrig::rigload
