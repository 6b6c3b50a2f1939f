// SPDX-License-Identifier: Apache-2.0
// What rigload can generate. Each kind of load is a file NAME_command.cc that registers itself by a
// static Subcommand: adding one changes no list.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace stackrig::rigload {

class Subcommand {
 public:
  Subcommand(std::string name, std::string summary);
  virtual ~Subcommand() = default;
  Subcommand(const Subcommand&) = delete;
  Subcommand& operator=(const Subcommand&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& summary() const { return summary_; }
  /// Adds its words to the command line.
  virtual void add_words(CLI::App& app) = 0;
  /// Runs with the words that were given; returns the exit code. Throws as runtime::guarded()
  /// expects.
  virtual int run(const std::vector<std::string>& command) = 0;

  /// By name: files are linked in no order that matters.
  static std::vector<Subcommand*>& all();

 private:
  std::string name_;
  std::string summary_;
};

}  // namespace stackrig::rigload
