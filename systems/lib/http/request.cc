// SPDX-License-Identifier: Apache-2.0
// The request parser: one pass over the request line and the fields, line by line. Each function
// that reads something answers 0, or the status that refuses it.
#include "http/request.h"

#include <algorithm>
#include <cstring>

#include "http/scan.h"
#include "http/target.h"

namespace stackrig::http {
namespace {

using Outcome = Parsed::Outcome;

/// Where the pass stands.
struct Cursor {
  Window w;
  const char* p;
  [[nodiscard]] bool at_end() const { return p == w.end; }
};

constexpr std::uint16_t kMoreBytes = 1;  ///< not a status: the line is not whole

struct LineFeed {
  static bool is(char c) { return c == '\n'; }
#if defined(__AVX2__)
  static Vector in(Vector v) {
    return equal(v, '\n');
  }
#endif
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_method_byte(char c) {
  return (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && is_blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_blank(s.back())) s.remove_suffix(1);
  return s;
}

// --- the request line ----------------------------------------------------------------------------

/// "GET " and what else is a method: letters, '_' and '-', as nginx has it. Moves `p` to the blank.
std::uint16_t parse_method(const char*& p, const char* end, Request& r) {
  constexpr std::string_view kGet = "GET ";
  if (end - p > 4 && std::memcmp(p, kGet.data(), 4) == 0) {
    r.method = Method::get;
    p += 3;
    return 0;
  }
  const char* begin = p;
  while (p != end && is_method_byte(*p)) ++p;
  if (p == begin || p == end || *p != ' ') return 400;
  const std::string_view method{begin, static_cast<std::size_t>(p - begin)};
  r.method = method == "HEAD"   ? Method::head
             : method == "POST" ? Method::post
             : method == "GET"  ? Method::get
                                : Method::other;
  if (method == "TRACE" || method == "CONNECT") r.keep_alive = false;
  return 0;
}

/// "HTTP/1.1". A later minor version is spoken to as 1.1 (RFC 9110 2.5).
std::uint16_t parse_version(std::string_view v, Request& r) {
  std::uint64_t word, http_1_1;
  std::memcpy(&http_1_1, "HTTP/1.1", sizeof word);
  if (v.size() == sizeof word) {
    std::memcpy(&word, v.data(), sizeof word);
    if (word == http_1_1) return 0;
  }
  if (!v.starts_with("HTTP/") || v.size() < 6 || v[5] < '1' || v[5] > '9') return 400;
  if (v[5] > '1' || (v.size() > 6 && is_digit(v[6]))) return 505;
  if (v.size() < 8 || v[6] != '.') return 400;
  unsigned minor = 0;
  for (const char c : v.substr(7)) {
    if (!is_digit(c) || minor > 99) return 400;
    minor = minor * 10 + static_cast<unsigned>(c - '0');
  }
  r.http_1_0 = minor == 0;
  if (r.http_1_0) r.keep_alive = false;
  return 0;
}

/// The line [c.p, end), without its line end.
std::uint16_t parse_request_line(const Cursor& c, const char* end, Request& r) {
  const char* p = c.p;
  if (const std::uint16_t status = parse_method(p, end, r)) return status;
  while (p != end && *p == ' ') ++p;
  if (p == end) return 400;
  if (const std::uint16_t status = parse_target(c.w, p, r)) return status;
  if (p >= end || *p != ' ') return 400;  // a control, or HTTP/0.9, which is not spoken
  while (p != end && *p == ' ') ++p;
  while (p != end && end[-1] == ' ') --end;
  return parse_version({p, static_cast<std::size_t>(end - p)}, r);
}

/// Takes the request line and its end off the cursor.
std::uint16_t take_request_line(Cursor& c, const Limits& limits, Request& r) {
  if (c.at_end()) return kMoreBytes;
  if (!is_method_byte(*c.p)) return 400;  // not HTTP at all: the rest need not be waited for
  const char* lf = find_first<LineFeed>(c.w, c.p);
  if (static_cast<std::size_t>(lf - c.p) >= limits.request_line) return 414;
  if (lf == c.w.end) return kMoreBytes;
  const char* end = lf[-1] == '\r' ? lf - 1 : lf;
  const std::uint16_t status = parse_request_line(c, end, r);
  c.p = lf + 1;
  return status;
}

// --- fields --------------------------------------------------------------------------------------

/// What the fields said; judged when all have been seen, as nginx does.
struct Fields {
  bool host = false;
  bool content_length = false;
  bool transfer_encoding = false;
  bool close = false;
  bool keep_alive = false;
  std::string_view length;
  std::string_view encoding;
};

void read_connection(std::string_view list, Fields& f) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view word = trimmed(list.substr(0, comma));
    f.close |= is_word(word, "close");
    f.keep_alive |= is_word(word, "keep-alive");
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

/// One field. Most decide nothing; those that do are told apart by their length first.
std::uint16_t read_field(std::string_view name, std::string_view value, Fields& f) {
  switch (name.size()) {
    case 4:
      if (!is_word(name, "host")) return 0;
      if (f.host || !good_host(trimmed(value))) return 400;
      f.host = true;
      return 0;
    case 10:
      if (is_word(name, "connection")) read_connection(value, f);
      return 0;
    case 14:
      if (!is_word(name, "content-length")) return 0;
      if (f.content_length) return 400;
      f.content_length = true;
      f.length = trimmed(value);
      return 0;
    case 17:
      if (!is_word(name, "transfer-encoding")) return 0;
      if (f.transfer_encoding) return 400;
      f.transfer_encoding = true;
      f.encoding = trimmed(value);
      return 0;
    default:
      return 0;
  }
}

/// The end of the line whose CR, LF or NUL is at `p`: LF, or CRs and an LF, as nginx has it.
std::uint16_t take_line_end(Cursor& c, const char* p) {
  while (p != c.w.end && *p == '\r') ++p;
  if (p == c.w.end) return kMoreBytes;
  if (*p != '\n') return 400;
  c.p = p + 1;
  return 0;
}

/// Takes one field line off the cursor. A name without a colon has an empty value, as in nginx.
std::uint16_t take_field(Cursor& c, Fields& f) {
  const char* name_end = find_first<NameStop>(c.w, c.p);
  if (name_end == c.w.end) return kMoreBytes;
  const std::string_view name{c.p, static_cast<std::size_t>(name_end - c.p)};
  if (name.empty() || (*name_end != ':' && *name_end != '\r' && *name_end != '\n')) return 400;
  const char* value = *name_end == ':' ? name_end + 1 : name_end;
  const char* value_end = find_first<ValueStop>(c.w, value);
  if (value_end == c.w.end) return kMoreBytes;
  if (const std::uint16_t status = take_line_end(c, value_end)) return status;
  return read_field(name, {value, static_cast<std::size_t>(value_end - value)}, f);
}

/// The empty line that ends the fields, if it is one: LF, or CR and LF.
bool take_empty_line(Cursor& c) {
  if (*c.p == '\n') {
    ++c.p;
    return true;
  }
  if (*c.p == '\r' && c.w.end - c.p > 1 && c.p[1] == '\n') {
    c.p += 2;
    return true;
  }
  return false;  // a CR alone is refused as a field is, when its line is whole
}

/// Takes fields off the cursor up to and with the empty line that ends them.
std::uint16_t take_fields(Cursor& c, const char* head, const Limits& limits, Fields& f) {
  const auto over = [&](const char* p) { return static_cast<std::size_t>(p - head) > limits.head; };
  while (!c.at_end()) {
    if (take_empty_line(c)) return over(c.p) ? 431 : 0;
    const char* line = c.p;
    if (const std::uint16_t status = take_field(c, f)) {
      // A line is judged when it is whole, or the outcome would depend on how the bytes are split.
      const char* lf = find_first<LineFeed>(c.w, line);
      if (lf == c.w.end) break;
      return over(lf + 1) ? 431 : status;
    }
    if (over(c.p)) return 431;
  }
  return over(c.w.end) ? 431 : kMoreBytes;
}

// --- what they mean together ---------------------------------------------------------------------

std::uint16_t read_length(std::string_view v, std::uint64_t& out) {
  if (v.empty() || v.size() > 19 || !std::all_of(v.begin(), v.end(), is_digit)) return 400;
  out = 0;
  for (const char c : v) out = out * 10 + static_cast<std::uint64_t>(c - '0');
  return out >> 63 != 0 ? 400 : 0;
}

/// In nginx's order, so that a request with several faults gets the status that nginx gives it.
std::uint16_t judge(const Fields& f, const Limits& limits, Request& r) {
  if (!f.host && !r.http_1_0) return 400;
  if (f.content_length) {
    if (const std::uint16_t status = read_length(f.length, r.content_length)) return status;
  }
  if (f.transfer_encoding) {
    if (r.http_1_0) return 400;
    if (!is_word(f.encoding, "chunked")) return 501;
    if (f.content_length) return 400;
    r.chunked = true;
  }
  if (r.content_length > limits.body) return 413;
  if (f.close) {
    r.keep_alive = false;
  } else if (r.http_1_0 && f.keep_alive) {
    r.keep_alive = true;
  }
  return 0;
}

std::uint16_t parse(Cursor& c, const Limits& limits, Request& r) {
  const char* head = c.p;
  if (const std::uint16_t status = take_request_line(c, limits, r)) return status;
  Fields fields;
  if (const std::uint16_t status = take_fields(c, head, limits, fields)) return status;
  return judge(fields, limits, r);
}

/// No line has ended since the last call: only the limits can have been passed.
bool nothing_new(std::string_view bytes, const Limits& limits, std::uint32_t scanned) {
  return scanned != 0 && bytes.size() < std::min(limits.request_line, limits.head) &&
         std::memchr(bytes.data() + scanned, '\n', bytes.size() - scanned) == nullptr;
}

}  // namespace

Parsed parse_request(std::string_view bytes, const Limits& limits, std::uint32_t scanned) {
  Parsed parsed;
  parsed.scanned = static_cast<std::uint32_t>(bytes.size());
  if (nothing_new(bytes, limits, scanned)) return parsed;
  Cursor c{{bytes.data(), bytes.data() + bytes.size()}, bytes.data()};
  while (!c.at_end() && (*c.p == '\r' || *c.p == '\n')) ++c.p;  // RFC 9112 2.2
  if (static_cast<std::size_t>(c.p - c.w.begin) > limits.request_line) {
    parsed.outcome = Outcome::error;
    parsed.status = 400;
    return parsed;
  }
  if (c.at_end())
    parsed.scanned = 0;  // the first byte of the request line is looked at when it comes
  const std::uint16_t status = parse(c, limits, parsed.request);
  if (status == kMoreBytes) return parsed;
  parsed.outcome = status == 0 ? Outcome::request : Outcome::error;
  parsed.status = status;
  parsed.consumed = static_cast<std::uint32_t>(c.p - c.w.begin);
  return parsed;
}

}  // namespace stackrig::http
