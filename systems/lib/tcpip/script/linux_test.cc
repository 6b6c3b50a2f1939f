// SPDX-License-Identifier: Apache-2.0
// Every script against the kernel, unchanged, through a TAP device: what we expect of ourselves is
// what TCP does. They wait in real time, so all of them run at once, each in a process and a
// network namespace of its own, when the first verdict is asked for. To run one again:
// tcp-script linux --trace FILE.
#include "tcpip/script/test_scripts.h"

namespace stackrig::tcpip::script {
namespace {

constexpr unsigned kAtOnce = 24;

const std::string& why_not() {
  static const std::string kWhy = why_no_linux_target();
  return kWhy;
}

const Verdict& verdict_of(std::size_t index) {
  static const std::vector<Verdict> kAll =
      run_all(find_scripts(STACKRIG_SCRIPTS), Side::linux, kAtOnce);
  return kAll.at(index);
}

class LinuxScript : public ScriptTest {
 public:
  LinuxScript(std::string file, std::size_t index) : file_(std::move(file)), index_(index) {}
  void TestBody() override {
    if (!why_not().empty()) GTEST_SKIP() << why_not();
    // One alone (--gtest_filter) is not worth running them all.
    judge(::testing::UnitTest::GetInstance()->test_to_run_count() == 1
              ? run_all({file_}, Side::linux, 1).front()
              : verdict_of(index_));
  }

 private:
  std::string file_;
  std::size_t index_;
};

const bool kRegistered = register_scripts("Linux", [](const std::string& file, std::size_t index) {
  return new LinuxScript(file, index);
});

TEST(LinuxTarget, IsThereOrSaysWhyNot) {
  EXPECT_TRUE(kRegistered);
  if (!why_not().empty()) GTEST_SKIP() << why_not();
}

}  // namespace
}  // namespace stackrig::tcpip::script
