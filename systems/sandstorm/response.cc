// SPDX-License-Identifier: Apache-2.0
// Response heads, error pages and the stamp in them.
#include "response.h"

#include <algorithm>
#include <cstring>

#include "http/date.h"

namespace stackrig::sandstorm {
namespace {

constexpr std::string_view kBetween = "\r\nConnection: ";
constexpr std::string_view kKeepAlive = "keep-alive";
constexpr std::string_view kClose = "     close";
static_assert(kKeepAlive.size() == kClose.size());
constexpr std::size_t kStampBytes = http::kDateBytes + kBetween.size() + kClose.size();

}  // namespace

std::string_view reason_phrase(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 301:
      return "Moved Permanently";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

std::string error_page(unsigned status) {
  const std::string title = std::to_string(status) + " " + std::string{reason_phrase(status)};
  return "<!doctype html>\n<title>" + title + "</title>\n<h1>" + title + "</h1>\n";
}

ResponseHead make_head(unsigned status, std::string_view content_type, std::uint64_t content_length,
                       std::string_view extra) {
  ResponseHead head;
  std::string& b = head.bytes;
  b = "HTTP/1.1 " + std::to_string(status) + " ";
  b += reason_phrase(status);
  b += "\r\nServer: sandstorm\r\nDate: ";
  head.stamp = {static_cast<std::uint32_t>(b.size()), kStampBytes};
  b.append(kStampBytes, '\0');
  b += "\r\nContent-Type: ";
  b += content_type;
  b += "\r\nContent-Length: " + std::to_string(content_length) + "\r\n";
  b += extra;
  b += "\r\n";
  return head;
}

void HeadStamper::render(std::uint64_t stamp, std::span<std::byte> range) {
  char* to = reinterpret_cast<char*>(range.data());
  http::write_date(stamp >> 1, std::span<char, http::kDateBytes>{to, http::kDateBytes});
  to = std::copy(kBetween.begin(), kBetween.end(), to + http::kDateBytes);
  const std::string_view connection = (stamp & 1) != 0 ? kClose : kKeepAlive;
  std::copy(connection.begin(), connection.end(), to);
}

}  // namespace stackrig::sandstorm
