// SPDX-License-Identifier: Apache-2.0
// Every script against our core, in virtual time. To run one again: tcp-script core --trace FILE.
#include "tcpip/script/test_scripts.h"

namespace stackrig::tcpip::script {
namespace {

class CoreScript : public ScriptTest {
 public:
  explicit CoreScript(std::string file) : file_(std::move(file)) {}
  void TestBody() override { judge(run_here(file_, Side::ours)); }

 private:
  std::string file_;
};

const bool kRegistered = register_scripts(
    "Core", [](const std::string& file, std::size_t) { return new CoreScript(file); });

TEST(Scripts, ThereAreMany) {
  EXPECT_TRUE(kRegistered);
  EXPECT_GE(find_scripts(STACKRIG_SCRIPTS).size(), 150u);
}

}  // namespace
}  // namespace stackrig::tcpip::script
