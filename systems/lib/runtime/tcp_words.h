// SPDX-License-Identifier: Apache-2.0
// The command-line words of programs that have a TCP stack: what a measurement may want to hold
// equal on both sides. Only types of tcpip are used here, nothing of it is linked.
#pragma once

#include "tcpip/congestion.h"
#include "tcpip/stack.h"

namespace CLI {
class App;
}

namespace stackrig::runtime {

/// What the words set; the rest of a tcpip::Config is the program's.
struct TcpWords {
  tcpip::CongestionControl congestion_control = tcpip::CongestionControl::cubic;
  tcpip::Ecn ecn = tcpip::Ecn::accept;
  bool sack = true;

  void apply(tcpip::Config& c) const {
    c.congestion_control = congestion_control;
    c.ecn = ecn;
    c.sack = sack;
  }
};

/// Adds --congestion-control, --ecn and --sack to `app`; `words` must outlive its parsing.
void add_tcp_words(CLI::App& app, TcpWords& words);

}  // namespace stackrig::runtime
