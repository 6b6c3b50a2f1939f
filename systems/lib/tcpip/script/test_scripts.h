// SPDX-License-Identifier: Apache-2.0
// For tests: one GoogleTest case per script file.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "tcpip/script/run.h"

namespace stackrig::tcpip::script {

class ScriptTest : public ::testing::Test {
 protected:
  static void judge(const Verdict& v) {
    if (v.skipped) GTEST_SKIP() << v.message;
    EXPECT_TRUE(v.passed) << v.message << "\n" << v.trace;
  }
};

/// `make` is called with the file and its place among all. Cases are named by folder and file.
inline bool register_scripts(const char* suite,
                             std::function<ScriptTest*(const std::string&, std::size_t)> make) {
  const auto files = find_scripts(STACKRIG_SCRIPTS);
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::string name = std::filesystem::relative(files[i], STACKRIG_SCRIPTS).replace_extension();
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
    ::testing::RegisterTest(suite, name.c_str(), nullptr, nullptr, files[i].c_str(), 1,
                            [=]() -> ScriptTest* { return make(files[i], i); });
  }
  return !files.empty();
}

}  // namespace stackrig::tcpip::script
