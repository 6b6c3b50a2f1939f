// SPDX-License-Identifier: Apache-2.0
// A query: from the bytes of a packet to what an answer depends on (RFC 1035 4.1, RFC 6891).
//
// Stateless; nothing is copied or allocated. The parsed query points into the packet's bytes, which
// must stay until the answer is made.
//
// What is not a well-formed QUERY with one question is an error:
//   FORMERR  not one question; a label of more than 63 bytes, a name of more than 255; a compressed
//            name (before the first question there is nothing but the header that a pointer could
//            lead to, RFC 1035 4.1.4); records in the answer or authority section, but for the one
//            SOA of an IXFR (RFC 1995 3); an OPT that is malformed, not of the root, or comes twice
//            (RFC 6891 6.1.1); a message that ends before its counts do
//   NOTIMP   every other opcode
//   BADVERS  an EDNS version above 0
// Other records in the additional section (TSIG among them) and EDNS options are skipped.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dns/message.h"

namespace stackrig::dns {

enum class Transport : std::uint8_t { udp, tcp };

struct Query {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;              ///< as sent
  const std::uint8_t* qname = nullptr;  ///< uncompressed wire form in the sender's case
  std::uint16_t qname_len = 0;          ///< with the root label; 1 to 255
  std::uint16_t qtype = 0;
  std::uint16_t qclass = 0;
  std::uint16_t question_len = 0;  ///< qname_len + 4; 0: there is no question that can be echoed
  std::uint16_t payload_size = 0;  ///< EDNS: as sent
  std::uint8_t edns_version = 0;
  bool edns = false;
  bool dnssec_ok = false;

  /// Bytes that the answer may take.
  [[nodiscard]] std::size_t limit(Transport transport) const {
    if (transport == Transport::tcp) return kMaxMessage;
    if (!edns) return kPlainUdpPayload;
    return std::clamp(payload_size, kPlainUdpPayload, kUdpPayload);  // RFC 6891 6.2.3
  }
};

enum class Parsed : std::uint8_t {
  query,   ///< answer it
  ignore,  ///< shorter than a header, or a response: never answered, so that no loop can arise
  error,   ///< answer with the response code (write_error)
};

/// `message` is the UDP payload, or what stands behind a length prefix of TCP. `rcode` is set where
/// an error is answered; then the query has what write_error needs.
Parsed parse_query(std::span<const std::uint8_t> message, Query& query, Rcode& rcode);

/// Writes the answer that says only `rcode`: header, the question where it could be read, OPT where
/// the query had one. Returns its bytes. `out` must have room for 12 + question_len + kOptSize.
std::size_t write_error(const Query& query, Rcode rcode, std::span<std::uint8_t> out);

/// Writes the OPT that answers the query's (kOptSize bytes) and returns its bytes.
std::size_t write_opt(const Query& query, Rcode rcode, std::uint8_t* out);

}  // namespace stackrig::dns
