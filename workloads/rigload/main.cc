// SPDX-License-Identifier: Apache-2.0
// rigload: puts a load on a server and measures what comes back. See docs/rigload.md.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "rigload/subcommand.h"
#include "runtime/errors.h"
#include "runtime/options.h"
#include "runtime/process.h"

namespace stackrig::rigload {

Subcommand::Subcommand(std::string name, std::string summary)
    : name_(std::move(name)), summary_(std::move(summary)) {
  const auto after = [](const std::string& mine, const Subcommand* other) {
    return mine < other->name_;
  };
  all().insert(std::upper_bound(all().begin(), all().end(), name_, after), this);
}

std::vector<Subcommand*>& Subcommand::all() {
  static std::vector<Subcommand*> commands;
  return commands;
}

namespace {

std::string names() {
  std::string all;
  for (const Subcommand* command : Subcommand::all())
    all += (all.empty() ? "" : ", ") + command->name();
  return all + "; see --help";
}

int run(int argc, char** argv) {
  CLI::App app("rigload: puts a load on a server and measures what comes back", "rigload");
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", std::string("rigload ") + STACKRIG_VERSION);
  Subcommand* chosen = nullptr;
  for (Subcommand* command : Subcommand::all()) {
    CLI::App* sub = app.add_subcommand(command->name(), command->summary());
    command->add_words(*sub);
    sub->callback([&chosen, command] { chosen = command; });
  }
  if (!runtime::parse(app, argc, argv)) return runtime::kExitOk;
  if (chosen == nullptr) throw runtime::UsageError("a sub-command is needed: " + names());
  runtime::catch_stop_signals();
  return chosen->run({argv, argv + argc});
}

}  // namespace
}  // namespace stackrig::rigload

int main(int argc, char** argv) {
  return stackrig::runtime::guarded("rigload", [&] { return stackrig::rigload::run(argc, argv); });
}
