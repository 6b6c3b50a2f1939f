// SPDX-License-Identifier: Apache-2.0
// Cutting a site into frames.
#include "library.h"

#include <algorithm>
#include <cctype>
#include <span>
#include <stdexcept>
#include <string>

#include "http/date.h"
#include "nmio/port.h"

namespace stackrig::sandstorm {
namespace {

constexpr std::uint64_t kHeadEstimate = 400;  ///< bytes of a head, for sizing the packet memory

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span{text.data(), text.size()});
}

std::string last_modified(std::int64_t seconds) {
  std::array<char, http::kDateBytes> date{};
  http::write_date(static_cast<std::uint64_t>(std::max<std::int64_t>(seconds, 0)), date);
  return "Last-Modified: " + std::string{date.data(), date.size()} + "\r\n";
}

/// A directory's path as it is sent in Location: what a URI may not hold is escaped (RFC 3986 2.1).
std::string escaped(std::string_view path) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kPlain = "/-._~!$&'()*+,;=:@";
  std::string out;
  for (const char c : path) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) != 0 || kPlain.find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      out += {'%', kHex[u >> 4], kHex[u & 15]};
    }
  }
  return out;
}

}  // namespace

Library::Library(const Site& site, nmio::PacketMemory& memory,
                 const tcpip::PackagedContent::Config& config)
    : content_(memory, config, &stamper_), table_(site.resources.size()) {
  try {
    for (std::size_t i = 0; i < kErrors.size(); ++i) {
      const unsigned status = kErrors[i];
      errors_[i] = {add_page(status, status == 405 ? "Allow: GET, HEAD\r\n" : ""), kErrors[i]};
    }
    for (const Resource& r : site.resources) add(r);
  } catch (const std::length_error& e) {
    throw nmio::SetupError("document root: its " + std::to_string(site.body_bytes) +
                           " bytes do not fit the packet memory (" + e.what() + "): --chunks " +
                           std::to_string(chunks_for(site, config.segment_bytes) + 8192) +
                           " or more holds them");
  }
}

std::uint64_t Library::chunks_for(const Site& site, std::uint32_t segment_bytes) {
  std::uint64_t chunks = kErrors.size();
  for (const Resource& r : site.resources) {
    chunks += tcpip::PackagedContent::chunks_for(r.body.size() + kHeadEstimate, segment_bytes);
  }
  return chunks;
}

tcpip::ContentId Library::add_page(unsigned status, std::string_view extra) {
  const std::string page = error_page(status);
  const ResponseHead head = make_head(status, "text/html", page.size(), extra);
  return content_.add(bytes_of(head.bytes), bytes_of(page), head.stamp);
}

void Library::add(const Resource& r) {
  Answer answer{};
  switch (r.kind) {
    case Resource::Kind::file: {
      const ResponseHead head =
          make_head(200, r.content_type, r.body.size(), last_modified(r.modified));
      answer = {content_.add(bytes_of(head.bytes), r.body, head.stamp), 200};
      break;
    }
    case Resource::Kind::redirect:
      answer = {add_page(301, "Location: " + escaped(r.path) + "/\r\n"), 301};
      break;
    case Resource::Kind::forbidden:
      answer = error(403);
      break;
  }
  table_.insert(r.path, static_cast<std::uint32_t>(answers_.size()));
  answers_.push_back(answer);
}

Library::Answer Library::find(std::string_view path) const {
  const std::uint32_t i = table_.find(path);
  return i == UrlTable::kNone ? error(404) : answers_[i];
}

Library::Answer Library::error(unsigned status) const {
  const auto* found = std::find(kErrors.begin(), kErrors.end(), status);
  return errors_[static_cast<std::size_t>((found == kErrors.end() ? kErrors.begin() : found) -
                                          kErrors.begin())];
}

}  // namespace stackrig::sandstorm
