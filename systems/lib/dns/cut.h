// SPDX-License-Identifier: Apache-2.0
// Cuts answers: asks respond() every question that a table of answers is to hold.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "dns/query.h"
#include "dns/zone_set.h"

namespace stackrig::dns {

/// Which queries an answer is for: those without DO, those with it, or both.
enum class Clients : std::uint8_t { plain = 1, dnssec = 2, all = 3 };

inline bool is_among(bool dnssec_ok, Clients clients) {
  return (static_cast<unsigned>(clients) & (dnssec_ok ? 2u : 1u)) != 0;
}

/// Calls `take(query, answer, clients)` for each question and its answer without OPT; both are good
/// until `take` returns. A question comes twice where two zones have its name, and where its answer
/// depends on DO.
void cut_answers(const ZoneSet& zones,
                 const std::function<void(const Query& query, std::span<const std::uint8_t> answer,
                                          Clients clients)>& take);

}  // namespace stackrig::dns
