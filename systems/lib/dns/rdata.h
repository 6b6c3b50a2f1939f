// SPDX-License-Identifier: Apache-2.0
// Where names stand in the data of a record (RFC 1035 3.3 and the RFCs of the newer types).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dns/message.h"

namespace stackrig::dns {

struct RdataForm {
  std::uint8_t before;  ///< bytes before the first name
  std::uint8_t names;   ///< one behind the other
  bool compressible;    ///< a type of RFC 1035: later ones are never compressed (RFC 3597 4)
};

inline RdataForm rdata_form(std::uint16_t t) {
  switch (t) {
    case type::kNs:
    case type::kMd:
    case type::kMf:
    case type::kCname:
    case type::kMb:
    case type::kMg:
    case type::kMr:
    case type::kPtr:
      return {0, 1, true};
    case type::kSoa:
    case type::kMinfo:
      return {0, 2, true};
    case type::kMx:
      return {2, 1, true};
    case type::kDname:
      return {0, 1, false};
    case type::kSrv:
      return {6, 1, false};
    default:
      return {0, 0, false};
  }
}

/// The name whose addresses go into the additional section (RFC 1035 3.3, RFC 2782); nullptr where
/// the type asks for none.
inline const std::uint8_t* additional_target(std::uint16_t t, const std::uint8_t* rdata) {
  const bool asks = t == type::kNs || t == type::kMx || t == type::kSrv;
  return asks ? rdata + rdata_form(t).before : nullptr;
}

/// Whether `rdata` has what this library reads of it: a zone file may give any bytes for any type
/// (RFC 3597 5).
bool is_well_formed(std::uint16_t type, std::span<const std::uint8_t> rdata);

}  // namespace stackrig::dns
