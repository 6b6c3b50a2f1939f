// SPDX-License-Identifier: Apache-2.0
// The XDP variant: answers that were cut at start-up lie in a BPF map too, and the port's XDP
// program sends them back without waking the server (Slick's idea, carried to the wire). No paper
// has it.
//
// All that is not in the map comes up to the server, which serves beside it as always. The program
// and its maps are gone when the process is, however it went. Thread: any one at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "nmio/port.h"
#include "wire/address.h"
#include "xdp/answers_map.h"

namespace stackrig::namestorm {

/// What the program asks of a packet before it answers it.
struct XdpConfig {
  int sockets_fd = -1;              ///< a map `sockets` (steer.bpf.h): where other packets go
  std::uint32_t first_address = 0;  ///< host byte order, as the next two
  std::uint32_t address_count = 1;
  std::uint32_t broadcast = 0;  ///< of the subnet; 0: it has none
  std::uint16_t dns_port = 53;
  wire::MacAddress mac;
};

class XdpAnswers {
 public:
  /// Loads the program in the place of the port's; it answers nothing yet. Throws nmio::SetupError:
  /// no afxdp port, not permitted, not taken by the kernel.
  XdpAnswers(const nmio::Port& port, wire::Ipv4Cidr address, std::uint16_t dns_port);
  /// Loads it and attaches it to nothing.
  explicit XdpAnswers(const XdpConfig& config);
  ~XdpAnswers();
  XdpAnswers(const XdpAnswers&) = delete;
  XdpAnswers& operator=(const XdpAnswers&) = delete;

  /// Answers from `map` from now on, in place of what was there; queries that are under way are
  /// answered from the one or the other. Throws std::system_error; what was there stays then.
  void exchange(const AnswersMap& map);
  [[nodiscard]] std::uint64_t answers_sent() const;  ///< by the program, on all cores
  [[nodiscard]] int program_fd() const;

 private:
  struct Skeleton;
  std::unique_ptr<Skeleton> skeleton_;
};

}  // namespace stackrig::namestorm
