// SPDX-License-Identifier: Apache-2.0
#include "tcpip/script/flow.h"

#include <cstring>

#include "wire/checksum.h"

namespace stackrig::tcpip::script {
namespace {

using Word = OptionSpec::Number::Word;

void put32(std::vector<std::byte>& out, std::uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::byte>(v >> shift));
}
void put(std::vector<std::byte>& out, std::initializer_list<unsigned> bytes) {
  for (const unsigned b : bytes) out.push_back(static_cast<std::byte>(b));
}

std::string wrong(const std::string& what, std::uint64_t is, std::uint64_t not_this) {
  return what + " is " + std::to_string(is) + ", not " + std::to_string(not_this);
}

std::string flag_letters(std::uint8_t flags) {
  constexpr char kLetters[] = "FSRP.UEW";
  std::string text;
  for (unsigned i = 0; i < 8; ++i) {
    if ((flags >> i & 1) != 0) text += kLetters[i];
  }
  return text.empty() ? "none" : text;
}

}  // namespace

std::string Flow::payload_of(const SegmentSpec& s) const {
  if (s.text) return *s.text;
  // SYN is number 0; data begins at 1. A SYN with data has them behind itself.
  const std::int64_t first = (s.flags & wire::kTcpSyn) != 0 ? s.seq : s.seq - 1;
  return stream_bytes(static_cast<std::uint64_t>(first), s.len);
}

// Options are written byte by byte: the script may want what no correct TCP writes.
std::vector<std::byte> Flow::frame_of(const SegmentSpec& s) const {
  std::vector<std::byte> options;
  for (const OptionSpec& o : s.options.value_or(std::vector<OptionSpec>{})) {
    switch (o.kind) {
      case OptionSpec::Kind::mss:
        put(options, {2, 4, o.value >> 8 & 255, o.value & 255});
        break;
      case OptionSpec::Kind::wscale:
        put(options, {3, 3, o.value});
        break;
      case OptionSpec::Kind::sack_ok:
        put(options, {4, 2});
        break;
      case OptionSpec::Kind::ts: {
        const auto number = [&](const OptionSpec::Number& n) {
          if (n.word == Word::last) return last_ts_.value_or(0);
          if (n.word == Word::first) return first_ts_.value_or(0);
          return n.value;
        };
        put(options, {8, 10});
        put32(options, number(o.ts_value));
        put32(options, number(o.ts_echo));
        break;
      }
      case OptionSpec::Kind::sack:
        break;  // all blocks share one option, below
      case OptionSpec::Kind::nop:
        put(options, {1});
        break;
      case OptionSpec::Kind::eol:
        put(options, {0});
        break;
      case OptionSpec::Kind::raw:
        for (const std::uint8_t b : o.bytes) put(options, {b});
        break;
    }
  }
  std::vector<std::byte> blocks;
  for (const OptionSpec& o : s.options.value_or(std::vector<OptionSpec>{})) {
    if (o.kind != OptionSpec::Kind::sack) continue;
    put32(blocks, tested_isn_ + static_cast<std::uint32_t>(o.left));
    put32(blocks, tested_isn_ + static_cast<std::uint32_t>(o.right));
  }
  if (!blocks.empty()) {
    put(options, {1, 1, 5, static_cast<unsigned>(2 + blocks.size())});
    options.insert(options.end(), blocks.begin(), blocks.end());
  }
  while (options.size() % 4 != 0) options.push_back(std::byte{0});
  options.resize(std::min<std::size_t>(options.size(), wire::kTcpOptionsMax));

  wire::TcpFrame f;
  f.ethernet = {kTestedMac, kPeerMac, wire::kEtherTypeIpv4};
  f.ip.source = kPeerIp;
  f.ip.destination = kTestedIp;
  f.tcp.source_port = port_;
  f.tcp.destination_port = kTestedPort;
  f.tcp.sequence = peer_isn_ + static_cast<std::uint32_t>(s.seq);
  if (s.ack) f.tcp.acknowledgement = tested_isn_ + static_cast<std::uint32_t>(*s.ack);
  f.tcp.flags = s.flags;
  f.tcp.window = static_cast<std::uint16_t>(s.window.value_or(65535));
  f.tcp.urgent = s.urgent.value_or(0);
  f.payload = wire::bytes_of(payload_of(s));
  // The options go in front of the payload, and the header's length and checksum after them.
  f.payload.insert(f.payload.begin(), options.begin(), options.end());
  std::vector<std::byte> frame = f.emit();
  constexpr std::size_t kIp = 14;
  constexpr std::size_t kTcp = 34;
  frame[kTcp + 12] = static_cast<std::byte>((20 + options.size()) / 4 << 4);
  if (s.ecn) {
    frame[kIp + 1] = static_cast<std::byte>(*s.ecn);
    std::memset(&frame[kIp + 10], 0, 2);
    const std::uint16_t sum = wire::finish(wire::sum(&frame[kIp], 20));
    std::memcpy(&frame[kIp + 10], &sum, 2);
  }
  std::memset(&frame[kTcp + 16], 0, 2);
  const std::size_t bytes = frame.size() - kTcp;
  const std::uint16_t length = __builtin_bswap16(static_cast<std::uint16_t>(bytes));
  const std::uint16_t protocol = __builtin_bswap16(wire::kProtocolTcp);
  std::uint16_t sum = wire::finish(wire::sum(&frame[kTcp], bytes) + wire::sum(&frame[kIp + 12], 8) +
                                   length + protocol);
  if (s.bad_checksum) sum = static_cast<std::uint16_t>(sum ^ 0x0100);
  std::memcpy(&frame[kTcp + 16], &sum, 2);
  return frame;
}

std::vector<std::byte> Flow::frame_of(const IcmpSpec& s) const {
  wire::TcpFrame quoted;
  quoted.ip.source = kTestedIp;
  quoted.ip.destination = kPeerIp;
  quoted.tcp.source_port = kTestedPort;
  quoted.tcp.destination_port = port_;
  quoted.tcp.sequence = tested_isn_ + static_cast<std::uint32_t>(s.about);
  quoted.tcp.flags = wire::kTcpAck;
  const std::vector<std::byte> frame = quoted.emit();
  wire::IcmpFrame f;
  f.ethernet = {kTestedMac, kPeerMac, wire::kEtherTypeIpv4};
  f.ip.source = kPeerIp;
  f.ip.destination = kTestedIp;
  f.icmp = {.type = wire::kIcmpUnreachable, .code = s.code, .sequence = s.mtu};
  f.payload.assign(frame.begin() + 14, frame.begin() + 14 + 28);  // IP header and 8 bytes: RFC 792
  return f.emit();
}

std::string Flow::compare_options(const SegmentSpec& s, const wire::TcpOptions& o) const {
  if (!s.options) return {};
  unsigned block = 0;
  for (const OptionSpec& e : *s.options) {
    switch (e.kind) {
      case OptionSpec::Kind::mss:
        if (o.mss.has_value() == e.absent) return e.absent ? "there is an MSS" : "there is no MSS";
        if (!e.absent && e.ts_value.word != Word::any && *o.mss != e.value) {
          return wrong("mss", *o.mss, e.value);
        }
        break;
      case OptionSpec::Kind::wscale:
        if (o.window_scale.has_value() == e.absent) {
          return e.absent ? "there is a window scale" : "there is no window scale";
        }
        if (!e.absent && e.ts_value.word != Word::any && *o.window_scale != e.value) {
          return wrong("wscale", *o.window_scale, e.value);
        }
        break;
      case OptionSpec::Kind::sack_ok:
        if (o.sack_permitted == e.absent)
          return e.absent ? "there is sackOK" : "there is no sackOK";
        break;
      case OptionSpec::Kind::ts:
        if (o.timestamps.has_value() == e.absent) {
          return e.absent ? "there is a timestamp" : "there is no timestamp";
        }
        if (e.absent) break;
        if (e.ts_value.word == Word::none && o.timestamps->value != e.ts_value.value) {
          return wrong("TSval", o.timestamps->value, e.ts_value.value);
        }
        if (e.ts_echo.word == Word::none && o.timestamps->echo != e.ts_echo.value) {
          return wrong("TSecr", o.timestamps->echo, e.ts_echo.value);
        }
        break;
      case OptionSpec::Kind::sack: {
        if (e.absent) {
          if (o.sack_blocks != 0) return "there is a SACK block";
          break;
        }
        if (block >= o.sack_blocks) {
          return "there are " + std::to_string(o.sack_blocks) + " SACK blocks";
        }
        const auto& b = o.sack[block++];
        const auto left = static_cast<std::int32_t>(b.left - peer_isn_);
        const auto right = static_cast<std::int32_t>(b.right - peer_isn_);
        if (left != static_cast<std::int32_t>(e.left) ||
            right != static_cast<std::int32_t>(e.right)) {
          return "SACK block " + std::to_string(block) + " is " + std::to_string(left) + ":" +
                 std::to_string(right);
        }
        break;
      }
      default:
        break;
    }
  }
  if (block != 0 && block != o.sack_blocks) {
    return "there are " + std::to_string(o.sack_blocks) + " SACK blocks";
  }
  return {};
}

std::string Flow::compare_payload(const SegmentSpec& s, const wire::TcpFrame& f) const {
  if (f.payload.size() != s.len) return wrong("length", f.payload.size(), s.len);
  if (s.len == 0) return {};
  const std::string_view is(reinterpret_cast<const char*>(f.payload.data()), f.payload.size());
  if (s.text) return is == *s.text ? std::string() : "the bytes are others";
  const auto at = static_cast<std::size_t>(s.seq - 1);
  if (s.seq < 1 || at + s.len > written_.size()) return "it carries bytes that nobody wrote";
  return is == std::string_view(written_).substr(at, s.len) ? std::string()
                                                            : "the bytes are others";
}

std::string Flow::compare(const SegmentSpec& s, std::span<const std::byte> frame) {
  const auto f = wire::TcpFrame::parse(frame);
  if (!f) return "it is no good TCP segment";
  if (f->ip.source != kTestedIp || f->ip.destination != kPeerIp ||
      f->tcp.source_port != kTestedPort || f->tcp.destination_port != port_) {
    return "it is of another connection";
  }
  const std::uint8_t meaningful = s.push_counts ? 0xff : static_cast<std::uint8_t>(~wire::kTcpPsh);
  if ((f->tcp.flags & meaningful) != (s.flags & meaningful)) return "the flags are others";
  if ((f->tcp.flags & wire::kTcpSyn) != 0 && s.seq == 0 && !isn_known_) {
    tested_isn_ = f->tcp.sequence;
    isn_known_ = true;
  }
  if (f->tcp.options.timestamps) {
    last_ts_ = f->tcp.options.timestamps->value;
    if (!first_ts_) first_ts_ = last_ts_;
  }
  const std::uint32_t seq = f->tcp.sequence - tested_isn_;
  if (!s.any_seq && seq != static_cast<std::uint32_t>(s.seq))
    return "seq is " + std::to_string(seq);
  if (s.ack && (f->tcp.flags & wire::kTcpAck) != 0) {
    const std::uint32_t ack = f->tcp.acknowledgement - peer_isn_;
    if (ack != static_cast<std::uint32_t>(*s.ack)) return "ack is " + std::to_string(ack);
  }
  if (s.window && (f->tcp.window < *s.window || f->tcp.window > *s.window_max)) {
    return "win is " + std::to_string(f->tcp.window);
  }
  if (s.urgent && f->tcp.urgent != *s.urgent) return wrong("urg", f->tcp.urgent, *s.urgent);
  if (s.ecn) {
    const auto ecn = std::to_integer<std::uint8_t>(frame[15]) & 3U;
    if (ecn != *s.ecn) return wrong("ecn", ecn, *s.ecn);
  }
  if (std::string payload = compare_payload(s, *f); !payload.empty()) return payload;
  return compare_options(s, f->tcp.options);
}

std::string Flow::describe(std::span<const std::byte> frame) const {
  const auto f = wire::TcpFrame::parse(frame);
  if (!f) return wire::describe(frame);
  const auto& t = f->tcp;
  const bool from_tested = f->ip.source == kTestedIp;
  const std::uint16_t port = from_tested ? t.destination_port : t.source_port;
  std::string text = port == kPeerPort ? "" : "@" + std::to_string(port) + " ";
  const std::uint32_t seq = t.sequence - (from_tested ? tested_isn_ : peer_isn_);
  const std::uint32_t ack = t.acknowledgement - (from_tested ? peer_isn_ : tested_isn_);
  text +=
      std::string(from_tested ? "> " : "< ") + flag_letters(t.flags) + " " + std::to_string(seq);
  if (!f->payload.empty()) text += ":" + std::to_string(seq + f->payload.size());
  if ((t.flags & wire::kTcpAck) != 0) text += " ack " + std::to_string(ack);
  text += " win " + std::to_string(t.window);
  const std::uint8_t ecn = std::to_integer<std::uint8_t>(frame[15]) & 3U;
  constexpr const char* kEcn[] = {"", " ecn ect1", " ecn ect0", " ecn ce"};
  text += kEcn[ecn];
  if (t.urgent != 0) text += " urg " + std::to_string(t.urgent);
  const std::string all = wire::describe(frame);
  const std::size_t options = all.find(" <");
  if (t.options.sack_blocks != 0) {
    text += " <sack";
    const std::uint32_t base = from_tested ? peer_isn_ : tested_isn_;
    for (unsigned i = 0; i < t.options.sack_blocks; ++i) {
      text += " " + std::to_string(t.options.sack[i].left - base) + ":" +
              std::to_string(t.options.sack[i].right - base);
    }
    text += ">";
  } else if (options != std::string::npos) {
    text += all.substr(options);
  }
  return text;
}

}  // namespace stackrig::tcpip::script
