// SPDX-License-Identifier: Apache-2.0
// The document root, read once at start-up: which paths there are and what each is answered with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace stackrig::sandstorm {

struct Resource {
  enum class Kind : std::uint8_t { file, redirect, forbidden };
  Kind kind = Kind::file;
  std::string path;             ///< decoded and normalised, "/a b"; a directory's ends with '/'
  std::string content_type;     ///< file
  std::int64_t modified = 0;    ///< file: seconds since 1970
  std::vector<std::byte> body;  ///< file
};

struct Site {
  std::vector<Resource> resources;
  std::uint64_t body_bytes = 0;
};

/// Reads every regular file below `root`. "index.html" also answers for its directory; a directory
/// without one is forbidden; a directory's path without its slash is redirected. A symbolic link
/// counts where it leads to a file or a directory below the root, but not to a directory that it
/// lies in itself; what it is called says its type. Throws nmio::SetupError.
Site load_site(const std::filesystem::path& root);

/// By file name extension; application/octet-stream where it is not known.
std::string content_type_of(const std::filesystem::path& file);

}  // namespace stackrig::sandstorm
