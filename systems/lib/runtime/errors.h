// SPDX-License-Identifier: Apache-2.0
// How a program of this project fails: one line that names the thing, the cause and the remedy, and
// an exit code that tells bad input from bad luck.
//
//   0  stopped as asked
//   1  could not go on
//   2  bad input or set-up that cannot work; nothing was started
#pragma once

#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace stackrig::runtime {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

/// Bad input: what() is "THING: cause; remedy", without the program's name. Exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Runs a program's body and turns what it throws into a line on stderr and an exit code:
/// UsageError, nmio::SetupError, std::invalid_argument, std::length_error: 2; all else: 1.
int guarded(std::string_view program, const std::function<int()>& body);

/// "did you mean 'x'?" for the nearest candidate, or the list of them all where none is near.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace stackrig::runtime
