// SPDX-License-Identifier: Apache-2.0
// A TCP that a script is played against.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tcpip/script/script.h"

namespace stackrig::tcpip::script {

/// A frame that the tested TCP sent: TCP or ICMP.
struct Came {
  Time at;
  std::vector<std::byte> frame;
};

/// How far a time may lie from what the script says.
struct Tolerance {
  Time early = 0;          ///< what comes earlier than asked for by more than this is wrong
  double early_share = 0;  ///< or by more than this share of the time asked for
  Time late = 0;           ///< patience with what is late
  double late_share = 0;
};

/// Thread: one. A connection is named by the peer's port. Calls answer "" where they succeed, else
/// what went wrong. They wait where the tested TCP needs (real) time.
class Target {
 public:
  virtual ~Target() = default;
  [[nodiscard]] virtual Tolerance tolerance() const = 0;
  virtual Time now() = 0;
  virtual void wait_until(Time time) = 0;
  virtual void inject(const std::vector<std::byte>& frame) = 0;
  /// What came first and was not taken yet; waits for it until `time`.
  virtual std::optional<Came> next(Time time) = 0;
  /// What next() would give without waiting, left there.
  virtual const Came* peek() = 0;

  virtual std::string listen() = 0;
  virtual std::string unlisten() = 0;
  virtual std::string connect(std::uint16_t port) = 0;
  virtual std::string accept(std::uint16_t port) = 0;
  virtual std::string write(std::uint16_t port, const std::string& bytes) = 0;
  /// Exactly `count` bytes more, into `bytes`.
  virtual std::string read(std::uint16_t port, std::size_t count, std::string& bytes) = 0;
  virtual std::string read_eof(std::uint16_t port) = 0;
  virtual void lazy(std::uint16_t port, bool on) = 0;
  virtual std::string shutdown(std::uint16_t port) = 0;
  virtual std::string close(std::uint16_t port) = 0;
  virtual std::string abort(std::uint16_t port) = 0;
  [[nodiscard]] virtual std::string state(std::uint16_t port) = 0;
  [[nodiscard]] virtual std::string ended(std::uint16_t port) = 0;
  /// At the end: "" where nothing was lost (buffers), else what.
  virtual std::string left_over() { return {}; }
  /// The machine let us wait so long that the tested TCP's timers may have overtaken the script:
  /// what went wrong then says nothing.
  [[nodiscard]] virtual bool stalled() const { return false; }
};

/// The core, in virtual time.
std::unique_ptr<Target> make_core_target(const Settings& settings);
/// The kernel, behind a TAP device of the calling process's network namespace, which is made here
/// and is gone with the process. Throws std::system_error where that is not possible.
std::unique_ptr<Target> make_linux_target(const Settings& settings);
/// Why the kernel cannot be played against here; empty where it can.
std::string why_no_linux_target();

}  // namespace stackrig::tcpip::script
