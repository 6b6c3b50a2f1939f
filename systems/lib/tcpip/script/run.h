// SPDX-License-Identifier: Apache-2.0
// Runs scripts by file: those against our core in this process, those against the kernel each in a
// process and a network namespace of its own, several at once.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tcpip/script/player.h"

namespace stackrig::tcpip::script {

/// Every script (*.tcp) in a folder and those below it, in order of name. A file is itself.
std::vector<std::string> find_scripts(const std::string& file_or_folder);

/// One script against one side, where it is run. Never throws: what is wrong is in the verdict.
Verdict run_here(const std::string& file, Side side);

/// All of them, in order; `told` hears each as soon as it is done. Against the kernel `jobs` at
/// once.
std::vector<Verdict> run_all(const std::vector<std::string>& files, Side side, unsigned jobs,
                             const std::function<void(std::size_t, const Verdict&)>& told = {});

}  // namespace stackrig::tcpip::script
