// SPDX-License-Identifier: Apache-2.0
// Any bytes, in any two pieces: the parser stays within them, within its limits, and says the same
// however they are split; what it calls a path stays below the root.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/path.h"
#include "http/request.h"

namespace {

using stackrig::http::Limits;
using stackrig::http::normalise_path;
using stackrig::http::parse_request;
using stackrig::http::Parsed;
using Outcome = Parsed::Outcome;

void require(bool held) {
  if (!held) std::abort();
}

void check_path(const Parsed& p) {
  const auto path = normalise_path(p.request.path);
  if (p.request.plain_target) require(path && *path == p.request.path);
  if (!path) return;
  require(path->front() == '/' && path->find('\0') == std::string::npos);
  require(("/" + *path + "/").find("/../") == std::string::npos);
  require(path->find("//") == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Limits limits =
      data[0] % 2 == 0 ? Limits{} : Limits{.request_line = 64, .head = 128, .body = 9};
  // A copy of its own: the address sanitizer sees a read past its end.
  const std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Parsed whole = parse_request(bytes, limits);
  if (whole.outcome == Outcome::request) {
    require(whole.consumed <= bytes.size() && whole.consumed <= limits.head + limits.request_line);
    require(!whole.request.path.empty() && whole.request.path.front() == '/');
    require(whole.request.content_length <= limits.body);
    check_path(whole);
  }
  if (whole.outcome == Outcome::partial) {
    require(bytes.size() <= std::size_t{limits.head} + limits.request_line);
  }
  const std::string first = bytes.substr(0, size > 2 ? data[1] % (bytes.size() + 1) : 0);
  const Parsed piece = parse_request(first, limits);
  const Parsed then =
      piece.outcome == Outcome::partial ? parse_request(bytes, limits, piece.scanned) : piece;
  require(then.outcome == whole.outcome && then.status == whole.status);
  require(whole.outcome == Outcome::partial || then.request.method == whole.request.method);
  if (whole.outcome == Outcome::request) {
    require(then.consumed == whole.consumed && then.request.path == whole.request.path);
  }
  return 0;
}
