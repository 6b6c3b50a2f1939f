// SPDX-License-Identifier: Apache-2.0
#include "dns/rdata.h"

namespace stackrig::dns {
namespace {

using Bytes = std::span<const std::uint8_t>;

/// Takes a name off the front; false where there is none.
bool take_name(Bytes& b) {
  std::size_t at = 0;
  while (at < b.size() && b[at] != 0) {
    if (b[at] > kMaxLabel) return false;
    at += std::size_t{1} + b[at];
  }
  if (at >= b.size() || at >= kMaxName) return false;
  b = b.subspan(at + 1);
  return true;
}

bool take(Bytes& b, std::size_t n) {
  if (b.size() < n) return false;
  b = b.subspan(n);
  return true;
}

/// A length byte and that many bytes.
bool take_string(Bytes& b) {
  return !b.empty() && take(b, std::size_t{1} + b[0]);
}

}  // namespace

bool is_well_formed(std::uint16_t t, Bytes b) {
  constexpr std::size_t kSoaNumbers = 20, kRrsigFixed = 18, kNsec3Fixed = 4;
  const RdataForm form = rdata_form(t);
  if (form.names > 0) {
    if (!take(b, form.before)) return false;
    for (unsigned i = 0; i < form.names; ++i) {
      if (!take_name(b)) return false;
    }
    return b.size() == (t == type::kSoa ? kSoaNumbers : 0);
  }
  switch (t) {
    case type::kA:
      return b.size() == 4;
    case type::kAaaa:
      return b.size() == 16;
    case type::kRrsig:
      return take(b, kRrsigFixed) && take_name(b);
    case type::kNsec:
      return take_name(b);
    case type::kNsec3:
      return take(b, kNsec3Fixed) && take_string(b) && take_string(b);
    case type::kNsec3param:
      return take(b, kNsec3Fixed) && take_string(b) && b.empty();
    default:
      return true;
  }
}

}  // namespace stackrig::dns
