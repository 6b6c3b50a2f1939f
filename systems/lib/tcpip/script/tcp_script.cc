// SPDX-License-Identifier: Apache-2.0
// tcp-script core|linux FILE...: plays scripts against our TCP core in virtual time, or against the
// kernel's TCP through a TAP device (docs/tcp-scripts.md). Exit code 0: all passed, 1: one failed,
// 2: bad input.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "runtime/errors.h"
#include "tcpip/script/run.h"

namespace {

using namespace stackrig::tcpip::script;

int run(Side side, const std::vector<std::string>& names, unsigned jobs, bool trace) {
  std::vector<std::string> files;
  for (const std::string& n : names) {
    for (std::string& f : find_scripts(n)) files.push_back(std::move(f));
  }
  if (files.empty()) throw stackrig::runtime::UsageError("no scripts: no *.tcp in what was named");
  for (const std::string& f : files) {
    try {
      read_script(f);
    } catch (const ScriptError& e) {
      throw stackrig::runtime::UsageError(e.what());
    }
  }
  if (side == Side::linux) {
    const std::string why = why_no_linux_target();
    if (!why.empty()) throw stackrig::runtime::UsageError("tcp-script linux: " + why);
  }
  unsigned passed = 0, failed = 0, skipped = 0;
  run_all(files, side, jobs, [&](std::size_t i, const Verdict& v) {
    ++(v.skipped ? skipped : v.passed ? passed : failed);
    if (trace) std::printf("%s\n%s", files[i].c_str(), v.trace.c_str());
    if (!v.message.empty()) std::printf("%s\n", v.message.c_str());
  });
  std::printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
  return failed == 0 ? stackrig::runtime::kExitOk : stackrig::runtime::kExitFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Plays scripts of segments and calls against a TCP (docs/tcp-scripts.md)."};
  app.require_subcommand(1);
  std::vector<std::string> names;
  unsigned jobs = 16;
  bool trace = false;
  Side side = Side::ours;
  const auto add = [&](const char* name, const char* what, Side s) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->add_option("scripts", names, "scripts, or folders of them")->required();
    sub->add_flag("--trace", trace, "show every segment");
    sub->add_option("--jobs", jobs, "scripts at once (linux)")->check(CLI::Range(1, 256));
    sub->callback([&side, s] { side = s; });
  };
  add("core", "against our TCP core, in virtual time", Side::ours);
  add("linux", "against this kernel's TCP, through TAP devices (root)", Side::linux);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : stackrig::runtime::kExitUsage;
  }
  return stackrig::runtime::guarded("tcp-script", [&] { return run(side, names, jobs, trace); });
}
