// SPDX-License-Identifier: Apache-2.0
// What a program does with its process: stop signals, the ready line, cores, logs, secrets.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace stackrig::runtime {

/// Set by SIGTERM and SIGINT once catch_stop_signals() was called. Loops look at it.
std::atomic<bool>& stop_flag();

/// SIGTERM and SIGINT ask the loops to stop; a second one ends the process at once. SIGPIPE is
/// ignored.
void catch_stop_signals();

/// Writes "ready\n" to `fd` and closes it; -1: nobody asked. Throws UsageError for an fd that is
/// not open for writing.
void announce_ready(int fd);

/// Refuses a --ready-fd that cannot be written to, before anything is started. Throws UsageError.
void check_ready_fd(int fd);

/// Refuses a core that this process may not run on, before anything is started. Throws UsageError.
void check_core(unsigned core);

/// Binds this thread to a core. Throws UsageError for one that this process may not run on.
void pin_to_core(unsigned core);

/// Level of the process-wide logger (stderr, with the program's name): trace, debug, info, warn,
/// error, off. Nothing on a packet's path logs. Throws UsageError.
void start_logging(const std::string& program, const std::string& level);

/// 64 bits from the kernel's random source, for the keys of ISNs, cookies and hashes.
std::uint64_t random_secret();

/// Seconds since 1970, for dates in answers. A coarse clock: some ns.
std::uint64_t unix_seconds();

}  // namespace stackrig::runtime
