// SPDX-License-Identifier: Apache-2.0
// Reading the document root.
#include "site.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "nmio/port.h"

namespace stackrig::sandstorm {
namespace fs = std::filesystem;
namespace {

using nmio::SetupError;

struct TypeByExtension {
  std::string_view extension;
  std::string_view type;
};
constexpr auto kTypes = std::to_array<TypeByExtension>({
    {".html", "text/html"},
    {".htm", "text/html"},
    {".css", "text/css"},
    {".js", "application/javascript"},
    {".json", "application/json"},
    {".txt", "text/plain"},
    {".xml", "text/xml"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".jpeg", "image/jpeg"},
    {".gif", "image/gif"},
    {".webp", "image/webp"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".pdf", "application/pdf"},
    {".mp4", "video/mp4"},
    {".wasm", "application/wasm"},
});

std::vector<std::byte> read_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in) {
    throw SetupError("file " + file.string() + ": " + std::strerror(errno) +
                     "; make it readable or take it out of the document root");
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(in.tellg()));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!in)
    throw SetupError("file " + file.string() + ": it changed while it was read; start again");
  return bytes;
}

bool lies_below(const fs::path& file, const fs::path& root) {
  return std::mismatch(root.begin(), root.end(), file.begin(), file.end()).first == root.end();
}

/// What an entry of the document root is in truth: links followed. Nothing where it dangles or
/// leads out of the root.
std::optional<fs::path> resolve(const fs::path& entry, const fs::path& root) {
  std::error_code failed;
  fs::path target = fs::canonical(entry, failed);
  if (failed || !lies_below(target, root)) return std::nullopt;
  return target;
}

/// `name` is what the file is asked for by; it says what type it is, wherever a link leads.
Resource file_resource(const fs::path& file, const fs::path& name, std::string path) {
  struct stat st {};
  if (::stat(file.c_str(), &st) != 0) {
    throw SetupError("file " + file.string() + ": " + std::strerror(errno) + "; start again");
  }
  return {Resource::Kind::file, std::move(path), content_type_of(name), st.st_mtime,
          read_file(file)};
}

class Walk {
 public:
  Walk(Site& site, const fs::path& root) : site_(site), root_(root) {}

  /// `directory` is canonical, `path` what it is asked for by, with a slash at its end.
  void add_directory(const fs::path& directory, const std::string& path) {
    above_.push_back(directory);
    add_index(directory, path);
    std::error_code failed;
    for (fs::directory_iterator i(directory, failed); !failed && i != fs::directory_iterator();
         i.increment(failed)) {
      add_entry(i->path(), path + i->path().filename().string());
    }
    if (failed) {
      throw SetupError("folder " + directory.string() + ": " + failed.message() +
                       "; make it readable or take it out of the document root");
    }
    above_.pop_back();
  }

 private:
  /// Links between folders can make more paths than anyone means to serve.
  static constexpr std::size_t kMaxPaths = 1'000'000;

  void add(Resource r) {
    if (site_.resources.size() == kMaxPaths) {
      throw SetupError("document root " + root_.string() + ": more than " +
                       std::to_string(kMaxPaths) +
                       " paths; look for folders in it that link to each other");
    }
    site_.resources.push_back(std::move(r));
  }

  void add_index(const fs::path& directory, const std::string& path) {
    const fs::path name = directory / "index.html";
    const std::optional<fs::path> index = resolve(name, root_);
    std::error_code failed;
    if (index && fs::is_regular_file(*index, failed)) {
      add(file_resource(*index, name, path));
    } else {
      add({Resource::Kind::forbidden, path, {}, 0, {}});
    }
    if (path.size() > 1)
      add({Resource::Kind::redirect, path.substr(0, path.size() - 1), {}, 0, {}});
  }

  void add_entry(const fs::path& entry, const std::string& path) {
    const std::optional<fs::path> target = resolve(entry, root_);
    if (!target) return;
    std::error_code failed;
    const fs::file_status status = fs::status(*target, failed);
    if (fs::is_regular_file(status)) {
      add(file_resource(*target, entry, path));
    } else if (fs::is_directory(status) &&
               std::find(above_.begin(), above_.end(), *target) == above_.end()) {
      add_directory(*target, path + "/");
    }
  }

  Site& site_;
  const fs::path& root_;
  std::vector<fs::path> above_;  ///< the folders that we are in: a link to one of them is a loop
};

}  // namespace

std::string content_type_of(const fs::path& file) {
  std::string extension = file.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeByExtension& t) {
    return t.extension == extension;
  });
  return found == kTypes.end() ? "application/octet-stream" : std::string{found->type};
}

Site load_site(const fs::path& given) {
  std::error_code failed;
  const fs::path root = fs::canonical(given, failed);
  if (failed) {
    throw SetupError("document root " + given.string() + ": " + failed.message() +
                     "; name a folder that exists with --root");
  }
  if (!fs::is_directory(root)) {
    throw SetupError("document root " + given.string() + ": not a folder; name one with --root");
  }
  Site site;
  Walk(site, root).add_directory(root, "/");
  const bool has_file =
      std::any_of(site.resources.begin(), site.resources.end(),
                  [](const Resource& r) { return r.kind == Resource::Kind::file; });
  if (!has_file) {
    throw SetupError(
        "document root " + given.string() +
        ": no file in it; put there what is to be served, or name another with --root");
  }
  for (const Resource& r : site.resources) site.body_bytes += r.body.size();
  return site;
}

}  // namespace stackrig::sandstorm
