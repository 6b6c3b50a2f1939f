// SPDX-License-Identifier: Apache-2.0
// Cuts answers: asks respond() every question that a table of answers is to hold.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "dns/query.h"
#include "dns/zone_set.h"

namespace stackrig::dns {

/// Calls `take(query, answer, is_signed)` for each question and its answer without OPT; both are
/// good until `take` returns. A question comes twice where two zones have its name.
void cut_answers(const ZoneSet& zones,
                 const std::function<void(const Query& query, std::span<const std::uint8_t> answer,
                                          bool is_signed)>& take);

}  // namespace stackrig::dns
