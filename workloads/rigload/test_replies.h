// SPDX-License-Identifier: Apache-2.0
// For tests: what a server answers to a path, truthfully or not. Two servers use it: one in a
// simulated network, one on kernel sockets.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace stackrig::rigload::fake {

struct Reply {
  enum class Then {
    as_asked,  ///< close where the request says "Connection: close"
    close,
    reset,
    nothing,  ///< leave the connection as it is, whatever was asked
  };
  std::string bytes;
  Then then = Then::as_asked;
};

/// The files of the server, and of whoever compares.
inline const std::map<std::string, std::string>& files() {
  static const std::map<std::string, std::string> all = [] {
    std::map<std::string, std::string> f;
    f["/small"] = "0123456789abcdef";
    f["/empty"] = "";
    std::string large;
    for (unsigned i = 0; large.size() < 200'000; ++i) large += std::to_string(i * 7919) + "\n";
    f["/large"] = large;
    return f;
  }();
  return all;
}

inline std::string ok(std::string_view body, std::size_t announced,
                      std::string_view status = "200 OK") {
  return "HTTP/1.1 " + std::string(status) +
         "\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: " + std::to_string(announced) +
         "\r\n\r\n" + std::string(body);
}

/// An honest server's answer, or that of a liar: /small?LIE.
inline Reply reply_to(const std::string& path) {
  using Then = Reply::Then;
  const std::size_t mark = path.find('?');
  const auto file = files().find(path.substr(0, mark));
  if (file == files().end()) return {ok("not here", 8, "404 Not Found")};
  const std::string& body = file->second;
  const std::string lie = mark == std::string::npos ? "" : path.substr(mark + 1);
  if (lie.empty()) return {ok(body, body.size())};
  if (lie == "wrong-byte") {
    std::string other = body;
    other.back() ^= 1;
    return {ok(other, other.size())};
  }
  if (lie == "shorter-file") return {ok(std::string_view(body).substr(1), body.size() - 1)};
  if (lie == "cut-short")
    return {ok(std::string_view(body).substr(0, body.size() - 1), body.size()), Then::close};
  if (lie == "too-much") return {ok(body + "x", body.size())};
  if (lie == "reset") return {"", Then::reset};
  if (lie == "reset-in-body")
    return {ok(std::string_view(body).substr(0, body.size() - 1), body.size()), Then::reset};
  if (lie == "close") return {"", Then::close};
  if (lie == "announces-close") {
    return {ok(body, body.size(), "200 OK\r\nConnection: close"), Then::close};
  }
  if (lie == "closes-unannounced") return {ok(body, body.size()), Then::close};
  if (lie == "silent") return {"", Then::nothing};
  if (lie == "never-closes") return {ok(body, body.size()), Then::nothing};
  if (lie == "nonsense") return {"+OK POP3 ready\r\n", Then::nothing};
  return {ok("", 0, "500 Internal Server Error")};
}

/// The path of the first whole request in `text`, which is taken out; false where none is whole.
inline bool take_request(std::string& text, std::string& path, bool& wants_close) {
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  const std::string request = text.substr(0, end + 4);
  text.erase(0, end + 4);
  path = request.substr(4, request.find(' ', 4) - 4);
  wants_close = request.find("\r\nConnection: close\r\n") != std::string::npos;
  return true;
}

}  // namespace stackrig::rigload::fake
