// SPDX-License-Identifier: Apache-2.0
// HTTP/1.x requests: from bytes to a method, a target and what the answer depends on (RFC 9112).
//
// Stateless: the caller shows all bytes from the request's first one on, and says how far an
// earlier call had looked, so that a head that comes byte by byte costs little more than one that
// comes at once. The parsed request refers into those bytes. Nothing is allocated. However the
// bytes are split, the outcome is the same.
//
// Statuses are those of nginx 1.22 for the same bytes (nginx_statuses_test.cc), but for these:
//   431  header fields beyond the limit (RFC 6585); nginx answers 400, from 32 KiB on
//   400  HTTP/0.9, which nginx still speaks
// and but for white space before a field value, where a tab is as good as a blank (RFC 9110 5.6.3),
// and Connection, which is read as a list of words (RFC 9110 7.6.1), not searched for "close".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace stackrig::http {

enum class Method : std::uint8_t { get, head, post, other };

struct Request {
  Method method = Method::other;
  bool http_1_0 = false;
  bool keep_alive = true;     ///< by version, method and Connection field
  bool plain_target = false;  ///< the path holds no byte that decoding or normalising could change
  bool chunked = false;       ///< a body follows in chunks
  std::string_view path;      ///< as sent, without query and fragment; begins with '/'
  std::string_view query;
  std::uint64_t content_length = 0;  ///< bytes of body that follow
};

struct Limits {
  std::uint32_t request_line = 8192;            ///< bytes with its line end; longer: 414
  std::uint32_t head = 8192;                    ///< request line and all fields; longer: 431
  std::uint64_t body = std::uint64_t{1} << 20;  ///< longer: 413
};

struct Parsed {
  enum class Outcome : std::uint8_t {
    request,  ///< `request` is whole; it took `consumed` bytes (its body not counted)
    partial,  ///< more bytes are needed; call again with `scanned`
    error,    ///< answer `status` and close; of `request`, the method is known if it was read
  };
  Outcome outcome = Outcome::partial;
  std::uint16_t status = 0;
  std::uint32_t consumed = 0;
  std::uint32_t scanned = 0;  ///< bytes that need not be searched for a line's end again
  Request request;
};

/// `bytes` from the first byte of a request on; `scanned` is what the last call on the same bytes
/// said.
Parsed parse_request(std::string_view bytes, const Limits& limits, std::uint32_t scanned = 0);

}  // namespace stackrig::http
