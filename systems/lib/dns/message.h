// SPDX-License-Identifier: Apache-2.0
// The DNS message (RFC 1035 4.1): its header in place, and the numbers that the protocol gives to
// flags, response codes, classes and types. Values are in host byte order; offsets and lengths are
// in bytes from the first byte of the message.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wire/byte_order.h"

namespace stackrig::dns {

/// In place.
struct Header {
  static constexpr std::size_t kSize = 12;
  wire::Be16 id;
  wire::Be16 flags;
  wire::Be16 questions;
  wire::Be16 answers;
  wire::Be16 authorities;
  wire::Be16 additionals;

  static Header& at(std::uint8_t* p) { return *reinterpret_cast<Header*>(p); }
  static const Header& at(const std::uint8_t* p) { return *reinterpret_cast<const Header*>(p); }
};
static_assert(sizeof(Header) == Header::kSize && alignof(Header) == 1);

/// Of Header::flags.
namespace flag {
inline constexpr std::uint16_t kResponse = 0x8000;
inline constexpr std::uint16_t kOpcode = 0x7800;  ///< 0 in it: QUERY
inline constexpr std::uint16_t kAuthoritative = 0x0400;
inline constexpr std::uint16_t kTruncated = 0x0200;
inline constexpr std::uint16_t kRecursionDesired = 0x0100;
inline constexpr std::uint16_t kRcode = 0x000f;
}  // namespace flag

/// Response codes (RFC 1035 4.1.1, RFC 6891 9). Of those above 15 the upper bits stand in OPT.
enum class Rcode : std::uint16_t {
  noerror = 0,
  formerr = 1,
  servfail = 2,
  nxdomain = 3,
  notimp = 4,
  refused = 5,
  badvers = 16,
};

/// Types of records and of questions (IANA "DNS parameters"): those that anything depends on.
namespace type {
inline constexpr std::uint16_t kA = 1;
inline constexpr std::uint16_t kNs = 2;
inline constexpr std::uint16_t kMd = 3;
inline constexpr std::uint16_t kMf = 4;
inline constexpr std::uint16_t kCname = 5;
inline constexpr std::uint16_t kSoa = 6;
inline constexpr std::uint16_t kMb = 7;
inline constexpr std::uint16_t kMg = 8;
inline constexpr std::uint16_t kMr = 9;
inline constexpr std::uint16_t kPtr = 12;
inline constexpr std::uint16_t kMinfo = 14;
inline constexpr std::uint16_t kMx = 15;
inline constexpr std::uint16_t kTxt = 16;
inline constexpr std::uint16_t kRp = 17;
inline constexpr std::uint16_t kAfsdb = 18;
inline constexpr std::uint16_t kRt = 21;
inline constexpr std::uint16_t kAaaa = 28;
inline constexpr std::uint16_t kSrv = 33;
inline constexpr std::uint16_t kNaptr = 35;
inline constexpr std::uint16_t kKx = 36;
inline constexpr std::uint16_t kDname = 39;
inline constexpr std::uint16_t kOpt = 41;
inline constexpr std::uint16_t kDs = 43;
inline constexpr std::uint16_t kRrsig = 46;
inline constexpr std::uint16_t kNsec = 47;
inline constexpr std::uint16_t kDnskey = 48;
inline constexpr std::uint16_t kNsec3 = 50;
inline constexpr std::uint16_t kNsec3param = 51;
inline constexpr std::uint16_t kSvcb = 64;
inline constexpr std::uint16_t kHttps = 65;
inline constexpr std::uint16_t kTsig = 250;
inline constexpr std::uint16_t kIxfr = 251;
inline constexpr std::uint16_t kAxfr = 252;
inline constexpr std::uint16_t kAny = 255;
}  // namespace type

inline constexpr std::uint16_t kClassIn = 1;

inline constexpr std::size_t kMaxName = 255;    ///< wire form with the root label (RFC 1035 3.1)
inline constexpr std::size_t kMaxLabel = 63;    ///< without its length byte
inline constexpr std::size_t kMaxLabels = 127;  ///< the root not counted
inline constexpr std::size_t kMaxMessage = 65535;

/// What a client takes over UDP that says nothing else (RFC 1035 4.2.1).
inline constexpr std::uint16_t kPlainUdpPayload = 512;
/// What we send and say that we take over UDP: below every path's MTU, so that nothing is cut into
/// fragments (RFC 9715 3.1); also what NSD and Knot DNS do.
inline constexpr std::uint16_t kUdpPayload = 1232;

/// OPT as we send it (RFC 6891 6.1.2): root name, type, payload size, extended rcode, version, DO,
/// no options.
inline constexpr std::size_t kOptSize = 11;
inline constexpr std::size_t kOptRcode = 5;  ///< offset of the upper bits of the rcode
inline constexpr std::size_t kOptFlags = 7;  ///< offset of the flags
inline constexpr std::uint16_t kDnssecOk = 0x8000;

}  // namespace stackrig::dns
