// SPDX-License-Identifier: Apache-2.0
// A network namespace with one TAP device in it, for the calling process: the wire between a script
// and the kernel's TCP. Namespace and device have no other user and are gone with the process.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "tcpip/script/target.h"

namespace stackrig::tcpip::script {

class Tap {
 public:
  /// Moves the calling process into a new network namespace. Throws std::system_error,
  /// std::runtime_error.
  explicit Tap(const Settings& settings);
  ~Tap();
  Tap(const Tap&) = delete;
  Tap& operator=(const Tap&) = delete;

  void send(const std::vector<std::byte>& frame) const;
  /// Takes what the kernel has sent, with the times at which it did; waits until `time` for it.
  void poll(Time time);
  [[nodiscard]] std::deque<Came>& came() { return came_; }
  static Time now();

 private:
  bool receive_one();

  int tap_ = -1;
  int capture_ = -1;  ///< sees the same frames, with the kernel's times
  std::deque<Came> came_;
};

}  // namespace stackrig::tcpip::script
