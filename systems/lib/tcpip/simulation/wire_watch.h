// SPDX-License-Identifier: Apache-2.0
// Watches the wire: what each end may send, judged only by what it and its peer have sent before.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "nmio/sim.h"
#include "tcpip/seq.h"
#include "wire/frame.h"

namespace stackrig::tcpip::simulation {

class WireWatch {
 public:
  /// Port 0 of the network is the client's. Throws Broken.
  void sent(const nmio::SimFrame& f);
  void delivered(const nmio::SimFrame& f);
  [[nodiscard]] std::uint64_t segments() const { return segments_; }

 private:
  /// One direction of a connection, as far as the wire shows it.
  struct Way {
    bool begun = false;
    Seq isn = 0;
    Seq sent_to = 0;   ///< highest number that went out, plus one
    Seq acked_to = 0;  ///< highest acknowledgement that this end has sent
    bool acked_any = false;
    Seq edge = 0;  ///< right edge of the window that it offered, as it was sent
    bool edge_any = false;
    Seq may_send_to = 0;  ///< edge that the other end offered, as it was delivered to this one
    bool may_send_any = false;
    bool scale_offered = false;
    unsigned scale = 0;
  };
  struct Connection {
    std::array<Way, 2> way;  ///< by the sending port
    [[nodiscard]] bool scaled() const { return way[0].scale_offered && way[1].scale_offered; }
  };

  bool on_syn(Connection& c, unsigned from, const wire::TcpFrame& f);
  static void check_numbers(const Connection& c, unsigned from, const wire::TcpFrame& f);
  static void check_sack(const Connection& c, unsigned from, const wire::TcpFrame& f);

  std::map<std::uint16_t, Connection> connections_;  ///< by the client's port
  std::uint64_t segments_ = 0;
};

}  // namespace stackrig::tcpip::simulation
