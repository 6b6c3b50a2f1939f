// SPDX-License-Identifier: Apache-2.0
// From exceptions to one line and an exit code.
#include "runtime/errors.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

#include "nmio/port.h"

namespace stackrig::runtime {
namespace {

int say(std::string_view program, const char* what, int code) {
  std::fflush(stdout);
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(program.size()), program.data(), what);
  return code;
}

// Levenshtein's distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replace, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

int guarded(std::string_view program, const std::function<int()>& body) {
  try {
    return body();
  } catch (const UsageError& e) {
    return say(program, e.what(), kExitUsage);
  } catch (const nmio::SetupError& e) {
    return say(program, e.what(), kExitUsage);
  } catch (const std::invalid_argument& e) {
    return say(program, e.what(), kExitUsage);
  } catch (const std::length_error& e) {
    return say(program, e.what(), kExitUsage);
  } catch (const std::exception& e) {
    return say(program, e.what(), kExitFailed);
  }
}

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  std::size_t least = word.size() / 2 + 2;
  const std::string* best = nullptr;
  std::string all;
  for (const std::string& c : candidates) {
    const std::size_t d = distance(word, c);
    if (d < least) {
      least = d;
      best = &c;
    }
    all += (all.empty() ? "" : ", ") + c;
  }
  return best != nullptr ? "did you mean '" + *best + "'?" : "known: " + all;
}

}  // namespace stackrig::runtime
