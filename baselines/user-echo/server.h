// SPDX-License-Identifier: Apache-2.0
// The three ways in which a user process echoes.
#pragma once

#include <functional>
#include <vector>

#include "sockets/sockets.h"

namespace stackrig::user_echo {

/// Slick's listing 3.1: one process, blocking calls, one connection after the other. Does not
/// return: SIGTERM and SIGINT end the process with exit code 0.
[[noreturn]] void serve_blocking(const sockets::Fd& listener, const std::function<void()>& ready);

/// Today's peers: many connections on one thread. Return when runtime::stop_flag() is set.
void serve_epoll(const std::vector<sockets::Fd>& listeners, const std::function<void()>& ready);
void serve_uring(const std::vector<sockets::Fd>& listeners, const std::function<void()>& ready);

}  // namespace stackrig::user_echo
