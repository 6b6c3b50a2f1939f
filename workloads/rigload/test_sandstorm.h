// SPDX-License-Identifier: Apache-2.0
// For tests of the program against Sandstorm (SANDSTORM): one end of a soft NIC each, and files.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "rigload/test_process.h"
#include "rigload/test_replies.h"

namespace stackrig::rigload::fake {

class OverSandstorm : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& [path, content] : files()) root_.write(path.substr(1), content);
    static unsigned count = 0;
    link_ = "shm:rigt-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
  }
  /// At 10.99.0.1, ready. `keys`: more of its port's.
  std::unique_ptr<Process> sandstorm(const std::string& keys = "") {
    auto server = std::make_unique<Process>(
        std::vector<std::string>{SANDSTORM, "--port", link_ + "?side=server" + keys, "--address",
                                 "10.99.0.1/24", "--root", root_.path()},
        true);
    if (!server->wait_until_ready()) throw std::runtime_error("Sandstorm: " + server->complained());
    return server;
  }

  Folder root_;
  std::string link_;
};

}  // namespace stackrig::rigload::fake
