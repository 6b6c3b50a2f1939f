// SPDX-License-Identifier: Apache-2.0
// Plays a script against a TCP, step by step, until one fails.
#pragma once

#include <string>

#include "tcpip/script/script.h"
#include "tcpip/script/target.h"

namespace stackrig::tcpip::script {

struct Verdict {
  bool passed = true;
  bool skipped = false;
  int line = 0;         ///< of the step that failed; 0: none did
  std::string message;  ///< several lines: step, expected, came, because; or why it was skipped
  std::string trace;    ///< all segments, with their times
};

/// `side`: ours or linux; lines for the other are passed over.
Verdict play(const Script& script, Target& target, Side side);

/// "core" or "linux", as the program takes it.
const char* name_of(Side side);

}  // namespace stackrig::tcpip::script
