// SPDX-License-Identifier: Apache-2.0
// Paths from a file or the command line, their requests and their files.
#include "rigload/http_urls.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "runtime/errors.h"
#include "wire/checksum.h"

namespace stackrig::rigload {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

bool climbs(std::string_view path) {
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (path.substr(0, slash) == "..") return true;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return false;
}

}  // namespace

std::vector<UrlPath> read_paths_file(const std::string& file) {
  std::ifstream in(file);
  if (!in)
    throw runtime::UsageError("--paths " + file + ": " + std::strerror(errno) +
                              "; give a file with one URL path per line");
  std::vector<UrlPath> paths;
  std::string line;
  for (unsigned number = 1; std::getline(in, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    paths.push_back({line, file + ":" + std::to_string(number)});
    check_path(paths.back());
  }
  if (in.bad())
    throw runtime::UsageError("--paths " + file +
                              ": cannot be read; give a file with one URL path per line");
  if (paths.empty())
    throw runtime::UsageError(
        file + ":1: no path in this file; give one URL path per line, such as /index.html");
  return paths;
}

void check_path(const UrlPath& path) {
  const auto refuse = [&](const std::string& cause, const char* remedy) {
    throw runtime::UsageError(path.given_at + ": path '" + path.path + "' " + cause + "; " +
                              remedy);
  };
  if (path.path.empty() || path.path[0] != '/')
    refuse("does not begin with '/'", "give the path only, such as /f64");
  for (const char c : path.path) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f' || c == '#') {
      refuse("has a space, '#' or control character", "write it percent-encoded (a space is %20)");
    }
  }
}

std::optional<std::string> file_of(std::string_view path) {
  auto decoded = percent_decode(path.substr(0, std::min(path.find('?'), path.size())));
  if (!decoded || decoded->find('\0') != std::string::npos || climbs(*decoded)) return std::nullopt;
  if (decoded->empty() || decoded->back() == '/') *decoded += "index.html";
  return decoded;
}

Content Content::map(const std::string& file, const std::string& given_at) {
  const auto refuse = [&](const std::string& cause) {
    throw runtime::UsageError(given_at + ": file " + file + ": " + cause +
                              "; --content-root must hold what the server serves");
  };
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) refuse(std::strerror(errno));
  struct stat st {};
  const bool regular = ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
  const auto size = static_cast<std::size_t>(st.st_size);
  void* at = nullptr;
  if (regular && size != 0) at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  const int error = errno;
  ::close(fd);
  if (!regular) refuse("is not a regular file");
  if (at == MAP_FAILED) refuse(std::strerror(error));
  return Content(std::span(static_cast<const std::byte*>(at), size));
}

Content::Content(Content&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {
}

Content::~Content() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

UrlSet::UrlSet(const std::vector<UrlPath>& paths, const std::vector<Content>& contents,
               const std::string& host, bool keepalive) {
  std::vector<std::size_t> ends;
  for (const UrlPath& path : paths) {
    requests_ += "GET " + path.path + " HTTP/1.1\r\nHost: " + host + "\r\n";
    requests_ += keepalive ? "\r\n" : "Connection: close\r\n\r\n";
    ends.push_back(requests_.size());
  }
  std::size_t begin = 0;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const auto bytes = std::as_bytes(std::span(requests_)).subspan(begin, ends[i] - begin);
    Url url{.request = {.data = bytes.data(),
                        .len = static_cast<std::uint32_t>(bytes.size()),
                        .sum = wire::fold(wire::sum(bytes))}};
    if (!contents.empty()) {
      url.content = contents[i].bytes();
      url.has_content = true;
    }
    urls_.push_back(url);
    begin = ends[i];
  }
}

}  // namespace stackrig::rigload
