// SPDX-License-Identifier: Apache-2.0
// A connection as the script sees it: from relative numbers to frames, and back.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tcpip/script/script.h"
#include "wire/frame.h"

namespace stackrig::tcpip::script {

inline const wire::MacAddress kTestedMac{{2, 0, 0, 0, 0, 1}};
inline const wire::MacAddress kPeerMac{{2, 0, 0, 0, 0, 2}};

class Flow {
 public:
  explicit Flow(std::uint16_t port) : port_(port) {}

  [[nodiscard]] std::vector<std::byte> frame_of(const SegmentSpec& s) const;
  [[nodiscard]] std::vector<std::byte> frame_of(const IcmpSpec& s) const;
  /// What is wrong with a segment that was to be `s`; empty where nothing is. Learns from it.
  std::string compare(const SegmentSpec& s, std::span<const std::byte> frame);
  /// As `s` would be written, for messages.
  [[nodiscard]] std::string describe(std::span<const std::byte> frame) const;

  void fresh() {
    const std::uint32_t isn = peer_isn_;
    *this = Flow(port_);
    peer_isn_ = isn;
  }
  void set_isn(std::uint32_t isn) { peer_isn_ = isn; }
  void wrote(const std::string& bytes) { written_ += bytes; }
  /// The peer's bytes that the application reads next, unless the script names others.
  std::string take_expected(std::size_t count) {
    std::string s = stream_bytes(read_, count);
    read_ += count;
    return s;
  }

 private:
  [[nodiscard]] std::string payload_of(const SegmentSpec& s) const;
  std::string compare_options(const SegmentSpec& s, const wire::TcpOptions& o) const;
  std::string compare_payload(const SegmentSpec& s, const wire::TcpFrame& f) const;

  std::uint16_t port_;
  std::uint32_t peer_isn_ = 1'000'000;
  std::uint32_t tested_isn_ = 0;
  bool isn_known_ = false;
  std::optional<std::uint32_t> first_ts_, last_ts_;
  std::string written_;     ///< by the tested TCP's application
  std::uint64_t read_ = 0;  ///< by it
};

}  // namespace stackrig::tcpip::script
