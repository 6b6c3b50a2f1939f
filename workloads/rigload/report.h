// SPDX-License-Identifier: Apache-2.0
// What a run says when it is over: JSON for programs (docs/rigload.md), a few lines for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "rigload/load_options.h"
#include "rigload/load_run.h"

namespace stackrig::rigload {

inline constexpr int kReportSchema = 1;

/// The whole record. A sub-command adds what is its own.
nlohmann::ordered_json to_json(const LoadOptions& options, const LoadResult& result,
                               const std::string& workload);

/// A few lines on what was measured, with what a reader must not miss: errors, a saturated client.
std::string to_text(const nlohmann::ordered_json& report);

/// Writes the report to --json (a file is written whole or not at all) and the text to the
/// terminal, on stderr where the report goes to stdout. Throws std::runtime_error where it cannot
/// be written.
void publish(const nlohmann::ordered_json& report, const LoadOptions& options);

/// Writes a report to `file`, whole or not at all. Throws std::runtime_error where it cannot be.
void write_report(const nlohmann::ordered_json& report, const std::string& file);

/// Refuses a --json that cannot be written, before anything is started. Throws runtime::UsageError.
void check_json_path(const std::string& file);

}  // namespace stackrig::rigload
