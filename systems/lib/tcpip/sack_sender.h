// SPDX-License-Identifier: Apache-2.0
// For tests: a sender in the middle of a transfer to a peer that reports by SACK; the test is the
// peer and counts in segments of 1000 bytes.
#pragma once

#include <utility>
#include <vector>

#include "tcpip/tcb.h"
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {

inline wire::TcpOptions sack_options(std::uint16_t mss = 1000) {
  wire::TcpOptions o;
  o.mss = mss;
  o.sack_permitted = true;
  return o;
}

inline Config sender_config() {
  Config c = script_config();
  c.congestion_control = CongestionControl::new_reno;
  return c;
}

/// Ten segments are in flight, the first of 400.
struct Sender {
  explicit Sender(const Config& c = sender_config(), bool timestamps = false,
                  unsigned segments = 400)
      : s(c), owner(pattern(segments * std::size_t{1000})) {
    s.listen();
    wire::TcpOptions o = sack_options();
    if (timestamps) {
      o.timestamps = wire::Timestamps{1, 0};
      o.mss = 1012;
    }
    s.establish(o, 65535, kRtt);
    s.stack.tcp_write(*s.app.tcb, owner, 1, owner.size(), s.now);
    s.tick();
  }
  /// Numbers of the segments that went out since.
  std::vector<std::uint32_t> sent() {
    std::vector<std::uint32_t> v;
    while (!s.sent.empty()) {
      const Out o = s.out();
      const std::uint32_t at = o.seq() - s.iss - 1;
      for (std::uint32_t i = 0; i < o.payload().size(); i += 1000) v.push_back((at + i) / 1000);
    }
    return v;
  }
  using Ranges = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  [[nodiscard]] In ack_of(std::uint32_t n, const Ranges& ranges = {}) const {
    In i = s.data("", 0, n * 1000);
    for (const auto& [from, to] : ranges) {
      i.options.sack[i.options.sack_blocks++] = {seq(from), seq(to)};
    }
    return i;
  }
  /// All segments below `n` arrived, and those of `ranges` (first, behind last).
  void ack(std::uint32_t n, const Ranges& ranges = {}) { s.in(ack_of(n, ranges)); }
  [[nodiscard]] Seq seq(std::uint32_t segment) const { return s.iss + 1 + segment * 1000; }
  Tcb& tcb() { return *s.app.tcb; }
  const Counters& counters() { return s.stack.counters(); }

  static constexpr Time kRtt = 20 * kMillisecond;
  using V = std::vector<std::uint32_t>;
  Script s;
  StringOwner owner;
};

}  // namespace stackrig::tcpip::testing
