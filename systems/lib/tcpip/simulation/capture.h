// SPDX-License-Identifier: Apache-2.0
// Segments for people: lines as tcpdump writes them, and pcap files.
#pragma once

#include <fstream>
#include <functional>
#include <string>

#include "nmio/sim.h"

namespace stackrig::tcpip::simulation {

class Capture {
 public:
  /// Throws std::runtime_error where the file cannot be written.
  Capture(std::function<void(const std::string&)> line, const std::string& pcap, nmio::Time began);
  void note(const nmio::SimFrame& frame, nmio::SimFate fate, nmio::Time now);
  [[nodiscard]] bool any() const { return line_ || pcap_.is_open(); }

 private:
  std::function<void(const std::string&)> line_;
  std::ofstream pcap_;
  nmio::Time began_;
};

}  // namespace stackrig::tcpip::simulation
