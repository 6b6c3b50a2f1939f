// SPDX-License-Identifier: Apache-2.0
// A script: segments, calls and times that a TCP must answer as the RFCs say (docs/tcp-scripts.md).
//
// The script is the peer (10.0.0.2:4000) of one TCP under test (10.0.0.1:80): ours in virtual time,
// or the kernel's behind a TAP device. What is here are plain values, as read from the text.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "nmio/packet.h"
#include "wire/address.h"

namespace stackrig::tcpip::script {

using nmio::Time;

inline constexpr wire::Ipv4Address kTestedIp{0x0a000001};
inline constexpr wire::Ipv4Address kPeerIp{0x0a000002};
inline constexpr std::uint16_t kTestedPort = 80;
inline constexpr std::uint16_t kPeerPort = 4000;

/// "FILE:LINE: cause".
class ScriptError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Which of the two a line is for. `ours` and `linux` stand under a line that says why they differ.
enum class Side : std::uint8_t { both, ours, linux };

/// One TCP option of a segment: to be sent as it stands, or looked for in what came.
struct OptionSpec {
  enum class Kind : std::uint8_t { mss, wscale, sack_ok, ts, sack, nop, eol, raw };
  /// A number, or a word in its place.
  struct Number {
    enum class Word : std::uint8_t {
      none,  ///< `value` counts
      any,   ///< expected: whatever it is
      last,  ///< sent: the newest TSval that the tested TCP sent
      first  ///< sent: its first one
    };
    std::uint32_t value = 0;
    Word word = Word::none;
  };
  Kind kind = Kind::nop;
  bool absent = false;               ///< expected: must not be there
  std::uint32_t value = 0;           ///< mss, wscale
  Number ts_value, ts_echo;          ///< ts
  std::int64_t left = 0, right = 0;  ///< sack, relative
  std::vector<std::uint8_t> bytes;   ///< raw
};

/// A TCP segment. Sequence numbers are relative to the initial one of the side that they are of.
struct SegmentSpec {
  std::uint8_t flags = 0;
  bool push_counts = false;  ///< expected: P was written, so it must be there
  std::int64_t seq = 0;
  bool any_seq = false;  ///< expected: * in its place
  std::uint32_t len = 0;
  std::optional<std::string> text;  ///< payload; else the stream's bytes at `seq`
  std::optional<std::int64_t> ack;
  std::optional<std::uint32_t> window;      ///< as it stands in the header
  std::optional<std::uint32_t> window_max;  ///< expected: `window` to this
  std::optional<std::vector<OptionSpec>> options;
  std::optional<std::uint16_t> urgent;
  std::optional<std::uint8_t> ecn;  ///< IP: 0 not-ECT, 1 ECT(1), 2 ECT(0), 3 CE
  bool bad_checksum = false;
};

/// An ICMP "destination unreachable" about the tested TCP's segment at `about`.
struct IcmpSpec {
  std::uint8_t code = 0;
  std::uint16_t mtu = 0;
  std::int64_t about = 0;
};

struct Inject {
  std::variant<SegmentSpec, IcmpSpec> what;
};
struct Expect {
  SegmentSpec segment;
  bool optional = false;  ///< may come, need not
};

struct Call {
  enum class What : std::uint8_t {
    listen,
    unlisten,
    connect,
    accept,
    write,
    read,      ///< so many bytes more have come, the right ones
    read_eof,  ///< the peer's FIN is seen
    reader,    ///< lazy: takes bytes only on `read`
    shutdown,  ///< FIN after all that was written; receiving goes on
    close,
    abort,
    state,
    ended,
    silence,  ///< nothing comes for so long
    wait,     ///< time passes; what comes meanwhile is looked at later
    fresh,    ///< forgets the flow's sequence numbers: another connection on the same ports
    isn       ///< the peer's initial sequence number
  };
  What what;
  std::uint64_t number = 0;  ///< bytes, or a number
  std::string text;          ///< bytes, a state, a manner of ending
  bool has_text = false;
};

struct Step {
  int line = 0;
  std::string source;  ///< the line as it stands in the file
  Side side = Side::both;
  std::uint16_t flow = kPeerPort;  ///< the peer's port
  bool timed = false;              ///< `least` and `most` were given
  Time least = 0, most = 0;        ///< after the step before
  std::variant<Inject, Expect, Call> action;
};

/// What both kinds of TCP are set to before the script begins.
struct Settings {
  bool timestamps = true, scaling = true, sack = true, nagle = false, ecn = false;
  bool delayed_ack = false;
  std::uint32_t window = 65535;
  std::uint32_t mtu = 1500;
  std::string congestion = "reno";
  unsigned retries = 12, syn_retries = 5;
  unsigned backlog = 16;
  unsigned initial_window = 10;
  Time time_wait = 60 * nmio::kSecond;
  Time fin_timeout = 60 * nmio::kSecond;
  Time keepalive_idle = 0, keepalive_interval = 0;  ///< 0: off
  unsigned keepalive_count = 0;
  Time user_timeout = 0;  ///< 0: none
  bool mtu_probing = false;
};

struct Script {
  std::string file;
  std::string title;
  std::string rfc;
  std::string only_ours;  ///< why it is not for Linux; empty: it is
  Settings settings;
  std::vector<Step> steps;
};

/// Throws ScriptError.
Script parse(const std::string& file, const std::string& text);
Script read_script(const std::string& file);

/// The byte at `offset` of every stream whose bytes the script does not name.
char stream_byte(std::uint64_t offset);
std::string stream_bytes(std::uint64_t offset, std::size_t count);

}  // namespace stackrig::tcpip::script
